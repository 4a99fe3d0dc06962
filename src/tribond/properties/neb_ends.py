"""The two ends of a band: that they are two states of one system, and what constraints hold in both."""

import logging

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixedLine, FixedPlane, FixScaled
from ase.geometry import find_mic

from tribond.errors import StructureError

logger = logging.getLogger(__name__)

HOLDING = (FixAtoms, FixCartesian, FixedPlane, FixedLine, FixScaled)
HELD_PLACE = 0.01  # Å | held atoms farther apart are not in one place; files round to less


def check_ends(first: Atoms, last: Atoms) -> None:
    """Refuse two structures that are no two states of one system.

    Raises:
        StructureError: says what differs.
    """
    if len(first) == 0 or len(first) != len(last):
        raise StructureError(f"the ends must have the same atoms; these have {len(first)} and {len(last)}")
    different = np.flatnonzero(first.numbers != last.numbers)
    if len(different):
        i = int(different[0])
        raise StructureError(
            f"the ends must have the same atoms in the same order; atom {i} is {first.symbols[i]} in the first and "
            f"{last.symbols[i]} in the last"
        )
    if (first.pbc != last.pbc).any() or np.abs(first.cell.array - last.cell.array).max() > 1e-3:
        raise StructureError(
            "the ends must have the same cell and periodicity; atoms move in the band, the cell does not"
        )


def constrained_like(first: Atoms, last: Atoms) -> Atoms:
    """The last end with the constraints of the first one.

    Raises:
        StructureError: if what they hold lies elsewhere in the last end: the images between would have to move it.
    """
    if repr([it.todict() for it in last.constraints]) not in {"[]", repr([it.todict() for it in first.constraints])}:
        logger.warning("the constraints of the last end are not used: all of the band has those of the first")
    held = first.copy()
    held.set_constraint([it for it in held.constraints if isinstance(it, HOLDING)])
    move = find_mic(last.positions - first.positions, first.cell, first.pbc)[0]
    held.set_positions(first.positions + move)
    away = np.linalg.norm(held.positions - first.positions - move, axis=1)
    atom = int(np.argmax(away))
    if away[atom] > HELD_PLACE:
        raise StructureError(
            f"atom {atom} ({first.symbols[atom]}) is held by a constraint, and lies {away[atom]:.3f} Å off in the last end; "
            "put it in the same place, or free it in the first end"
        )
    alike = last.copy()
    alike.set_constraint([it.copy() for it in first.constraints])
    return alike
