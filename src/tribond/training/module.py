"""One training step, for Lightning."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch.optim.lr_scheduler import LambdaLR

from tribond.backends.choose import Evaluator
from tribond.data.dataset import LabeledGraph
from tribond.errors import TribondError
from tribond.models.potential import evaluate
from tribond.nn.m3gnet import M3GNet
from tribond.training.devices import sum_over_processes
from tribond.training.loss import Loss, LossSums
from tribond.training.stages import Stage, learning_rate_factor, stage_at
from tribond.training.validation import SHOWN, ValidationErrors


class PotentialTraining(LightningModule):
    """Fits an M3GNet to energies, forces and stresses.

    Args:
        model: the network; its reference energies and scale are not trained.
        stages: learning rate, loss and weights of sources, stretch by stretch.
        learning_rate: what those of the stages are measured by.
        validation: sums up the errors of a validation.
    """

    def __init__(
        self, model: M3GNet, stages: Sequence[Stage], learning_rate: float, validation: ValidationErrors
    ) -> None:
        super().__init__()
        self.model = model
        self.stages = list(stages)
        self.learning_rate = learning_rate
        self.validation = validation
        self._losses = [Loss(**stage.loss.model_dump()) for stage in stages]
        self._evaluator = Evaluator()  # for the memory of a step; in validation others have put other weights here

    def training_step(self, batch: LabeledGraph) -> torch.Tensor:
        """Loss of one batch, of which this process may have a part.

        Each term is a mean over the labelled numbers of the whole batch. A process divides the sums over its part by
        the counts of all: then the losses of the processes add up to the loss of the batch. Lightning takes the mean
        of their gradients, hence the factor.

        Raises:
            TribondError: if it is not finite: the training has diverged.
        """
        loss, mine = self._loss(batch)
        whole = mine.together(sum_over_processes)
        terms = loss.terms(whole)
        if not torch.isfinite(terms.total):
            self._diverged(terms.total.item())
        self.log("train/loss", terms.total, batch_size=1)
        for name, part in loss.parts(terms).items():
            self.log(f"train/loss_{name}", part, batch_size=1)
        self.log("learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=1)
        for name, (shown, unit) in SHOWN.items():
            total, count = terms.absolute_errors[name]
            if count:
                self.log(f"train/{shown}", unit * total / count, batch_size=1)
        return self.trainer.world_size * loss.terms(mine, whole.counts).total

    def loss_of(self, batch: LabeledGraph) -> torch.Tensor:
        """The loss of a batch that no other process shares, without a trainer."""
        loss, sums = self._loss(batch)
        return loss.terms(sums).total

    def on_validation_epoch_start(self) -> None:
        """Forget the errors of the last validation."""
        self.validation.clear()

    def validation_step(self, batch: LabeledGraph) -> None:
        """Sum up the errors of one batch."""
        self.validation.add(evaluate(self.model, batch.graph), batch)

    def on_validation_epoch_end(self) -> None:
        """Log mean absolute errors over the whole validation set, each number counting the same."""
        # The same on every process: all decide alike.
        for name, value in self.validation.found(sum_over_processes).items():
            self.log(f"val/{name}", value)

    @torch.no_grad()
    def validate_alone(self, batches: Iterable[LabeledGraph]) -> dict[str, float]:
        """A whole validation of the weights as they are, without a trainer: errors and loss, by name."""
        self.validation.clear()
        for batch in batches:
            self.validation_step(batch.to(self.device))
        return self.validation.found()

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam, linear warm-up, cosine decay."""
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.learning_rate)
        factor = learning_rate_factor(self.stages, self.learning_rate)
        schedule = {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _loss(self, batch: LabeledGraph) -> tuple[Loss, LossSums]:
        """The loss of the present stage, and its sums over the batch."""
        number = stage_at(self.stages, self.global_step)  # without a trainer the first
        weights = torch.tensor(self.stages[number].weights, device=batch.source.device)
        result = evaluate(self.model, batch.graph, create_graph=True, evaluator=self._evaluator)
        loss = self._losses[number]
        return loss, loss.sums(result, batch, None if (weights == 1).all() else weights[batch.source])

    def _diverged(self, loss: float) -> None:
        if not self.trainer.is_global_zero:
            raise SystemExit(0)  # all of them know, and the first one says so
        msg = (
            f"the training has diverged: the loss of step {self.global_step + 1} is {loss}; "
            "lower optimizer.learning_rate or optimizer.gradient_clip, or look for wrong labels in the data"
        )
        raise TribondError(msg)
