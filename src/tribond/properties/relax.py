"""Relaxation of atoms and cell. ASE does the work; this file chooses, watches and records."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, FIRE2, LBFGS
from ase.optimize.optimize import Optimizer

from tribond.errors import ConfigError, StructureError, TribondError
from tribond.properties.cell_axes import check_axes, own_axes, strained
from tribond.units import EV_PER_A3_TO_GPA

OPTIMIZERS: dict[str, type[Optimizer]] = {"LBFGS": LBFGS, "BFGS": BFGS, "FIRE": FIRE, "FIRE2": FIRE2}
# Of ASE's optimizers LBFGS needs the fewest evaluations on oxides, halides, metals and molecular crystals, near and far
# from rest: 1.5 to 5 times fewer than FIRE. At 0.01 eV/Å soft crystals still stop 2 % away from their volume.
DEFAULT_OPTIMIZER = "LBFGS"
DEFAULT_FMAX = 0.005  # eV/Å
DEFAULT_STEPS = 500
LARGEST_SEARCHED = 1000  # atoms | a space group is only told: a search in more takes longer than the steps
SYMPREC = 0.02  # Å | positions this close are equivalent: what DEFAULT_FMAX leaves of noise in soft directions
LARGEST_VOLUME_RATIO = 3.0  # a cell that grows or shrinks by more has left what any potential was trained on


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

    def summary(self) -> dict[str, Any]:
        """Settings, outcome, and the structure before and after, as plain numbers with the unit in each name."""
        return {
            "converged": self.converged,
            "steps": self.steps,
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


def relax(
    atoms: Atoms,
    calculator: Calculator,
    *,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    steps: int = DEFAULT_STEPS,
    optimizer: str = DEFAULT_OPTIMIZER,
    relax_cell: bool = True,
    pressure_GPa: float = 0.0,
    fix_symmetry: bool = False,
    cell_axes: str | None = None,
    constant_volume: bool = False,
    on_step: Callable[[RelaxationStep, Atoms], object] | None = None,
) -> Relaxation:
    """Move atoms and cell to the nearest minimum of the energy, or of the enthalpy under pressure.

    The cell moves through its logarithmic strain (ase.filters.FrechetCellFilter). Constraints of the input are
    kept; atoms fixed by them move with the cell, so that their fractional coordinates stay.

    Args:
        atoms: the start; not changed.
        calculator: any ASE calculator.
        fmax_eV_per_A: converged when no force on an atom, and no cell force (virial / number of atoms), is longer.
        steps: give up after so many steps; the result then says converged = False.
        optimizer: a name in OPTIMIZERS.
        relax_cell: relax the cell too: the volume of crystals, the area of layers, the length of wires. Layers and wires
            with fixed atoms (ase.constraints.FixAtoms) keep their cell unless `cell_axes` says otherwise.
        pressure_GPa: hydrostatic pressure from outside; compression positive.
        fix_symmetry: keep the space group found with SYMPREC.
        cell_axes: axes that may change, such as "ab"; the others stay exactly as they are. None: all periodic ones.
        constant_volume: let the shape of the cell relax, and keep its volume.
        on_step: called with each step, the start included, and a copy of the structure that carries its results.

    Raises:
        ConfigError: for a setting that is unknown, out of range or without effect.
        StructureError: if the calculator cannot describe the start, or pressure or symmetry do not apply to it.
        RelaxationError: if the relaxation runs away instead of coming to rest.
    """
    _check_settings(fmax_eV_per_A, steps, optimizer, pressure_GPa, relax_cell=relax_cell, cell_axes=cell_axes)
    if constant_volume and (pressure_GPa or cell_axes is not None or not relax_cell):
        raise ConfigError(
            "constant_volume goes with no pressure, no cell_axes and no fixed cell; leave one of them out"
        )
    _check_structure(atoms, pressure_GPa, fix_symmetry=fix_symmetry)
    pressure = pressure_GPa / EV_PER_A3_TO_GPA
    if cell_axes is None and relax_cell and "stress" in calculator.implemented_properties:
        cell_axes = own_axes(atoms)
    if cell_axes is not None:
        cell_axes = check_axes(cell_axes)
        moving: Atoms = strained(atoms, cell_axes, calculator, pressure)
        pressure = 0.0  # part of the stress of strained atoms
    else:
        relax_cell = relax_cell and bool(atoms.pbc.all())
        moving = atoms.copy()
    moving.calc = calculator
    _check_start(moving)
    if fix_symmetry:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spglib's deprecations concern ASE
            symmetry = FixSymmetry(moving, symprec=SYMPREC)
        moving.set_constraint([*moving.constraints, symmetry])
    history: list[RelaxationStep] = []
    snapshots: list[Atoms] = []  # the first and the latest
    converged = False
    while not converged and (not history or history[-1].step < steps):
        # The filter measures forces in the cell that it was made for: after a large strain it is made anew.
        target: Any = _cell_filter(moving, pressure, constant_volume=constant_volume) if relax_cell else moving
        done = history[-1].step if history else 0
        # An optimizer that divides by zero makes NaN, which is noticed without numpy's warning.
        with np.errstate(all="ignore"), OPTIMIZERS[optimizer](target, logfile=None) as dynamics:
            for at_rest in _explained(dynamics.irun(fmax=fmax_eV_per_A, steps=steps - done), history):
                if history and dynamics.nsteps == 0:
                    continue  # the state that the last filter left
                fmax = float(np.linalg.norm(target.get_forces(), axis=1).max())  # ASE's own criterion
                step = _observe(moving, atoms, done + dynamics.nsteps, fmax)
                history.append(step)
                snapshots[1:] = [_snapshot(moving, atoms)]
                if on_step is not None:
                    on_step(step, snapshots[-1])
                _check_sane(step, history[0])
                converged = bool(at_rest) and step.max_force <= fmax_eV_per_A
    return Relaxation(
        initial=snapshots[0],
        final=snapshots[-1],
        converged=converged,
        history=tuple(history),
        fmax_eV_per_A=fmax_eV_per_A,
        optimizer=optimizer,
        relax_cell=relax_cell,
        pressure_GPa=pressure_GPa,
        fix_symmetry=fix_symmetry,
        cell_axes=cell_axes,
    )


def _cell_filter(atoms: Atoms, pressure: float, *, constant_volume: bool) -> FrechetCellFilter:
    return FrechetCellFilter(atoms, scalar_pressure=pressure, constant_volume=constant_volume)


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


def _check_settings(
    fmax: float, steps: int, optimizer: str, pressure_GPa: float, *, relax_cell: bool, cell_axes: str | None
) -> None:
    if cell_axes is not None and not relax_cell:
        raise ConfigError(f"cell_axes {cell_axes} has no effect on a fixed cell; leave one of the two out")
    if optimizer not in OPTIMIZERS:
        raise ConfigError(f"unknown optimizer {optimizer!r}; choose one of {', '.join(OPTIMIZERS)}")
    if not (np.isfinite(fmax) and fmax > 0):
        raise ConfigError(f"fmax must be a positive force in eV/Å, not {fmax}")
    if steps < 0:
        raise ConfigError(f"steps must not be negative, as {steps} is")
    if not np.isfinite(pressure_GPa):
        raise ConfigError(f"the pressure must be finite, not {pressure_GPa} GPa")
    if pressure_GPa and not relax_cell:
        raise ConfigError(f"a pressure ({pressure_GPa:g} GPa) has no effect on a fixed cell; leave one of the two out")


def _check_structure(atoms: Atoms, pressure_GPa: float, *, fix_symmetry: bool) -> None:
    if len(atoms) == 0:
        raise StructureError("there are no atoms in this structure")
    if atoms.pbc.all():
        return
    axes = ", ".join(axis for axis, on in zip("abc", atoms.pbc, strict=True) if on) or "no axis"
    if pressure_GPa:
        raise StructureError(f"pressure needs a structure periodic along a, b and c; this one is along {axes}")
    if fix_symmetry:
        raise StructureError(f"keeping the space group needs a structure periodic along a, b and c, not along {axes}")


def _observe(atoms: Atoms, original: Atoms, step: int, fmax: float) -> RelaxationStep:
    stress, volume, area = None, None, None
    if original.pbc.all():
        volume = float(atoms.get_volume())
        try:
            stress = Atoms.get_stress(atoms, voigt=False)
        except PropertyNotImplementedError:
            stress = None  # a calculator without stress can still relax atoms in a fixed cell
    elif original.pbc.sum() == 2:
        area = float(np.linalg.norm(np.cross(*atoms.cell.array[original.pbc])))
    energy = float(atoms.get_potential_energy(apply_constraint=False))
    return RelaxationStep(
        step=step,
        energy=energy,
        fmax_eV_per_A=fmax,
        max_force=float(np.linalg.norm(atoms.get_forces(), axis=1).max()),
        stress=stress,
        volume=volume,
        constraint_energy=float(atoms.get_potential_energy()) - energy,
        area=area,
    )


def _check_start(atoms: Atoms) -> None:
    """What is wrong with the start is said before spglib or ASE trip over it."""
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise RelaxationError(
            f"the model gives an energy of {energy} eV and a largest force of {np.abs(forces).max()} eV/Å for the "
            "structure as given, which is outside what it can describe"
        )


def _check_sane(step: RelaxationStep, start: RelaxationStep) -> None:
    if not np.isfinite([step.energy, step.fmax_eV_per_A]).all():
        raise RelaxationError(
            f"the model gives an energy of {step.energy} eV and a largest force of {step.fmax_eV_per_A} eV/Å at step "
            f"{step.step}: the relaxation runs away from what the model can describe"
        )
    size, size_before, unit = step.volume, start.volume, "Å³"
    if size is None or size_before is None:
        size, size_before, unit = step.area, start.area, "Å²"
    if size is None or size_before is None:
        return
    ratio = size / size_before
    if not 1 / LARGEST_VOLUME_RATIO <= ratio <= LARGEST_VOLUME_RATIO:
        change = "grew" if ratio > 1 else "shrank"
        raise RelaxationError(
            f"the cell {change} from {size_before:.1f} to {size:.1f} {unit} by step {step.step}: the relaxation runs "
            "away; check the input's lattice and pressure, or relax the atoms alone first, with the cell fixed"
        )


def _explained(run: Iterator[bool], history: list[RelaxationStep]) -> Iterator[bool]:
    """The steps of a run. Once it has begun, what breaks is the relaxation, not the input; the error says when."""
    try:
        yield from run
    except (ValueError, RuntimeError) as error:  # of the graph or of scipy; FixSymmetry raises a bare RuntimeError
        is_foreign = isinstance(error, RuntimeError) and "FixSymmetry" not in str(error)
        if not history or is_foreign:
            raise
        raise RelaxationError(f"the relaxation ran away after step {history[-1].step}: {error}") from error


def _snapshot(moving: Atoms, original: Atoms) -> Atoms:
    """A copy with the original's constraints and with results that need no calculator."""
    results = {
        key: moving.calc.results[key]
        for key in ("energy", "free_energy", "forces", "stress")
        if key in moving.calc.results
    }
    if not original.pbc.all():
        results.pop("stress", None)  # of a cell that was made for it
    snapshot = original.copy()
    snapshot.set_constraint([constraint.copy() for constraint in original.constraints])
    # Open axes may have been made periodic for a while; the others are the original's unless the cell moved.
    snapshot.cell[original.pbc] = moving.cell.array[original.pbc]
    snapshot.positions[:] = moving.positions
    snapshot.calc = SinglePointCalculator(snapshot, **results)
    return snapshot
