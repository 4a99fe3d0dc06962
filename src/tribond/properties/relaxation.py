"""How a relaxation went: its steps, its outcome, and why it may have none."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from tribond.errors import TribondError
from tribond.properties.symmetry import LARGEST_SEARCHED, SYMPREC, space_group
from tribond.units import EV_PER_A3_TO_GPA

RISEN = 1e-3  # eV/atom | noise and what LBFGS rises in between are less


class RelaxationError(TribondError):
    """The relaxation ran away: NaN, coinciding atoms, an exploding or collapsing cell."""


@dataclass(frozen=True)
class RelaxationStep:
    """The state after one step of the optimizer; step 0 is the start."""

    step: int
    energy: float  # eV, the model's
    fmax_eV_per_A: float  # what is converged: the longest force on an atom or, divided by the atoms, on the cell
    max_force: float  # eV/Å | the longest force on an atom, constraints applied
    stress: np.ndarray | None  # (3, 3) eV/Å³, ASE's sign: tension positive; None unless fully periodic
    volume: float | None  # Å³; None unless fully periodic
    constraint_energy: float = 0.0  # eV that springs (ase.constraints.Hookean) and the like add to the model's
    area: float | None = None  # Å²; None unless periodic along two axes


@dataclass(frozen=True)
class Relaxation:
    """How a relaxation went. Both structures carry their energy, forces and stress in a SinglePointCalculator."""

    initial: Atoms  # the start; made exactly symmetric where symmetry was to be kept
    final: Atoms
    converged: bool
    history: tuple[RelaxationStep, ...]  # (steps + 1,)
    fmax_eV_per_A: float  # the threshold asked for
    optimizer: str
    relax_cell: bool  # False also where it was asked for but there is nothing to relax
    pressure_GPa: float
    fix_symmetry: bool
    cell_axes: str | None = None  # axes that were free to change, such as "ab"; None: all, or none

    @property
    def steps(self) -> int:
        """Steps of the optimizer; 0 if the start was relaxed already."""
        return self.history[-1].step

    def enthalpy(self, step: RelaxationStep) -> float:
        """Energy, that of constraints included, plus pressure times volume, eV: what a relaxation lowers."""
        return step.energy + step.constraint_energy + self.pressure_GPa / EV_PER_A3_TO_GPA * (step.volume or 0.0)

    @property
    def rise(self) -> float:
        """How much higher than the start it ended, eV/atom: then it has found a maximum or a saddle, or another valley."""
        return (self.enthalpy(self.history[-1]) - self.enthalpy(self.history[0])) / len(self.final)

    def summary(self) -> dict[str, Any]:
        """Settings, outcome, and the structure before and after, as plain numbers with the unit in each name."""
        return {
            "converged": self.converged,
            "steps": self.steps,
            "above_start_eV_per_atom": max(self.rise, 0.0),
            "settings": {
                "optimizer": self.optimizer,
                "fmax_eV_per_A": self.fmax_eV_per_A,
                "relax_cell": self.relax_cell,
                "cell_axes": self.cell_axes,
                "pressure_GPa": self.pressure_GPa,
                "fix_symmetry": self.fix_symmetry,
                "symprec_A": SYMPREC,
            },
            "before": self._describe(self.initial, self.history[0]),
            "after": self._describe(self.final, self.history[-1]),
        }

    def _describe(self, atoms: Atoms, step: RelaxationStep) -> dict[str, Any]:
        return {
            "formula": atoms.get_chemical_formula(),
            "num_atoms": len(atoms),
            "pbc": atoms.pbc.tolist(),
            "cell_A": atoms.cell.array.tolist(),
            "lengths_A": atoms.cell.lengths().tolist(),
            "angles_degree": atoms.cell.angles().tolist(),
            "volume_A3": step.volume,
            "area_A2": step.area,
            "energy_eV": step.energy,
            "constraint_energy_eV": step.constraint_energy,
            "energy_eV_per_atom": step.energy / len(atoms),
            "enthalpy_eV": self.enthalpy(step),
            "fmax_eV_per_A": step.fmax_eV_per_A,
            "max_force_eV_per_A": step.max_force,
            "stress_eV_per_A3": None if step.stress is None else step.stress.tolist(),
            "space_group": space_group(atoms, largest=LARGEST_SEARCHED),
        }
