"""The gated multilayer perceptron φ of equations (3)-(5) and (7), and the plain one of the intensive readouts."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tribond.nn.activations import gated, silu


class MLP(nn.Module):
    """L_n ∘ ... ∘ g ∘ L_1 with g = SiLU, and g after the last layer too if `activate_last`."""

    def __init__(self, widths: Sequence[int], *, bias: bool = True, activate_last: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(widths))
        self.activate_last = activate_last

    def forward(self, x: Tensor) -> Tensor:
        """(..., widths[0]) -> (..., widths[-1])."""
        for depth, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if depth < len(self.layers) or self.activate_last:
                x = silu(x)
        return x


class GatedMLP(nn.Module):
    """φ(x) = (g∘L₂∘g∘L₁)(x) ⊙ (σ∘L₂'∘g∘L₁')(x), g = SiLU: one branch says what, the other how much.

    The first layer of both branches is one matrix product; the paper's concatenated input x = v_i ⊕ v_j ⊕ e_ij ⊕ u
    can be given in parts that were multiplied before (`first_layer`, `after_first`).
    """

    def __init__(self, widths: Sequence[int], *, bias: bool = True, activate_last: bool = True) -> None:
        super().__init__()
        self.core = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(widths))
        self.gate = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(widths))
        self.has_bias = bias
        self.activate_last = activate_last  # the readout's core ends without g, so that energies can be negative

    def first_layer(self) -> tuple[Tensor, Tensor | None]:
        """Weight (2 · widths[1], widths[0]) and bias (2 · widths[1],) of the first layer, core above gate."""
        core, gate = cast("nn.Linear", self.core[0]), cast("nn.Linear", self.gate[0])
        weight = torch.cat([core.weight, gate.weight])
        return weight, torch.cat([core.bias, gate.bias]) if self.has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., widths[0]) -> (..., widths[-1])."""
        return self.after_first(linear(x, *self.first_layer()))

    def after_first(self, first: Tensor) -> Tensor:
        """All but the first linear layer.  (..., 2 · widths[1]) -> (..., widths[-1])."""
        if len(self.core) > 1:
            first = silu(first)
        core, gate = first.chunk(2, dim=-1)
        for depth in range(1, len(self.core)):
            if depth > 1:
                core, gate = silu(core), silu(gate)
            core, gate = self.core[depth](core), self.gate[depth](gate)
        return gated(core, gate) if self.activate_last else core * torch.sigmoid(gate)
