"""Constant pressure with a cell that changes volume and shape: Martyna-Tobias-Klein with friction and noise on the cell."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.md.nose_hoover_chain import MTKNPT
from numpy.typing import NDArray


class FlexibleCell(MTKNPT):
    """ASE's MTKNPT whose cell has friction and noise in place of a chain of thermostats.

    A chain keeps the kinetic energy of all six motions of the cell together. In a stiff crystal they are six oscillators
    that exchange almost nothing, and one of them may keep what belongs to all: the volume then fluctuates several times
    too much. Friction and noise act on each of them alone (Feller, Zhang, Pastor and Brooks, J. Chem. Phys. 103, 4613
    (1995); for a flexible cell Quigley and Probert, J. Chem. Phys. 120, 11432 (2004)), and are integrated exactly.

    Args:
        atoms: that it moves.
        generator: random numbers.
        settings: of ASE's class; the friction's time is `pdamp`.
    """

    _p_g: NDArray[np.float64]  # (3, 3) momenta of the cell

    def __init__(self, atoms: Atoms, generator: np.random.Generator, **settings: Any) -> None:
        super().__init__(atoms, **settings)
        self._generator = generator
        self._friction = 1 / settings["pdamp"]
        self._cell_energy = 0.0  # eV | that friction and noise have given to the cell

    def get_conserved_energy(self) -> float:
        """Energy of everything, less what friction and noise have given, eV."""
        return float(super().get_conserved_energy() - self._cell_energy)

    def _integrate_p_cell_by_barostat(self, delta: float) -> None:
        before = self._get_cell_kinetic_energy()
        keep = float(np.exp(-self._friction * delta))
        width = np.sqrt((1 - keep * keep) * self._barostat.W * self._kT)
        self._p_g = keep * self._p_g + width * _symmetric_noise(self._generator)
        self._cell_energy += self._get_cell_kinetic_energy() - before


def _symmetric_noise(generator: np.random.Generator) -> NDArray[np.float64]:
    """A random symmetric matrix with Σ x² = 6 on average, one for each motion in whatever axes.  (3, 3)"""
    noise = generator.standard_normal((3, 3))
    return (noise + noise.T) / 2
