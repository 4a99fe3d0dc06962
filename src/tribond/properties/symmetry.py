"""What spglib says about the symmetry of a structure."""

import warnings
from typing import Any

from ase import Atoms

LARGEST_SEARCHED = 1000  # atoms | a space group is only told: a search in more takes longer than the steps
SYMPREC = 0.02  # Å | positions this close are equivalent: what a relaxation leaves of noise in soft directions


def space_group(atoms: Atoms, symprec: float = SYMPREC, *, largest: int | None = None) -> str | None:
    """Space group such as 'Fm-3m (225)', or None unless fully periodic or where spglib finds none.

    Args:
        atoms: the structure.
        symprec: largest distance in Å between positions that count as equivalent.
        largest: of more atoms it is not asked; the search takes 10 s for 4,000 and grows with the cube.
    """
    import spglib

    if not atoms.pbc.all() or (largest is not None and len(atoms) > largest):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spglib 2.7 announces its next way to fail; both are handled here
        try:
            return spglib.get_spacegroup((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec)
        except spglib.SpglibError:
            return None


def symmetry_of(atoms: Atoms, symprec: float = SYMPREC) -> Any:
    """Spglib's dataset: operations, orbits, the way to the standard cell; None where it finds none.

    Args:
        atoms: periodic along a, b and c; masses, moments and charges do not count.
        symprec: largest distance in Å between positions that count as equivalent.
    """
    import spglib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return spglib.get_symmetry_dataset(
                (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=symprec
            )
        except spglib.SpglibError:
            return None
