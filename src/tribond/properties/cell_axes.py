"""Which axes of a cell may change: strains that leave all the others exactly as they are."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from tribond.errors import ConfigError, StructureError

AXES = "abc"
EMPTY = 100.0  # Å | along open axes, where the calculator does not say how far it sees


class StrainedAtoms(Atoms):
    """Atoms whose stress is only that which strains the axes that may change.

    A symmetric strain ε leaves a lattice vector v as it is if ε v = 0: ε = P ε P, with P the projection onto what is
    normal to all vectors that are kept. Pressure, in eV/Å³, is part of the stress here.
    """

    projection: NDArray[np.float64] | None = None  # (3, 3)
    pressure = 0.0

    def get_stress(self, voigt: bool = True, **settings: Any) -> NDArray[np.float64]:  # noqa: FBT001, FBT002, ASE's
        """Of the calculator, (6,) or (3, 3) eV/Å³, projected."""
        stress = super().get_stress(voigt=False, **settings)
        if self.projection is not None:
            stress = self.projection @ (stress + self.pressure * np.eye(3)) @ self.projection
        return np.asarray(full_3x3_to_voigt_6_stress(stress) if voigt else stress)


def check_axes(axes: str) -> str:
    """The axes in order.

    Raises:
        ConfigError: for what is no choice of a, b and c.
    """
    chosen = "".join(axis for axis in AXES if axis in axes.lower())
    if not chosen or len(chosen) != len(axes):
        msg = f"cell_axes must be some of a, b and c, such as ab; not {axes!r}"
        raise ConfigError(msg)
    return chosen


def own_axes(atoms: Atoms) -> str | None:
    """The axes that a layer or a wire relaxes by itself: the periodic ones, as a crystal relaxes all three.

    None for crystals and molecules, and where atoms are fixed: a slab whose lowest layers are held stands for the
    surface of a crystal, whose lattice it must keep.
    """
    if atoms.pbc.all() or not atoms.pbc.any() or any(isinstance(it, FixAtoms) for it in atoms.constraints):
        return None
    return "".join(axis for axis, on in zip(AXES, atoms.pbc, strict=True) if on)


def strained(atoms: Atoms, axes: str, calculator: Calculator, pressure: float) -> StrainedAtoms:
    """A copy whose axes can be strained; open axes become periodic ones, too long for anything to see across.

    Args:
        atoms: the start.
        axes: those that may change.
        calculator: computes the stress; needs three periodic axes for it.
        pressure: eV/Å³.

    Raises:
        StructureError: if one of the axes is open, or all of them.
    """
    opened = [axis for axis, on in zip(AXES, atoms.pbc, strict=True) if not on]
    wrong = [axis for axis in axes if axis in opened]
    if wrong:
        msg = f"the axis {', '.join(wrong)} is open and has no length that could change; choose among the periodic ones"
        raise StructureError(msg)
    moving = StrainedAtoms(atoms)
    moving.set_constraint([constraint.copy() for constraint in atoms.constraints])
    cell = atoms.cell.array.copy()
    if opened:
        periodic = cell[atoms.pbc]
        directions = np.linalg.svd(periodic)[2][len(periodic) :]  # normal to all periodic axes
        reach = getattr(getattr(calculator, "potential", None), "cutoff", None)
        for axis, direction in zip(np.flatnonzero(~atoms.pbc), directions, strict=True):
            extent = np.ptp(atoms.positions @ direction) if len(atoms) else 0.0
            cell[axis] = direction * (extent + (EMPTY if reach is None else 2 * float(reach)))
        moving.cell[:] = cell
        moving.pbc = True
    kept = cell[[axis not in axes for axis in AXES]]
    moving.projection = np.eye(3) - (np.linalg.pinv(kept) @ kept if len(kept) else 0.0)
    moving.pressure = pressure
    return moving
