"""Supercells that are long enough in every direction."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.errors import ConfigError
from tribond.properties.strains import SYMPREC
from tribond.properties.symmetry import symmetry_of

MOST_ATOMS = 100_000  # of a supercell; force constants of more fit into no memory


def supercell_matrix(
    atoms: Atoms, repeats: Sequence[int] | None = None, min_length_A: float = 15.0
) -> NDArray[np.int64]:
    """How a supercell is made of a cell: its lattice vectors are the rows of `matrix @ cell`.

    Args:
        atoms: the cell.
        repeats: of the cell along a, b and c; then `min_length_A` does not count.
        min_length_A: every vector of the supercell is at least this long. The conventional cell is repeated rather than
            a primitive one, where there is one: supercells of cubic crystals are cubes.

    Raises:
        ConfigError: for lengths and repeats that make no sense, or supercells of more atoms than memory has room for.
    """
    if repeats is not None:
        if len(repeats) != 3 or min(repeats) < 1:
            raise ConfigError(f"a supercell needs three whole numbers from 1 up, not {list(repeats)}")
        return _checked(np.diag(np.array(repeats, dtype=np.int64)), len(atoms))
    if not 1 <= min_length_A <= 1000:
        raise ConfigError(f"the supercell's smallest length must be between 1 and 1000 Å, not {min_length_A:g}")
    conventional = to_conventional(atoms)
    lengths = np.linalg.norm(conventional @ atoms.cell.array, axis=1)
    times = np.ceil(min_length_A / lengths - 1e-6).astype(np.int64)
    return _checked(np.asarray(np.diag(times) @ conventional, dtype=np.int64), len(atoms))


def _checked(matrix: NDArray[np.int64], atoms: int) -> NDArray[np.int64]:
    size = round(abs(np.linalg.det(matrix))) * atoms
    if size > MOST_ATOMS:
        raise ConfigError(f"a supercell of {size:,} atoms is too large, at most {MOST_ATOMS:,}; take a smaller one")
    return matrix


def to_conventional(atoms: Atoms) -> NDArray[np.int64]:
    """The conventional cell in vectors of this one, as rows; the identity where this one is larger or spglib fails."""
    same = np.eye(3, dtype=np.int64)
    found = symmetry_of(atoms, SYMPREC)
    if found is None:
        return same
    matrix = np.linalg.inv(found.transformation_matrix).T  # columns: (a b c) = (a_s b_s c_s) P
    whole = np.rint(matrix).astype(np.int64)
    if np.abs(matrix - whole).max() > 1e-4 or round(abs(np.linalg.det(whole))) < 1:
        return same
    return whole


def shortest_width(cell: NDArray[np.float64]) -> float:
    """The smallest distance between opposite faces of a cell, Å: how far an atom is from its own images at least."""
    return float(1 / np.linalg.norm(np.linalg.inv(cell), axis=0).max())
