"""Cell and atoms as what an optimizer moves: ASE's FrechetCellFilter, without most of its time.

ASE computes the derivative of the matrix exponential in nine directions and a logarithm at each call, some milliseconds
in all, which is more than the energy of a small crystal takes. One exponential of a 6 x 6 matrix gives the same gradient.
"""

from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import UnitCellFilter
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray
from scipy.linalg import expm, logm


class LogStrainFilter(UnitCellFilter):
    """Positions in the cell of the start, and N times the logarithm U of the deformation F = exp(U) as three more rows.

    Rows of the cell are C = C₀ Fᵀ, positions r = r₀ Fᵀ, as in ase.filters.FrechetCellFilter, which gives the same
    forces but for rounding.

    Args:
        atoms: to move, with a calculator that knows stress.
        pressure: from outside, eV/Å³.
        constant_volume: let the shape change only.
    """

    def __init__(self, atoms: Atoms, *, pressure: float = 0.0, constant_volume: bool = False) -> None:
        super().__init__(atoms, scalar_pressure=pressure, constant_volume=constant_volume)
        self._start = atoms.cell.array.copy()
        self._pressure = pressure
        self._constant_volume = constant_volume
        self._cell = self._start.copy()  # that of the strain below
        self._strain = np.zeros((3, 3))  # U
        self._deformation = np.eye(3)  # F
        self._known: tuple[bytes, NDArray[np.float64]] | None = None  # where forces were computed last, and which

    def get_positions(self) -> NDArray[np.float64]:
        """(atoms + 3, 3), Å."""
        self._follow()
        unstrained = np.linalg.solve(self._deformation, self.atoms.positions.T).T
        return np.vstack([unstrained, len(self.atoms) * self._strain])

    def set_positions(self, new: NDArray[np.float64], **settings: Any) -> None:
        """Strain the cell, then place the atoms; constraints of the atoms may adjust both."""
        atoms = len(self.atoms)
        self._strain = new[atoms:] / atoms
        self._deformation = expm(self._strain)
        self._cell = self._start @ self._deformation.T
        self.atoms.set_cell(self._cell, scale_atoms=True)
        self.atoms.set_positions(new[:atoms] @ self._deformation.T, **settings)

    def get_forces(self, **settings: Any) -> NDArray[np.float64]:
        """(atoms + 3, 3), eV/Å; `stress`, what is left of it and of the pressure, is kept for tests of convergence."""
        self._follow()
        here = self.atoms.positions.tobytes() + self.atoms.cell.array.tobytes()
        if self._known is not None and self._known[0] == here:
            return self._known[1].copy()  # an optimizer asks four times a step
        forces = self.atoms.get_forces(**settings) @ self._deformation
        stress = self.atoms.get_stress(voigt=False, **settings) + self._pressure * np.eye(3)
        virial = -self.atoms.get_volume() * stress
        # <dexp(U)[E], G> = <E, dexp(Uᵀ)[G]>, and exp of the block matrix holds dexp(Uᵀ)[G] above its diagonal.
        gradient = virial @ np.linalg.inv(self._deformation.T)
        scale = float(np.abs(gradient).max()) or 1.0
        block = np.zeros((6, 6))
        block[:3, :3] = block[3:, 3:] = self._strain.T
        block[:3, 3:] = gradient / scale
        pull = expm(block)[:3, 3:] * scale
        if self._constant_volume:
            pull -= np.trace(pull) / 3 * np.eye(3)
            stress = stress - np.trace(stress) / 3 * np.eye(3)
        self.stress = full_3x3_to_voigt_6_stress(stress)
        self._known = here, np.vstack([forces, pull / len(self.atoms)])
        return self._known[1].copy()

    def _follow(self) -> None:
        """Take over a cell that somebody else has set, such as a constraint that keeps the symmetry."""
        cell = self.atoms.cell.array
        if (cell != self._cell).any():
            self._cell = cell.copy()
            self._deformation = np.linalg.solve(self._start, cell).T
            self._strain = np.real(logm(self._deformation))
