"""From the network's numbers to eV: a scale and a reference energy for every element."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn


class DoublePrecisionTables(nn.Module):
    """Buffers that stay in float64 whatever the precision of the network."""

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's signature
        """Follow the network to another device, but stay in float64 when it changes precision."""
        before = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, value in before.items():
            setattr(self, name, value.to(getattr(self, name).device))
        return self


class ReferenceEnergy(DoublePrecisionTables):
    """E_i = scale[Z_i] · φ₃(v_i) + reference[Z_i], in float64.

    The reference energies carry almost all of the energy and none of the forces. They are added in float64 even when
    the network runs in float32, which would round the energy of a thousand atoms to half a meV.
    """

    scale: Tensor
    reference: Tensor
    offset: Tensor

    def __init__(self, num_elements: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(num_elements, dtype=torch.float64))  # eV
        self.register_buffer("reference", torch.zeros(num_elements, dtype=torch.float64))  # eV
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))  # eV, once a system: the mean of (7)

    def set(self, *, scale: Sequence[float] | None = None, reference: Sequence[float] | None = None) -> None:
        """Fix the tables.  (elements,) eV each, in the order of the config's elements; None leaves one as it is."""
        if scale is not None:
            self.scale.copy_(torch.as_tensor(scale, dtype=torch.float64))
        if reference is not None:
            self.reference.copy_(torch.as_tensor(reference, dtype=torch.float64))

    def forward(self, network: Tensor, element: Tensor) -> Tensor:
        """(atoms,) numbers of the network and rows of the elements -> (atoms,) energies, eV."""
        return self.scale[element] * network.to(self.scale.dtype) + self.reference[element]
