"""Lists of pairs of many systems, joined into one that is looked through as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tribond.graph.bond_list import BondList
from tribond.graph.bonds import Bonds
from tribond.graph.device import DeviceBondList
from tribond.typing import Positions


@dataclass(frozen=True, eq=False)
class BatchList:
    """A list of pairs of a batch, all of one kind: on the CPU or in the memory of a device."""

    pairs: BondList | DeviceBondList
    image_system: NDArray[np.int64]  # (images,) | the system an image belongs to

    @staticmethod
    def of(lists: Sequence[BondList | DeviceBondList], starts: NDArray[np.int64]) -> "BatchList":
        """Join lists in the order of their systems, which is the order of bonds.

        Args:
            lists: one or more of one kind, each with atoms counted from 0.
            starts: the first atom of every system, and perhaps more.
        """
        images = [len(_host(one).shifts) for one in lists]
        shifts = np.concatenate([_host(one).shifts for one in lists])
        edge_index = torch.cat([_tensor(one.edge_index) for one in lists], dim=1)
        image = torch.cat([_tensor(one.image) for one in lists])
        counts = np.array([one.edge_index.shape[1] for one in lists])
        edge_index += _repeated(starts[: len(lists)], counts, edge_index.device)
        image += _repeated(np.cumsum([0, *images[:-1]]), counts, image.device)
        if isinstance(lists[0], BondList):
            joined: BondList | DeviceBondList = BondList(edge_index.numpy(), image.numpy(), shifts)
        else:
            joined = DeviceBondList.of(edge_index, image, shifts)
        return BatchList(joined, np.arange(len(lists)).repeat(images))

    def offsets(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors S·cell of all images, as of a BondList: by single additions and products.  (3, images), Å.

        Args:
            cells: (systems, 3, 3) Å.
        """
        along_a, along_b, along_c = _host(self.pairs).shifts.T.astype(np.float64)
        a, b, c = (np.ascontiguousarray(cells[self.image_system, axis].T) for axis in range(3))
        a *= along_a
        b *= along_b
        c *= along_c
        a += b
        a += c
        return a

    def select(
        self, positions: Positions, offsets: NDArray[np.float64], cutoff: float, threebody_cutoff: float
    ) -> Bonds:
        """The pairs that are bonds, as of a BondList.

        Args:
            positions: (atoms, 3) float64, Å, where the list lies.
            offsets: (3, images) Å, from `offsets`.
            cutoff: longest bond, Å.
            threebody_cutoff: longest bond that takes part in angles, Å.
        """
        if isinstance(self.pairs, BondList):
            return self.pairs.select(positions, offsets, cutoff, threebody_cutoff)
        there = torch.from_numpy(offsets).to(positions.device)
        return self.pairs.select(positions, there, cutoff, threebody_cutoff)


def _host(pairs: BondList | DeviceBondList) -> BondList:
    """Where the images are to be had on the CPU."""
    return pairs if isinstance(pairs, BondList) else pairs.host


def _tensor(array: NDArray[np.int64] | Tensor) -> Tensor:
    return array if isinstance(array, Tensor) else torch.from_numpy(array)


def _repeated(values: NDArray[np.int64], counts: NDArray[np.int64], device: torch.device) -> Tensor:
    """Each value so many times.  (sum of counts,)."""
    if device.type == "cpu":  # several times faster than PyTorch does it there
        return torch.from_numpy(values.repeat(counts))
    there = torch.from_numpy(np.stack([values, counts])).to(device)
    return there[0].repeat_interleave(there[1], output_size=int(counts.sum()))
