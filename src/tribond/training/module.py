"""One training step, for Lightning."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch.optim.lr_scheduler import LambdaLR

from tribond.backends.choose import Evaluator
from tribond.data.dataset import LabeledGraph
from tribond.errors import TribondError
from tribond.models.potential import evaluate
from tribond.nn.m3gnet import M3GNet
from tribond.training.config import OptimizerConfig
from tribond.training.loss import Loss, LossTerms

# What the logs show: meV/atom, meV/Å and GPa.
SHOWN = {
    "energy": ("energy_meV_per_atom", 1000.0),
    "forces": ("forces_meV_per_A", 1000.0),
    "stress": ("stress_GPa", 1.0),
}


class PotentialTraining(LightningModule):
    """Fits an M3GNet to energies, forces and stresses.

    Args:
        model: the network; its reference energies and scale are not trained.
        loss: compares evaluation and labels.
        optimizer: learning rate and its decay.
        steps: of the whole training, for the decay.
    """

    def __init__(self, model: M3GNet, loss: Loss, optimizer: OptimizerConfig, steps: int) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.optimizer_config = optimizer
        self.steps = steps
        self._errors: dict[str, list[float]] = {}
        self._evaluator = Evaluator()  # for the memory of a step; in validation others have put other weights here

    def training_step(self, batch: LabeledGraph) -> torch.Tensor:
        """Loss of one batch.

        Raises:
            TribondError: if it is not finite: the training has diverged.
        """
        terms = self._loss(batch, create_graph=True)
        if not torch.isfinite(terms.total):
            msg = (
                f"the training has diverged: the loss of step {self.global_step + 1} is {terms.total.item()}; "
                "lower optimizer.learning_rate or optimizer.gradient_clip, or look for wrong labels in the data"
            )
            raise TribondError(msg)
        self.log("train/loss", terms.total.detach(), batch_size=batch.graph.num_systems)
        self.log("learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=1)
        for name, (shown, unit) in SHOWN.items():
            total, count = terms.absolute_errors[name]
            if count:
                self.log(f"train/{shown}", unit * total / count, batch_size=count)
        return terms.total

    def on_validation_epoch_start(self) -> None:
        """Forget the errors of the last validation."""
        self._errors = {name: [0.0, 0.0] for name in (*SHOWN, "loss")}

    def validation_step(self, batch: LabeledGraph) -> None:
        """Sum up the errors of one batch."""
        terms = self._loss(batch, create_graph=False)
        for name in SHOWN:
            total, count = terms.absolute_errors[name]
            self._errors[name][0] += total
            self._errors[name][1] += count
        self._errors["loss"][0] += float(terms.total) * batch.graph.num_systems
        self._errors["loss"][1] += batch.graph.num_systems

    def on_validation_epoch_end(self) -> None:
        """Log mean absolute errors over the whole validation set, each number counting the same."""
        sums = self.all_gather(torch.tensor([self._errors[name] for name in (*SHOWN, "loss")], device=self.device))
        sums = sums.reshape(-1, len(SHOWN) + 1, 2).sum(0)
        for (shown, unit), (total, count) in zip(SHOWN.values(), sums[:-1].tolist(), strict=True):
            if count:
                self.log(f"val/{shown}", unit * total / count)
        self.log("val/loss", sums[-1, 0] / sums[-1, 1])  # the same on every process: all decide alike

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam, linear warm-up, cosine decay."""
        config = self.optimizer_config
        optimizer = torch.optim.Adam(self.parameters(), lr=config.learning_rate)

        def factor(step: int) -> float:
            if step < config.warmup_steps:
                return (step + 1) / (config.warmup_steps + 1)
            progress = min(1.0, (step - config.warmup_steps) / max(1, self.steps - config.warmup_steps))
            low = config.final_learning_rate_fraction
            return low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2

        schedule = {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _loss(self, batch: LabeledGraph, *, create_graph: bool) -> LossTerms:
        evaluator = self._evaluator if create_graph else None
        return self.loss(evaluate(self.model, batch.graph, create_graph=create_graph, evaluator=evaluator), batch)
