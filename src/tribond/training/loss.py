"""The loss of the paper: Huber on energy per atom, forces and stress, 1 : 1 : 0.1."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from tribond.data.dataset import LabeledGraph
from tribond.models.force_field import Evaluation
from tribond.units import EV_PER_A3_TO_GPA

TERMS = ("energy", "forces", "stress")


@dataclass(frozen=True)
class LossSums:
    """What the loss of a batch is made of: of parts of a batch, these can be added up. All (3,), one a term."""

    losses: Tensor  # sum of weight · H, float64; differentiable
    counts: Tensor  # how many numbers that is
    error_sums: Tensor  # sum of |error|, in the loss's units
    error_counts: Tensor  # how many numbers that is

    def together(self, total: Callable[[Tensor], Tensor]) -> "LossSums":
        """Those of all processes; nothing can be differentiated.

        Args:
            total: gives the sum of a tensor over all processes.
        """
        mine = (self.losses, self.counts, self.error_sums, self.error_counts)
        return LossSums(*total(torch.stack([sums.detach().double() for sums in mine])).unbind())


@dataclass(frozen=True)
class LossTerms:
    """Mean Huber losses and absolute errors of one batch; zero where no system of the batch has the label.

    Weights of systems are in the losses, never in the errors.
    """

    total: Tensor
    energy: Tensor
    forces: Tensor
    stress: Tensor
    error_sums: Tensor  # (3,) sum of |error| of energy, forces and stress, in the loss's units
    error_counts: Tensor  # (3,) how many numbers that is

    @property
    def absolute_errors(self) -> dict[str, tuple[float, int]]:
        """Term -> (sum of |error|, how many numbers)."""
        sums, counts = self.error_sums.tolist(), self.error_counts.tolist()
        return {name: (sums[row], int(counts[row])) for row, name in enumerate(TERMS)}


@dataclass(frozen=True)
class Loss:
    """L = w_e H(energy/atom, eV) + w_f H(forces, eV/Å) + w_s H(stress, GPa), each the mean over what is labelled.

    With weights of systems a term is sum(weight · H) / count, over the labelled numbers whose weight is not zero: all
    weights of one batch doubled double the loss, and what has no weight is as if it had no label.
    """

    energy: float = 1.0
    forces: float = 1.0
    stress: float = 0.1
    huber_delta: float = 0.01

    def __call__(self, result: Evaluation, target: LabeledGraph, weights: Tensor | None = None) -> LossTerms:
        """Compare an evaluation with its labels; what is NaN in the labels does not count.

        Args:
            result: of the batch.
            target: the batch.
            weights: (systems, 3) of energy, forces and stress of every system; None: all are one.
        """
        return self.terms(self.sums(result, target, weights))

    def sums(self, result: Evaluation, target: LabeledGraph, weights: Tensor | None = None) -> LossSums:
        """The same before the means are taken."""
        losses, counted_numbers, sums, counts = [], [], [], []
        for column, (name, (difference, known)) in enumerate(differences(result, target).items()):
            count = known.sum()
            zero = torch.zeros_like(difference)
            if weights is None:
                summed, counted = huber_loss(difference, zero, reduction="sum", delta=self.huber_delta), count
            else:
                weight = per_number(weights[:, column], name, target).to(difference.dtype)
                each = huber_loss(difference, zero, reduction="none", delta=self.huber_delta)
                summed, counted = (weight * each).sum(), (known & (weight > 0)).sum()
            losses.append(summed)
            counted_numbers.append(counted)
            sums.append(difference.detach().abs().sum())
            counts.append(count)
        return LossSums(*(torch.stack(column) for column in (losses, counted_numbers, sums, counts)))

    def terms(self, sums: LossSums, counts: Tensor | None = None) -> LossTerms:
        """Means from sums.

        Args:
            sums: of a batch, or of the part that one process has of it.
            counts: (3,) numbers that each mean is over; None: those of the sums. With those of the whole batch, the
                terms of the parts add up to those of the batch.
        """
        energy, forces, stress = (sums.losses / (sums.counts if counts is None else counts).clamp(min=1)).unbind()
        total = self.energy * energy + self.forces * forces + self.stress * stress
        return LossTerms(total, energy, forces, stress, sums.error_sums, sums.error_counts)

    def parts(self, terms: LossTerms) -> dict[str, Tensor]:
        """What each term adds to the loss, its weight included: together they are the loss."""
        return {name: getattr(self, name) * getattr(terms, name) for name in TERMS}


def differences(result: Evaluation, target: LabeledGraph) -> dict[str, tuple[Tensor, Tensor]]:
    """Term -> its differences in the loss's units, zero where there is no label; and where there is one."""
    atoms = target.graph.atoms_per_system().clamp(min=1)
    pairs = {
        "energy": (result.energy / atoms, target.energy / atoms),
        "forces": (result.forces, target.forces),
        "stress": (result.stress * EV_PER_A3_TO_GPA, target.stress * EV_PER_A3_TO_GPA),
    }
    found = {}
    for name, (predicted, wanted) in pairs.items():
        known = torch.isfinite(wanted)
        # Not predicted[known]: a batch without the label must still reach every parameter, with gradient zero.
        found[name] = (torch.where(known, predicted - torch.where(known, wanted, 0.0), 0.0), known)
    return found


def per_number(of_system: Tensor, name: str, target: LabeledGraph) -> Tensor:
    """(systems,) values laid beside the numbers of a term: (systems,), (atoms, 1) or (systems, 1, 1)."""
    if name == "forces":
        return of_system[target.graph.system_index, None]
    return of_system if name == "energy" else of_system[:, None, None]
