"""What a validation finds: errors of all structures, and of every source alone."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from tribond.data.dataset import LabeledGraph
from tribond.models.force_field import Evaluation
from tribond.training.loss import TERMS, Loss, differences, per_number

# What the logs show: meV/atom, meV/Å and GPa.
SHOWN = {
    "energy": ("energy_meV_per_atom", 1000.0),
    "forces": ("forces_meV_per_A", 1000.0),
    "stress": ("stress_GPa", 1.0),
}
UNITS = {"energy": "meV/atom", "forces": "meV/Å", "stress": "GPa"}

Total = Callable[[Tensor], Tensor]


class ValidationErrors:
    """Sums over the batches of a validation.

    Args:
        loss: of the training file. Weights of sources and stages do not change it, so that all validations can be
            compared; but what has weight zero in its source does not count.
        names: of the sources that validate, as `LabeledGraph.source` counts them.
        weights: (sources, 3) of energy, forces and stress in each.
        best_by: the sources whose losses, averaged, are the loss of the validation; none: the loss over all structures.
    """

    def __init__(
        self,
        loss: Loss,
        names: Sequence[str],
        weights: Sequence[Sequence[float]],
        best_by: Sequence[str] = (),
    ) -> None:
        self.loss = loss
        self.names, self.best_by = list(names), list(best_by)
        self.counts = torch.tensor(weights).reshape(-1, 3) > 0
        self.apart = len(self.names) > 1 or bool(self.best_by)  # one source is no news
        self.clear()

    def clear(self) -> None:
        """Forget the last validation."""
        # Of every source and term: sum of H, of how many numbers, sum of |error|, of how many numbers.
        self.sums = torch.zeros(len(self.names), len(TERMS), 4, dtype=torch.float64)

    def add(self, result: Evaluation, batch: LabeledGraph) -> None:
        """Sum up the errors of one batch, or of one process's part of it."""
        counts = self.counts.to(batch.source.device)[batch.source]
        for column, (name, (difference, known)) in enumerate(differences(result, batch).items()):
            counted = known & per_number(counts[:, column], name, batch)
            each = huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=self.loss.huber_delta)
            source = per_number(batch.source, name, batch).expand(difference.shape).reshape(-1).cpu()
            numbers = torch.stack([each * counted, counted, difference.abs(), known], dim=-1)
            self.sums[:, column].index_add_(0, source, numbers.detach().reshape(-1, 4).double().cpu())

    def found(self, total: Total = lambda same: same) -> dict[str, float]:
        """Everything by its name in the logs, without "val/".

        Mean errors, "loss", and what the terms add to it: "loss_energy", "loss_forces", "loss_stress".

        Args:
            total: gives the sum of a tensor over all processes.
        """
        sums = total(self.sums)
        found, parts = self._of(sums.sum(0))
        of_sources = {name: self._of(own) for name, own in zip(self.names, sums, strict=True) if own[:, 3].any()}
        if self.best_by:
            chosen = [of_sources[name][1] for name in self.best_by]
            parts = {term: sum(own[term] for own in chosen) / len(chosen) for term in TERMS}
        found |= {"loss": sum(parts.values())} | {f"loss_{term}": part for term, part in parts.items()}
        if self.apart:
            for name, (errors, own) in of_sources.items():
                found |= {f"{name}/loss": sum(own.values())}
                found |= {f"{name}/{shown}": error for shown, error in errors.items()}
        return found

    def _of(self, sums: Tensor) -> tuple[dict[str, float], dict[str, float]]:
        """Mean errors by their names in the logs, and what each term adds to the loss, from (3, 4) sums."""
        errors, parts = {}, {}
        for name, (total, counted, error, known) in zip(TERMS, sums.tolist(), strict=True):
            shown, unit = SHOWN[name]
            if known:
                errors[shown] = unit * error / known
            parts[name] = getattr(self.loss, name) * total / max(counted, 1)
        return errors, parts


def shown_errors(stage: str) -> list[tuple[str, str, str]]:
    """Name, name in the logs, and unit of the errors that training ("train") or validation ("val") logs."""
    return [(name, f"{stage}/{SHOWN[name][0]}", UNITS[name]) for name in SHOWN]
