"""The list of neighbours on a GPU: kept there, filtered there, and with an optional package searched for there."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tribond.graph.bond_list import LARGEST_KEY, BondList
from tribond.graph.bonds import SMALLEST_DISTANCE, Bonds
from tribond.graph.crowding import check_crowding
from tribond.graph.neighbors import complete_cell, find_bonds, gathered, rounding
from tribond.typing import EdgeIndex, Positions


@dataclass(frozen=True, eq=False)
class DeviceBondList:
    """A BondList in the memory of a device; the same order, the same lengths to the last bit."""

    edge_index: EdgeIndex  # (2, edges) int64
    image: Tensor  # (edges,) int64 | row of `shifts`
    shifts: Tensor  # (images, 3) float64
    host: BondList  # the images once more, and no bonds

    @staticmethod
    def of(edge_index: Tensor, image: Tensor, shifts: NDArray[np.int64]) -> "DeviceBondList":
        """From bonds in order, on a device, and the table of their images."""
        none = np.zeros((2, 0), dtype=np.int64)
        table = torch.tensor(shifts, dtype=torch.float64, device=edge_index.device)
        return DeviceBondList(edge_index, image, table, BondList(none, none[0], shifts))

    def offsets(self, cell: NDArray[np.float64]) -> Tensor:
        """Vectors S·cell of the images, axis by axis.  (3, images), Å, on the device."""
        return torch.from_numpy(self.host.offsets(cell)).to(self.edge_index.device)

    def select(self, positions: Positions, offsets: Tensor, cutoff: float, threebody_cutoff: float) -> Bonds:
        """The pairs that are bonds, as of a BondList. The device is waited for once."""
        squared = self._squared_lengths(positions, offsets)
        within, in_angles = squared < cutoff**2, squared < threebody_cutoff**2
        too_close = squared < SMALLEST_DISTANCE**2
        bonds, angles, clashes = torch.stack([within.sum(), (within & in_angles).sum(), too_close.sum()]).tolist()
        keep = _where(within, bonds)
        return Bonds(
            edge_index=self.edge_index.index_select(1, keep),
            cell_shifts=self.shifts.index_select(0, self.image.index_select(0, keep)),
            angle_edges=_where(in_angles.index_select(0, keep), angles),
            clash=self._clash(squared) if clashes else None,
        )

    def _squared_lengths(self, positions: Tensor, offsets: Tensor) -> Tensor:
        """As of a BondList: by single additions and products, which every device rounds alike.  (edges,) Å²."""
        centre, neighbour = self.edge_index
        squared = positions.new_zeros(self.edge_index.shape[1])
        for column, offset in zip(positions.T.contiguous(), offsets, strict=True):
            difference = column.index_select(0, neighbour)
            difference -= column.index_select(0, centre)
            difference += offset.index_select(0, self.image)
            squared += difference.square_()
        return squared

    def _clash(self, squared: Tensor) -> tuple[int, int, float]:
        shortest = int(squared.argmin())
        i, j = self.edge_index[:, shortest].tolist()
        return i, j, float(squared[shortest].sqrt())


def find_bonds_on_device(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    radius: float,
    device: torch.device | str,
) -> DeviceBondList:
    """As `find_bonds`, into the memory of a device.

    The search itself runs there too where nvalchemi-toolkit-ops is installed, and on the CPU where it is not.

    Args:
        positions: (atoms, 3) Å; atoms may lie outside the cell.
        cell: (3, 3) Å, rows are lattice vectors; rows of axes that are not periodic are ignored.
        pbc: (3,) periodic along a, b, c.
        radius: Å.
        device: any of PyTorch's with float64.
    """
    if len(positions) == 0 or find_spec("nvalchemiops") is None:
        found = find_bonds(positions, cell, pbc, radius)
        edge_index, image = (torch.from_numpy(part).to(device) for part in (found.edge_index, found.image))
        return DeviceBondList.of(edge_index, image, found.shifts)
    reach = radius + rounding(positions, cell)
    box = complete_cell(cell, pbc)
    near, moved = gathered(positions, box, pbc, reach)
    check_crowding(positions, near, cell, pbc, reach)
    for axis in np.flatnonzero(~pbc):  # as high as the atoms reach
        height = near @ box[axis]
        near = near - (height.min() - 0.5) * box[axis]
        box[axis] *= np.ptp(height) + 1.0
    pairs, shifts = _search(near, box, pbc, reach, torch.device(device))
    by = torch.from_numpy(moved).to(device)
    shifts = shifts + by.index_select(0, pairs[0]) - by.index_select(0, pairs[1])
    return _sorted(pairs, shifts, len(positions))


def _search(
    near: NDArray[np.float64], box: NDArray[np.float64], pbc: NDArray[np.bool_], reach: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Pairs (2, edges) and shifts (edges, 3) int64, without order, from nvalchemi-toolkit-ops."""
    from nvalchemiops.torch.neighbors import NeighborOverflowError, neighbor_list

    points, lattice, periodic = (torch.tensor(array, device=device) for array in (near, box[None], pbc[None]))
    room: dict[str, int] = {}
    while True:
        try:
            pairs, _, shifts = neighbor_list(
                points, reach, cell=lattice, pbc=periodic, method="cell_list", return_neighbor_list=True, **room
            )
        except NeighborOverflowError as error:  # never a cap on neighbours
            room = {"max_neighbors": max(int(error.num_neighbors), int(error.max_neighbors) + 1)}
        else:
            return pairs.long(), shifts.long()


def _sorted(pairs: Tensor, shifts: Tensor, num_atoms: int) -> DeviceBondList:
    """Pairs (2, edges) and shifts (edges, 3) in the order of a BondList."""
    table, image = torch.unique(shifts, dim=0, return_inverse=True)  # rows come sorted
    count = max(len(table), 1)
    if num_atoms**2 * count > LARGEST_KEY:  # very many atoms, very far apart
        found = BondList.sorted(pairs.T.cpu().numpy(), shifts.cpu().numpy(), num_atoms)
        edge_index, image = (torch.from_numpy(part).to(pairs.device) for part in (found.edge_index, found.image))
        return DeviceBondList.of(edge_index, image, found.shifts)
    key = ((pairs[0] * num_atoms + pairs[1]) * count + image).sort().values
    pair = torch.div(key, count, rounding_mode="floor")
    centre = torch.div(pair, num_atoms, rounding_mode="floor")
    edge_index = torch.stack([centre, pair - centre * num_atoms])
    return DeviceBondList.of(edge_index, key - pair * count, table.cpu().numpy())


def _where(mask: Tensor, count: int) -> Tensor:
    """Indices where a mask is true, of which there are `count`: known, so that nothing waits for the device."""
    place = torch.where(mask, mask.cumsum(0) - 1, count)  # the others to one place after the last, which is cut off
    found = torch.empty(count + 1, dtype=torch.long, device=mask.device)
    return found.index_copy_(0, place, torch.arange(len(mask), device=mask.device))[:count]
