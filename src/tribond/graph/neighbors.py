"""The search for neighbours, behind one function."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vesin import NeighborList

from tribond.graph.bond_list import BondList
from tribond.graph.bonds import Bonds
from tribond.graph.crowding import FEW, check_crowding
from tribond.graph.pairs import search
from tribond.typing import Positions

# Bonds are searched for a little farther than asked, and then measured as the model measures them: which of them are
# short enough must not hang on the rounding of a search.
MARGIN = 1e-6  # Å


def neighbor_list(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All directed pairs closer than the cutoff, periodic images included. Never a cap on neighbours.

    Args:
        positions: (atoms, 3) Å; atoms may lie outside the cell.
        cell: (3, 3) Å, rows are lattice vectors; rows of axes that are not periodic are ignored.
        pbc: (3,) periodic along a, b, c.
        cutoff: Å.

    Returns:
        centres (edges,), neighbours (edges,), cell shifts (edges, 3) and lengths (edges,) in Å, sorted by centre,
        then neighbour, then shift along a, b, c. An atom is its own neighbour through a periodic image, never at
        distance zero.
    """
    found = find_bonds(positions, cell, pbc, cutoff)
    squared = found.squared_lengths(positions, found.offsets(cell))
    keep = np.flatnonzero(squared < cutoff**2)
    centres, neighbours = found.edge_index[:, keep]
    return centres, neighbours, found.shifts[found.image[keep]], np.sqrt(squared[keep])


def bonds_within(positions: Positions, cell: Tensor, pbc: Tensor, cutoff: float, threebody_cutoff: float) -> Bonds:
    """All bonds of one system.

    Args:
        positions: (atoms, 3) float64 Å, contiguous, on the CPU; atoms may lie outside the cell.
        cell: (3, 3) float64 Å, contiguous, rows are lattice vectors; rows of axes that are not periodic are ignored.
        pbc: (3,) bool, contiguous, periodic along a, b, c.
        cutoff: longest bond, Å.
        threebody_cutoff: longest bond that takes part in angles, Å.

    Raises:
        StructureError: for thousands of atoms on top of each other.
    """
    _check_crowding(positions.numpy(), cell.numpy(), pbc.numpy(), cutoff)
    found = search(positions, cell, pbc, cutoff, threebody_cutoff)
    if found is not None:
        return found
    candidates = _by_cells(positions.numpy(), cell.numpy(), pbc.numpy(), cutoff)
    return candidates.select(positions, candidates.offsets(cell.numpy()), cutoff, threebody_cutoff)


def find_bonds(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], radius: float
) -> BondList:
    """All directed pairs closer than a radius, in their one order, and perhaps some that are longer by rounding.

    Args:
        positions: (atoms, 3) Å; atoms may lie outside the cell.
        cell: (3, 3) Å, rows are lattice vectors; rows of axes that are not periodic are ignored.
        pbc: (3,) periodic along a, b, c.
        radius: Å.

    Returns:
        The list.

    Raises:
        StructureError: for thousands of atoms on top of each other.
    """
    # Of whatever kind they are: reversed, big-endian, numbers instead of bools.
    positions, cell = (np.array(given, dtype=np.float64, order="C") for given in (positions, cell))
    pbc = np.array(pbc, dtype=np.bool_)
    _check_crowding(positions, cell, pbc, radius)
    reach = radius + rounding(positions, cell)
    found = search(torch.from_numpy(positions), torch.from_numpy(cell), torch.from_numpy(pbc), reach, 0.0)
    if found is None:
        return _by_cells(positions, cell, pbc, radius)
    return BondList.in_order(found.edge_index.numpy(), found.cell_shifts.numpy().astype(np.int64))


def _check_crowding(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], radius: float
) -> None:
    if len(positions) < FEW and not pbc.all():
        return
    near = positions
    if pbc.any() and len(positions) >= FEW:
        box = complete_cell(cell, pbc)
        near = positions - np.where(pbc, np.floor(positions @ np.linalg.inv(box)), 0.0) @ box
    check_crowding(positions, near, cell, pbc, radius)


