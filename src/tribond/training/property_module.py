"""One step of a training of properties, for Lightning."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from tribond.errors import TribondError
from tribond.nn.m3gnet import M3GNet
from tribond.training.callbacks import KeepBest
from tribond.training.parts import freeze
from tribond.training.property_data import PropertyBatch
from tribond.training.property_loss import PropertyLoss
from tribond.training.stages import Stage, learning_rate_factor


class PropertyTraining(LightningModule):
    """Fits an M3GNet to properties.

    Args:
        model: the network.
        loss: of numbers of order one.
        stage: the schedule of the learning rate.
        names: (targets,) for the logs.
        frozen: parts of the model that stay as they are.
        rates: learning rates of weights by name, where they differ from the stage's.
    """

    def __init__(
        self,
        model: M3GNet,
        loss: PropertyLoss,
        stage: Stage,
        names: Sequence[str],
        *,
        frozen: Sequence[str] = (),
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.stage = stage
        self.names = list(names)
        self.rates = dict(rates or {})
        freeze(model, frozen)
        self.clear()

    def clear(self) -> None:
        """Forget the last validation."""
        # Of each target: sum of losses, sum of |error|, how many. Of classes the error is 1 if the class is wrong.
        self.found = torch.zeros(3, len(self.names), dtype=torch.float64)

    def training_step(self, batch: PropertyBatch) -> Tensor:
        """Loss of one batch.

        Raises:
            TribondError: if it is not finite: the training has diverged.
        """
        network = self.model.property_network(batch.graph.edge_vectors(), batch.graph)
        loss = self.loss.total(*self._loss_sums(network, batch))
        if not torch.isfinite(loss):
            msg = (
                f"the training has diverged: the loss of step {self.global_step + 1} is {loss.item()}; "
                "lower optimizer.learning_rate or optimizer.gradient_clip, or look for wrong labels in the data"
            )
            raise TribondError(msg)
        self.log("train/loss", loss.detach(), batch_size=batch.graph.num_systems)
        self.log("learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=1)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.clear()

    @torch.no_grad()
    def validation_step(self, batch: PropertyBatch) -> None:
        """Sum up the errors of one batch."""
        graph = batch.graph
        network = self.model.property_network(graph.edge_vectors(), graph)
        sums, counts = self._loss_sums(network, batch)
        self.found += torch.stack([sums, self._errors(network, batch), counts]).double().cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the loss, and mean absolute errors (of classes: the accuracy) over the whole validation set."""
        losses, errors, counts = self.found
        self.log("val/loss", self.loss.total(losses, counts))
        for name, error, count in zip(self.names, errors.tolist(), counts.tolist(), strict=True):
            if count and self.loss.classification:
                self.log(f"val/{name}/accuracy", 1 - error / count)
            elif count:
                self.log(f"val/{name}/MAE", error / count)

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam, linear warm-up, cosine decay."""
        groups: dict[float, list[torch.nn.Parameter]] = {}
        for name, weight in self.model.named_parameters():
            if weight.requires_grad:
                groups.setdefault(self.rates.get(name, self.stage.learning_rate), []).append(weight)
        # The rate of new weights first: it is the one that is logged.
        ordered = sorted(groups.items(), key=lambda group: -group[0])
        optimizer = torch.optim.Adam([{"params": weights, "lr": rate} for rate, weights in ordered])
        factor = learning_rate_factor([self.stage], self.stage.learning_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}

    def _loss_sums(self, network: Tensor, batch: PropertyBatch) -> tuple[Tensor, Tensor]:
        """Losses and counts of each target; of what is extensive per atom, or large cells would rule."""
        if self.model.config.readout != "sum":
            return self.loss.sums(network, batch.target)
        atoms = batch.graph.atoms_per_system().to(network.dtype)[:, None]
        return self.loss.sums(network / atoms, batch.target / atoms)

    def _errors(self, network: Tensor, batch: PropertyBatch) -> Tensor:
        """(targets,) sum of |error| in the unit of each; of classes how many are wrong."""
        known = torch.isfinite(batch.target)
        target = torch.where(known, batch.target, 0.0)
        if self.loss.classification == "exclusive":
            wrong = network.argmax(dim=1, keepdim=True) != target.long()
        elif self.loss.classification:
            wrong = (network > 0) != (target > 0.5)
        else:
            values = (self.model.in_units(it, batch.graph) for it in (network, target))
            predicted, wanted = values
            return torch.where(known, (predicted - wanted).abs(), 0.0).sum(0)
        return (wrong & known).double().sum(0)


class KeepBestProperty(KeepBest):
    """Says the errors of properties, by name."""

    units: Mapping[str, str] = {}

    def errors(self, found: Mapping[str, float]) -> str:
        """What validation found, as people read it."""
        shown = []
        for key, value in found.items():
            name, _, kind = key.removeprefix("val/").rpartition("/")
            if kind == "MAE":
                shown.append(f"{name} {value:.4g} {self.units.get(name, '')}".rstrip())
            elif kind == "accuracy":
                shown.append(f"{name}: {100 * value:.1f} % right")
        return ", ".join(shown)
