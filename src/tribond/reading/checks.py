"""What every structure must pass, whatever the format: atoms, full sites, and a cell that is one."""

import numpy as np
from ase import Atoms

from tribond.errors import StructureError
from tribond.reading.occupancy import refuse_partial_occupancy

PLACEHOLDER = 1.01  # Å | cells no larger along all axes are none: programs write 1 1 1 around molecules
SMALLEST = 1e-6  # relative volume of a cell


def checked(atoms: Atoms) -> list[str]:
    """Refuse what has no energy, open axes that have no lattice vector, and drop what stops being true as atoms move.

    Returns:
        Notes for the user.

    Raises:
        StructureError: says what is wrong.
    """
    if len(atoms) == 0:
        msg = "there are no atoms in this structure"
        raise StructureError(msg)
    dummies = np.flatnonzero(atoms.numbers == 0)
    if len(dummies):
        msg = (
            f"atom {dummies[0]} (counted from 0) has no element (X, a dummy, or a name that is none); name its element or "
            "remove it"
        )
        raise StructureError(msg)
    refuse_partial_occupancy(atoms)
    for key in ("occupancy", "spacegroup", "unit_cell"):
        atoms.info.pop(key, None)
    for key in ("spacegroup_kinds", "occupancy"):
        atoms.arrays.pop(key, None)
    return _check_cell(atoms)


def _check_cell(atoms: Atoms) -> list[str]:
    if not atoms.pbc.any():
        return []
    cell = atoms.cell.array
    if not np.isfinite(cell).all():
        return []  # the model refuses this frame alone, and says so
    lengths = np.linalg.norm(cell, axis=1)
    if lengths.max() <= PLACEHOLDER:
        shown = " ".join(f"{length:g}" for length in lengths)
        atoms.pbc = False
        atoms.cell[:] = 0.0
        return [f"a cell of {shown} Å holds no structure, so it is taken for none: all axes are open"]
    empty = (lengths < SMALLEST) & atoms.pbc
    if empty.any():
        names = ", ".join(axis for axis, none in zip("abc", empty, strict=True) if none)
        atoms.pbc = atoms.pbc & ~empty
        return [f"the lattice vector along {names} is zero: this axis is open"]
    return []
