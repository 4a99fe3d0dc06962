"""Atoms on top of each other by the thousand are noticed before a search writes down all their pairs."""

import math

import numpy as np
from numpy.typing import NDArray

from tribond.errors import StructureError

DENSEST = 4.0  # atoms/Å³ | diamond has 0.18, hydrogen at 500 GPa about 0.7
EDGE = 3.0  # Å, of the cubes in which atoms are counted
FEW = 1000  # atoms | fewer have no more pairs than memory holds
MANY_PAIRS = 2_000_000
MEASURED = 1000  # atoms of the fullest cube, among which the closest two are looked for


def check_crowding(
    positions: NDArray[np.float64],
    near: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    radius: float,
) -> None:
    """Refuse what no matter is as dense as, where it would cost gigabytes to find that out pair by pair.

    Args:
        positions: (atoms, 3) Å.
        near: (atoms, 3) Å, the same inside the cell along periodic axes.
        cell: (3, 3) Å.
        pbc: (3,) periodic along a, b, c.
        radius: of the search, Å.

    Raises:
        StructureError: naming two atoms and their distance.
    """
    atoms = len(near)
    if pbc.all():
        density = atoms / max(abs(float(np.linalg.det(cell))), 1e-300)
        if density > DENSEST and atoms * density * radius**3 * 4 * math.pi / 3 > MANY_PAIRS:
            msg = f"{atoms} atoms in a cell of {atoms / density:.4g} Å³ are {density:.3g} atoms/Å³, and no matter has more than {DENSEST:g}"
            raise StructureError(f"{msg}; {_closest(positions, near)}mend the cell, or remove what is there twice")
    if atoms < FEW:
        return
    cubes = np.floor(near / EDGE).astype(np.int64)
    cubes -= cubes.min(axis=0)
    spans = cubes.max(axis=0) + 1
    code = (cubes[:, 0] * spans[1] + cubes[:, 1]) * spans[2] + cubes[:, 2]
    if float(spans.prod(dtype=np.float64)) <= 8 * atoms:
        counts = np.bincount(code)
        fullest, most = int(counts.argmax()), int(counts.max())
    else:
        codes, counts = np.unique(code, return_counts=True)
        fullest, most = int(codes[counts.argmax()]), int(counts.max())
    if most > DENSEST * EDGE**3:
        inside = np.flatnonzero(code == fullest)
        msg = f"{most} atoms lie in a cube of {EDGE:g} Å, and no matter is as dense"
        raise StructureError(
            f"{msg}; {_closest(positions, near, inside)}remove what is there twice, or mend positions and cell"
        )


def _closest(positions: NDArray[np.float64], near: NDArray[np.float64], among: NDArray[np.int64] | None = None) -> str:
    """The two atoms that are closest among some, in words."""
    chosen = (np.arange(len(near)) if among is None else among)[:MEASURED]
    if len(chosen) < 2:
        return ""
    apart = np.linalg.norm(near[chosen, None] - near[None, chosen], axis=2)
    np.fill_diagonal(apart, np.inf)
    first, second = np.unravel_index(int(apart.argmin()), apart.shape)
    i, j = int(chosen[first]), int(chosen[second])
    where = positions[i].round(3).tolist()
    return f"atoms {i} and {j} (at {where}) are {apart.min():.3g} Å apart: "