def _by_cells(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], radius: float
) -> BondList:
    """As `find_bonds`, by vesin, which divides space into small cells: for any number of atoms."""
    if len(positions) == 0:
        return BondList.sorted(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3), dtype=np.int64), 0)
    reach = radius + rounding(positions, cell)
    box = complete_cell(cell, pbc)
    near, moved = gathered(positions, box, pbc, reach)
    # vesin 0.6.2 divides by zero where a cell is long, open along an axis and not along x, y, z: it gets none that is open,
    # but one so wide that nothing is a neighbour across it.
    for axis in np.flatnonzero(~pbc):
        height = near @ box[axis]
        near -= (height.min() - 0.5) * box[axis]
        box[axis] *= np.ptp(height) + reach + 1.0
    finder = NeighborList(cutoff=reach, full_list=True, sorted=False)  # `BondList.sorted` sorts, and faster
    pairs, shifts = finder.compute(points=near, box=box, periodic=True, quantities="PS", copy=False)
    pairs = pairs.view(np.int64)
    return BondList.sorted(pairs, _unwrapped(pairs, shifts, moved), len(positions))


def rounding(positions: NDArray[np.float64], cell: NDArray[np.float64]) -> float:
    """By how much, Å, two ways to compute the length of a bond may differ: more where the atoms are far away."""
    farthest = max(np.abs(positions).max(initial=0.0), np.abs(cell).max(initial=0.0))
    return min(MARGIN + 16 * float(np.finfo(np.float64).eps * farthest), 1.0)


def _unwrapped(
    pairs: NDArray[np.int64], shifts: NDArray[np.int32], moved: NDArray[np.int64]
) -> NDArray[np.int32] | NDArray[np.int64]:
    """Cell shifts between the atoms as given, from those between the atoms brought near.  (edges, 3)."""
    if not moved.any():
        return shifts
    if np.abs(moved).max() < np.iinfo(np.int32).max // 4:
        moved = moved.astype(np.int32)
    unwrapped = moved.take(pairs[:, 0], axis=0)
    unwrapped -= moved.take(pairs[:, 1], axis=0)
    unwrapped += shifts
    return unwrapped


def gathered(
    positions: NDArray[np.float64], box: NDArray[np.float64], pbc: NDArray[np.bool_], cutoff: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Bring far atoms near without changing who is whose neighbour: a search over empty space can take for ever.

    Args:
        positions: (atoms, 3) Å.
        box: (3, 3) Å from `complete_cell`: unit vectors normal to the periodic ones along open axes.
        pbc: (3,) periodic along a, b, c.
        cutoff: Å.

    Returns:
        Positions (atoms, 3) inside the cell along periodic axes, and without gaps wider than the cutoff along open
        ones; and by how many whole cells each atom was moved along a, b and c (atoms, 3): old = new + moved · box.
    """
    moved = np.where(pbc, np.floor(positions @ np.linalg.inv(box)), 0.0)
    near = positions - moved @ box
    for normal in box[~pbc]:
        height = near @ normal
        order = np.argsort(height)
        too_wide = np.maximum(np.diff(height[order]) - (cutoff + 1.0), 0.0)
        near[order[1:]] -= np.cumsum(too_wide)[:, None] * normal
    return np.ascontiguousarray(near), moved.astype(np.int64)


def complete_cell(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace the lattice vectors of open axes by unit vectors normal to the periodic ones, so that a cell exists.

    Args:
        cell: (3, 3) Å, rows are lattice vectors.
        pbc: (3,) periodic along a, b, c.

    Returns:
        (3, 3) Å, equal to `cell` along the periodic axes and invertible if those are linearly independent.
    """
    completed = np.where(pbc[:, None], cell, 0.0)
    if pbc.all():
        return completed
    # The right singular vectors beyond the rank span what the periodic vectors leave open.
    periodic = int(pbc.sum())
    open_directions = np.linalg.svd(completed[pbc])[2][periodic:] if periodic else np.eye(3)
    completed[~pbc] = open_directions
    return completed
