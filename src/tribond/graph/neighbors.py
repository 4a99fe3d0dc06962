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
    finder = NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    centres, neighbours, shifts, lengths = finder.compute(
        points=np.ascontiguousarray(positions), box=complete_cell(cell, pbc), periodic=pbc, quantities="ijSd"
    )
    order = np.argsort(centres, kind="stable")
    return (
        centres[order].astype(np.int64),
        neighbours[order].astype(np.int64),
        shifts[order].astype(np.int64),
        lengths[order].astype(np.float64),
    )


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
