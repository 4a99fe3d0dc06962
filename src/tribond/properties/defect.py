"""Point defects of a crystal: vacancies, substitutions, interstitials, and what they cost. Neutral cells."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.calculators.calculator import Calculator
from ase.geometry import find_mic, minkowski_reduce
from numpy.typing import NDArray

from tribond.properties.chemical_potentials import ChemicalPotential, check_given, chemical_potentials
from tribond.properties.defect_plans import Plan, make_plans, wanted
from tribond.properties.relax import relax
from tribond.properties.relaxation import RelaxationError
from tribond.properties.start import MOST_STEPS, at_rest, brought_to_rest, check_crystal, watch
from tribond.properties.supercells import supercell_matrix
from tribond.properties.symmetry import space_group
from tribond.properties.work import Work, sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

DEFAULT_LENGTH = 12.0  # Å
DEFAULT_FMAX = 0.01  # eV/Å
BULK_FMAX = 0.001
RATTLE = 0.03  # Å | on the atoms, so that none stays on top of a barrier because of symmetry
SEED = 0
NEAR_IMAGES = 10.0  # Å | strain and, with most potentials, atoms reach across less


@dataclass(frozen=True)
class Defect:
    """A defect and what it costs."""

    plan: Plan
    final: Atoms | None  # relaxed, with energy and forces; None if it did not come to rest
    formation_eV: float | None
    unrelaxed_eV: float  # formation energy with all atoms where they were
    moved_A: float | None  # the longest way of an atom in the relaxation
    problem: str = ""  # why it did not come to rest

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.plan.name,
            "kind": self.plan.kind,
            "site": self.plan.site,
            "fractional": self.plan.fractional.tolist(),
            "multiplicity": self.plan.multiplicity,
            "num_atoms": len(self.plan.start),
            "change": self.plan.change,
            "converged": self.final is not None,
            "formation_energy_eV": self.formation_eV,
            "formation_energy_unrelaxed_eV": self.unrelaxed_eV,
            "largest_move_A": self.moved_A,
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Defects:
    """All defects that were looked at."""

    crystal: Atoms  # at rest, the cell that was given
    matrix: NDArray[np.int64]  # (3, 3) rows: the supercell in vectors of that cell
    image_distance_A: float  # between a defect and its nearest image
    potentials: dict[str, ChemicalPotential]
    defects: tuple[Defect, ...]

    @property
    def converged(self) -> bool:
        """Whether all of them came to rest."""
        return all(it.final is not None for it in self.defects)

    def summary(self) -> dict[str, Any]:
        """Numbers with the unit in each name."""
        return {
            "formula": self.crystal.get_chemical_formula(),
            "supercell": self.matrix.tolist(),
            "num_atoms": len(self.crystal) * round(abs(np.linalg.det(self.matrix))),
            "distance_between_images_A": self.image_distance_A,
            "charge": 0,
            "chemical_potentials": {
                symbol: {"energy_eV": it.eV, "source": it.source} for symbol, it in self.potentials.items()
            },
            "converged": self.converged,
            "defects": [it.summary() for it in self.defects],
        }

    def columns(self) -> dict[str, Any]:
        """A table of the defects."""
        rows = [it.summary() for it in self.defects]
        for row in rows:
            row["change"] = " ".join(f"{count:+d} {symbol}" for symbol, count in row["change"].items())
            row |= {f"fractional_{axis}": value for axis, value in zip("abc", row.pop("fractional"), strict=True)}
        return {name: [row[name] for row in rows] for name in rows[0]}

    def figure(self, label: str = "") -> "Figure":
        """The formation energies."""
        from tribond.properties.defect_figure import draw

        return draw(self, label)


def defects(
    atoms: Atoms,
    calculator: Calculator,
    *,
    vacancies: Collection[str] | None = None,
    substitutions: Sequence[tuple[str, str]] = (),
    interstitials: Sequence[str] = (),
    min_length_A: float = DEFAULT_LENGTH,
    repeats: Sequence[int] | None = None,
    potentials_eV: Mapping[str, float] | None = None,
    references: Collection[Atoms] = (),
    relax_first: bool = True,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    work: Work | None = None,
) -> Defects:
    """Formation energies E_defect - E_crystal - Σ n_i μ_i of neutral point defects, n_i atoms put in.

    One defect of each kind on each site that symmetry tells apart, in a supercell whose cell stays that of the crystal.

    Args:
        atoms: the crystal, relaxed first; not changed.
        calculator: any ASE calculator with stress.
        vacancies: of these elements; of all if left out, () is none.
        substitutions: pairs (old, new) of elements: each distinct atom of the old one becomes one of the new.
        interstitials: elements that are put into each distinct void.
        min_length_A: every vector of the supercell is at least so long.
        repeats: of the cell along a, b and c instead.
        potentials_eV: chemical potentials, eV an atom. Where left out: of a crystal of one element its own energy, else
            that of the element under the calculator.
        references: structures of elements for these.
        relax_first: bring the crystal to rest, atoms and cell.
        fmax_eV_per_A: of the defects.
        work: keeps what is done, and tells how far it is.

    Raises:
        ConfigError: for settings that make no sense, or an element whose crystal is not known.
        StructureError: for what is no crystal.
        RelaxationError: if the crystal or an element does not come to rest. Defects that do not are kept and named.
    """
    work = work or Work()
    check_crystal(atoms, "a point defect")
    check_given(potentials_eV or {})
    asked = wanted(atoms, vacancies, substitutions, interstitials)
    rest = brought_to_rest(atoms, calculator, relax_first=relax_first, fmax_eV_per_A=BULK_FMAX, work=work)
    matrix = supercell_matrix(rest, repeats, min_length_A)
    perfect = make_supercell(Atoms(rest.numbers, rest.positions, cell=rest.cell, pbc=True), matrix)
    distance = _shortest_vector(perfect)
    if distance < NEAR_IMAGES:
        logger.warning(
            "a defect is only %.1f Å from its own images, which it feels; take a larger supercell (min_length_A)",
            distance,
        )
    plans = make_plans(rest, perfect, *asked)
    kinds = {symbol for plan in plans for symbol in plan.change}
    potentials = _potentials(rest, kinds, calculator, potentials_eV or {}, references, work)
    logger.info(
        "defects that the space group %s tells apart: %d, in a supercell of %d atoms, images %.1f Å apart",
        space_group(rest),
        len(plans),
        len(perfect),
        distance,
    )
    energy = sample([perfect], calculator)[0].energy
    found = []
    for number, plan in enumerate(plans):
        cost = energy + sum(count * potentials[symbol].eV for symbol, count in plan.change.items())
        found.append(_computed(plan, number, len(plans), calculator, fmax_eV_per_A, cost, work))
    negative = [it.plan.name for it in found if it.formation_eV is not None and it.formation_eV < 0]
    if negative:
        logger.warning(
            "negative formation energies (%s): the crystal would form these defects by itself until it is another one; "
            "look at the chemical potentials, and whether the potential knows such defects",
            ", ".join(negative),
        )
    return Defects(rest, matrix, distance, potentials, tuple(found))


def _potentials(
    rest: Atoms,
    kinds: Collection[str],
    calculator: Calculator,
    given: Mapping[str, float],
    references: Collection[Atoms],
    work: Work,
) -> dict[str, ChemicalPotential]:
    """Of an element that is the crystal itself, its energy; of others what is given or that of the element."""
    present = set(rest.get_chemical_symbols())
    named = set(given) | {symbol for atoms in references for symbol in atoms.get_chemical_symbols()}
    if named - set(kinds):
        logger.warning(
            "%s neither comes nor goes with these defects: its chemical potential is not used",
            ", ".join(sorted(named - set(kinds))),
        )
    own = {symbol for symbol in present & set(kinds) if len(present) == 1 and symbol not in given}
    found = chemical_potentials(set(kinds) - own, calculator, given=given, references=references, work=work)
    energy = float(rest.get_potential_energy()) / len(rest)
    return {symbol: ChemicalPotential(energy, "of this crystal") for symbol in own} | found


def _computed(
    plan: Plan, number: int, total: int, calculator: Calculator, fmax: float, cost: float, work: Work
) -> Defect:
    """Relax a defect; `cost` is the energy of the crystal and of the atoms that were put in, eV."""
    state = f"{plan.name}, {number + 1} of {total}"
    work.tell(number, total, state)
    unrelaxed = sample([plan.start], calculator)[0].energy - cost
    try:
        final = work.structure(f"defect_{number}", partial(_relaxed, plan.start, calculator, fmax, work, state))
    except RelaxationError as error:
        logger.warning("%s did not come to rest: %s", plan.name, error)
        return Defect(plan, None, None, unrelaxed, None, str(error))
    ways = find_mic(final.positions - plan.start.positions, final.cell, final.pbc)[1]
    return Defect(plan, final, float(final.get_potential_energy()) - cost, unrelaxed, float(ways.max()))


def _relaxed(start: Atoms, calculator: Calculator, fmax: float, work: Work, state: str) -> Atoms:
    moving = start.copy()
    moving.rattle(RATTLE, seed=SEED)
    result = relax(
        moving, calculator, relax_cell=False, fmax_eV_per_A=fmax, steps=MOST_STEPS, on_step=watch(work, state)
    )
    return at_rest(result)


def _shortest_vector(supercell: Atoms) -> float:
    """The shortest way from an atom to one of its images, Å."""
    reduced, _ = minkowski_reduce(supercell.cell.array)
    return float(np.linalg.norm(reduced, axis=1).min())
