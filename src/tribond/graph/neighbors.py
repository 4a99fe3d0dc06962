"""The neighbour list behind one function."""

import numpy as np
from numpy.typing import NDArray
from vesin import NeighborList


def neighbor_list(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All directed pairs closer than the cutoff, periodic images included, sorted by centre. Never a cap on neighbours.

    Args:
        positions: (atoms, 3) Å; atoms may lie outside the cell.
        cell: (3, 3) Å, rows are lattice vectors; rows of axes that are not periodic are ignored.
        pbc: (3,) periodic along a, b, c.
        cutoff: Å.

    Returns:
        centres (edges,), neighbours (edges,), cell shifts (edges, 3) and lengths (edges,) in Å. An atom is its own
        neighbour through a periodic image, never at distance zero.
    """
    if len(positions) == 0:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, np.zeros((0, 3), dtype=np.int64), np.zeros(0)
    box = complete_cell(cell, pbc)
    near, moved = _gathered(positions, box, pbc, cutoff)
    finder = NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    i, j, shifts, lengths = finder.compute(points=near, box=box, periodic=pbc, quantities="ijSd")
    i, j = i.astype(np.int64), j.astype(np.int64)
    return i, j, shifts.astype(np.int64) + moved[i] - moved[j], lengths.astype(np.float64)


def _gathered(
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
