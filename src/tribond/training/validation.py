"""What a validation finds: errors of all structures, and of every source alone."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from tribond.data.dataset import LabeledGraph
from tribond.models.force_field import Evaluation
from tribond.training.loss import Loss, differences, per_number

# What the logs show: meV/atom, meV/Å and GPa.
SHOWN = {
    "energy": ("energy_meV_per_atom", 1000.0),
    "forces": ("forces_meV_per_A", 1000.0),
    "stress": ("stress_GPa", 1.0),
}
UNITS = {"energy": "meV/atom", "forces": "meV/Å", "stress": "GPa"}

Gather = Callable[[Tensor], Tensor]


class ValidationErrors:
    """Sums over the batches of a validation.

    Args:
        loss: of the training file. Weights of sources and stages do not change it, so that all validations can be
            compared; but what has weight zero in its source does not count.
        names: of the sources that validate, as `LabeledGraph.source` counts them.
        weights: (sources, 3) of energy, forces and stress in each.
        best_by: the sources whose losses, averaged, are the loss of the validation; none: the mean over all batches.
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
        self.sums = {name: [0.0, 0.0] for name in (*SHOWN, "loss")}
        # Of every source and term: sum of H, of how many numbers, sum of |error|, of how many numbers.
        self.of_source = torch.zeros(len(self.names), len(SHOWN), 4, dtype=torch.float64)

    def add(self, result: Evaluation, batch: LabeledGraph) -> None:
        """Sum up the errors of one batch."""
        counts = self.counts.to(batch.source.device)[batch.source]
        terms = self.loss(result, batch, None if bool(counts.all()) else counts.float())
        for name, (total, count) in terms.absolute_errors.items():
            self.sums[name][0] += total
            self.sums[name][1] += count
        self.sums["loss"][0] += float(terms.total) * batch.graph.num_systems
        self.sums["loss"][1] += batch.graph.num_systems
        if self.apart:
            self._add_apart(result, batch, counts)

    def _add_apart(self, result: Evaluation, batch: LabeledGraph, counts: Tensor) -> None:
        for column, (name, (difference, known)) in enumerate(differences(result, batch).items()):
            counted = known & per_number(counts[:, column], name, batch)
            each = huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=self.loss.huber_delta)
            source = per_number(batch.source, name, batch).expand(difference.shape).reshape(-1).cpu()
            numbers = torch.stack([each * counted, counted, difference.abs(), known], dim=-1)
            self.of_source[:, column].index_add_(0, source, numbers.detach().reshape(-1, 4).double().cpu())

    def found(self, device: torch.device, gather: Gather = lambda same: same) -> dict[str, Tensor | float]:
        """Everything by its name in the logs, without "val/": mean errors, and "loss".

        Args:
            device: where processes exchange tensors.
            gather: those of all processes, along a new first axis.
        """
        sums = gather(torch.tensor([self.sums[name] for name in (*SHOWN, "loss")], device=device))
        sums = sums.reshape(-1, len(SHOWN) + 1, 2).sum(0)
        found: dict[str, Tensor | float] = {}
        for (shown, unit), (total, count) in zip(SHOWN.values(), sums[:-1].tolist(), strict=True):
            if count:
                found[shown] = unit * total / count
        found["loss"] = sums[-1, 0] / sums[-1, 1]
        if not self.apart:
            return found
        of_source = gather(self.of_source.to(device)).reshape(-1, *self.of_source.shape).sum(0)
        losses = {}
        for name, terms in zip(self.names, of_source.tolist(), strict=True):
            if not any(count for _, _, _, count in terms):
                continue
            weights = (self.loss.energy, self.loss.forces, self.loss.stress)
            losses[name] = sum(
                w * total / max(count, 1) for w, (total, count, _, _) in zip(weights, terms, strict=True)
            )
            found[f"{name}/loss"] = losses[name]
            for (shown, unit), (_, _, total, count) in zip(SHOWN.values(), terms, strict=True):
                if count:
                    found[f"{name}/{shown}"] = unit * total / count
        if self.best_by:
            found["loss"] = sum(losses[name] for name in self.best_by) / len(self.best_by)
        return found


def shown_errors(stage: str) -> list[tuple[str, str, str]]:
    """Name, name in the logs, and unit of the errors that training ("train") or validation ("val") logs."""
    return [(name, f"{stage}/{SHOWN[name][0]}", UNITS[name]) for name in SHOWN]
