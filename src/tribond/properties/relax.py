"""Relaxation of atoms and cell. ASE does the work; this file chooses, watches and records."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixSymmetry
from ase.optimize import BFGS, FIRE, FIRE2
from ase.optimize.optimize import Optimizer

from tribond.errors import ConfigError
from tribond.properties.careful_lbfgs import CarefulLBFGS
from tribond.properties.cell_axes import check_axes, own_axes, strained
from tribond.properties.log_strain import LogStrainFilter
from tribond.properties.relax_checks import check_sane, check_settings, check_start, check_structure
from tribond.properties.relaxation import Relaxation, RelaxationError, RelaxationStep
from tribond.properties.symmetry import SYMPREC
from tribond.units import EV_PER_A3_TO_GPA

OPTIMIZERS: dict[str, type[Optimizer]] = {"LBFGS": CarefulLBFGS, "BFGS": BFGS, "FIRE": FIRE, "FIRE2": FIRE2}
# Of ASE's optimizers LBFGS needs the fewest evaluations on oxides, halides, metals and molecular crystals, near and far
# from rest: 1.5 to 5 times fewer than FIRE. At 0.01 eV/Å soft crystals still stop 2 % away from their volume.
DEFAULT_OPTIMIZER = "LBFGS"
DEFAULT_FMAX = 0.005  # eV/Å
DEFAULT_STEPS = 500


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

    The cell moves through its logarithmic strain (`LogStrainFilter`). Constraints of the input are
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
    if optimizer not in OPTIMIZERS:
        raise ConfigError(f"unknown optimizer {optimizer!r}; choose one of {', '.join(OPTIMIZERS)}")
    check_settings(
        fmax_eV_per_A,
        steps,
        pressure_GPa,
        relax_cell=relax_cell,
        cell_axes=cell_axes,
        constant_volume=constant_volume,
    )
    check_structure(atoms, pressure_GPa, fix_symmetry=fix_symmetry)
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
    check_start(moving)
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
        target: Any = (
            LogStrainFilter(moving, pressure=pressure, constant_volume=constant_volume) if relax_cell else moving
        )
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
                check_sane(step, history[0])
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
