"""The crystal that a property is computed of: checked, and brought to rest first."""

import logging
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from tribond.errors import StructureError
from tribond.graph.neighbors import neighbor_list
from tribond.properties.relax import relax
from tribond.properties.relaxation import RISEN, Relaxation, RelaxationError, RelaxationStep
from tribond.properties.work import Work, sample
from tribond.units import EV_PER_A3_TO_GPA

logger = logging.getLogger(__name__)

VACUUM = 6.0  # Å | an empty layer as thick as this is none that crystals have between their planes
MOST_STEPS = 1000
REST_FORCE = 0.01  # eV/Å | what counts as at rest where a structure is taken as it is
REST_STRESS = 0.1  # GPa


def check_crystal(atoms: Atoms, verb: str) -> None:
    """Refuse what has no bulk.

    Args:
        atoms: the input.
        verb: what was asked for, such as "an elastic tensor".

    Raises:
        StructureError: for no atoms, open axes, or a layer of vacuum.
    """
    if len(atoms) == 0:
        raise StructureError("there are no atoms in this structure")
    if not atoms.pbc.all():
        raise StructureError(
            f"{verb} needs a crystal periodic along a, b and c; this structure is a molecule, wire or slab "
            f"(pbc = {atoms.pbc.tolist()})"
        )
    if atoms.cell.rank < 3 or not np.isfinite(atoms.positions).all():
        raise StructureError("the cell is flat or positions are no numbers; look at the file")
    for axis, width in zip("abc", vacuum(atoms), strict=True):
        if width > VACUUM:
            raise StructureError(
                f"{verb} needs a crystal; this cell has {width:.1f} Å of vacuum along {axis}, as slabs and molecules "
                "have, and their volume means nothing"
            )


def vacuum(atoms: Atoms) -> list[float]:
    """The thickest layer without an atom's centre along each axis, Å, for cells that are periodic."""
    fractional = np.sort(atoms.get_scaled_positions(wrap=True), axis=0)
    gaps = np.diff(fractional, axis=0, append=fractional[:1] + 1).max(axis=0)
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    return [float(width) for width in gaps * heights]


def brought_to_rest(
    atoms: Atoms,
    calculator: Calculator,
    *,
    relax_first: bool,
    fmax_eV_per_A: float,
    fix_symmetry: bool = True,
    work: Work,
) -> Atoms:
    """The structure at rest under the calculator, with energy, forces and stress; constraints are left out, and told.

    Args:
        atoms: the input.
        calculator: any of ASE's with stress.
        relax_first: relax atoms and cell; else the structure is taken as it is, and told how far from rest it is.
        fmax_eV_per_A: of the relaxation.
        fix_symmetry: keep the space group.
        work: keeps the result.

    Raises:
        RelaxationError: if it does not come to rest.
        StructureError: if it ends with atoms that nothing holds.
    """
    rest = _at_rest_or_as_given(
        atoms, calculator, relax_first=relax_first, fmax_eV_per_A=fmax_eV_per_A, fix_symmetry=fix_symmetry, work=work
    )
    _check_held(rest, calculator)
    return rest


def _at_rest_or_as_given(
    atoms: Atoms,
    calculator: Calculator,
    *,
    relax_first: bool,
    fmax_eV_per_A: float,
    fix_symmetry: bool,
    work: Work,
) -> Atoms:
    start = atoms.copy()
    if start.constraints:
        logger.warning("the constraints of the input are not used: all atoms of a crystal take part")
        start.set_constraint()
    if np.any(start.get_initial_magnetic_moments()):
        logger.warning("magnetic moments of the input do not count: symmetry and supercells leave them out")
    if not relax_first:
        return _as_given(start, calculator)
    logger.info("relaxing atoms and cell first (fmax %g eV/Å)", fmax_eV_per_A)

    def make() -> Atoms:
        result = relax(
            start,
            calculator,
            fmax_eV_per_A=fmax_eV_per_A,
            fix_symmetry=fix_symmetry,
            steps=MOST_STEPS,
            on_step=watch(work, "relaxing first"),
        )
        return at_rest(result)

    return work.structure("relaxed", make)


def _check_held(atoms: Atoms, calculator: Calculator) -> None:
    """Refuse atoms out of each other's reach. They feel no force wherever they are: at rest, but no crystal.

    Raises:
        StructureError: says how many there are.
    """
    reach = getattr(getattr(calculator, "potential", None), "cutoff", None)
    if reach is None:
        return  # a calculator that is not ours: nobody knows how far it sees
    centres, *_ = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, reach)
    lonely = len(atoms) - len(np.unique(centres))
    if lonely:
        raise StructureError(
            f"{lonely} of {len(atoms)} atoms of this crystal have no neighbour in the model's reach of {reach:g} Å: nothing "
            "holds them where they are, and the model can say nothing about the crystal; take one with a longer cutoff"
        )


def watch(work: Work, state: str) -> Callable[[RelaxationStep, Atoms], None]:
    """What tells the steps of a relaxation."""
    return lambda step, _: work.tell(step.step, None, f"{state}: fmax {step.fmax_eV_per_A:.4f} eV/Å")


def at_rest(result: Relaxation) -> Atoms:
    """The final structure of a relaxation.

    Raises:
        RelaxationError: if it did not converge.
    """
    if not result.converged:
        last = result.history[-1]
        raise RelaxationError(
            f"the structure did not come to rest in {last.step} steps: fmax {last.fmax_eV_per_A:.4f} eV/Å, asked for "
            f"{result.fmax_eV_per_A:g}; relax it with `tribond relax` first, or allow a larger --fmax"
        )
    if result.rise > RISEN:
        logger.warning(
            "the relaxation ended %.1f meV/atom above its start, so that this is hardly a minimum of the energy; relax it "
            "with `tribond relax --optimizer fire` and take it --as-given",
            result.rise * 1000,
        )
    return result.final


def _as_given(atoms: Atoms, calculator: Calculator) -> Atoms:
    from ase.calculators.singlepoint import SinglePointCalculator

    found = sample([atoms], calculator)[0]
    force = float(np.linalg.norm(found.forces, axis=1).max())
    stress = 0.0 if found.stress is None else float(np.abs(found.stress).max()) * EV_PER_A3_TO_GPA
    if not np.isfinite([found.energy, force, stress]).all():
        raise StructureError("the model gives no finite energy and forces for this structure")
    if force > REST_FORCE or stress > REST_STRESS:
        logger.warning(
            "the structure is not at rest: forces up to %.3f eV/Å, stress up to %.2f GPa; the result is that of a "
            "strained crystal",
            force,
            stress,
        )
    atoms.calc = SinglePointCalculator(atoms, energy=found.energy, forces=found.forces, stress=found.stress)
    return atoms
