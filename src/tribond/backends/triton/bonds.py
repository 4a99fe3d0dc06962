"""Which bonds belong to an atom, as the Triton kernels take it."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bonds:
    """The bonds of a batch, sorted by their centre, and by their neighbour.

    Places behind the last bond may be left over, so that the arrays keep their size when bonds come and go: there
    the atoms are number `num_atoms`, which is none. Nothing is ever computed for them.
    """

    centre: Tensor  # (capacity,) int32, ascending
    neighbour: Tensor  # (capacity,) int32
    start: Tensor  # (atoms + 1,) int32 | the first bond of every atom, then the number of bonds
    order: Tensor  # (capacity,) int32 | the bonds by their neighbour, those of one neighbour ascending
    start_of_neighbour: Tensor  # (atoms + 1,) int32 | the first place in `order` of every neighbour

    @property
    def capacity(self) -> int:
        """Places for bonds."""
        return self.centre.shape[0]

    @property
    def num_atoms(self) -> int:
        """Atoms in the batch."""
        return self.start.shape[0] - 1

    @staticmethod
    def of(edge_index: Tensor, num_atoms: int) -> "Bonds":
        """Sort.  (2, capacity), row 0 ascending; no synchronisation with the host."""
        centre, neighbour = edge_index.to(torch.int32)
        by_neighbour, order = torch.sort(neighbour, stable=True)
        atoms = torch.arange(num_atoms + 1, dtype=torch.int32, device=edge_index.device)
        start, start_of_neighbour = (
            torch.searchsorted(ends.contiguous(), atoms, out_int32=True) for ends in (centre, by_neighbour)
        )
        return Bonds(centre.contiguous(), neighbour.contiguous(), start, order.to(torch.int32), start_of_neighbour)
