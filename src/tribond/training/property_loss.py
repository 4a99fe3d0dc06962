"""The loss of a model of properties: rows without a target do not count in its term."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss

HUBER_DELTA = 0.5  # spreads of the target: beyond, the loss is linear, so that a few wrong labels do not rule it


@dataclass(frozen=True)
class PropertyLoss:
    """Σ_t w_t mean(ℓ(network - target)) / Σ_t w_t over the targets; cross entropy of classes.

    Args:
        kind: ℓ.
        weights: (targets,) w.
        classification: as in the config of the model.
    """

    kind: Literal["huber", "mse", "mae"]
    weights: Sequence[float]
    classification: bool | str

    def sums(self, network: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the losses of each target over a batch, and how many have one.

        Args:
            network: (systems, num_targets) what the network says; logits of classes.
            target: (systems, targets), NaN where missing; of classes their number.

        Returns:
            (targets,) each.
        """
        known = torch.isfinite(target)
        wanted = torch.where(known, target, 0.0).to(network.dtype)
        if self.classification == "exclusive":
            each = cross_entropy(network, wanted[:, 0].long(), reduction="none")[:, None]
        elif self.classification:
            each = binary_cross_entropy_with_logits(network, wanted, reduction="none")
        elif self.kind == "huber":
            each = huber_loss(network, wanted, reduction="none", delta=HUBER_DELTA)
        else:
            difference = network - wanted
            each = difference.abs() if self.kind == "mae" else difference**2
        # Not each[known]: a batch without a target must still reach every parameter, with gradient zero.
        return torch.where(known, each, 0.0).sum(0), known.sum(0)

    def total(self, sums: Tensor, counts: Tensor) -> Tensor:
        """The loss from sums and counts of (targets,): the weighted mean over the targets that occur."""
        weights = torch.tensor(self.weights, dtype=sums.dtype, device=sums.device)
        weights = torch.where(counts > 0, weights, 0.0)
        return (weights * sums / counts.clamp(min=1)).sum() / weights.sum().clamp(min=1e-12)
