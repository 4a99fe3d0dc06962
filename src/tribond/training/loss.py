"""The loss of the paper: Huber on energy per atom, forces and stress, 1 : 1 : 0.1."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from tribond.data.dataset import LabeledGraph
from tribond.models.force_field import Evaluation
from tribond.units import EV_PER_A3_TO_GPA


@dataclass(frozen=True)
class LossTerms:
    """Mean Huber losses and absolute errors of one batch; zero where no system of the batch has the label."""

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
        return {name: (sums[row], int(counts[row])) for row, name in enumerate(("energy", "forces", "stress"))}


@dataclass(frozen=True)
class Loss:
    """L = w_e H(energy/atom, eV) + w_f H(forces, eV/Å) + w_s H(stress, GPa), each the mean over what is labelled."""

    energy: float = 1.0
    forces: float = 1.0
    stress: float = 0.1
    huber_delta: float = 0.01

    def __call__(self, result: Evaluation, target: LabeledGraph) -> LossTerms:
        """Compare an evaluation with its labels; what is NaN in the labels does not count."""
        atoms = target.graph.atoms_per_system().clamp(min=1)
        pairs = {
            "energy": (result.energy / atoms, target.energy / atoms),
            "forces": (result.forces, target.forces),
            "stress": (result.stress * EV_PER_A3_TO_GPA, target.stress * EV_PER_A3_TO_GPA),
        }
        terms, sums, counts = {}, [], []
        for name, (predicted, wanted) in pairs.items():
            known = torch.isfinite(wanted)
            # Not predicted[known]: a batch without the label must still reach every parameter, with gradient zero.
            difference = torch.where(known, predicted - torch.where(known, wanted, 0.0), 0.0)
            count = known.sum()
            zero = torch.zeros_like(difference)
            terms[name] = huber_loss(difference, zero, reduction="sum", delta=self.huber_delta) / count.clamp(min=1)
            sums.append(difference.detach().abs().sum())
            counts.append(count)
        total = self.energy * terms["energy"] + self.forces * terms["forces"] + self.stress * terms["stress"]
        return LossTerms(total=total, **terms, error_sums=torch.stack(sums), error_counts=torch.stack(counts))
