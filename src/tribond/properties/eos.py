"""Equation of state: the energy of a crystal against its volume, and what is read from it."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from tribond.errors import ConfigError
from tribond.properties.eos_fit import EQUATIONS, Fit, FitError, check_curve, fit_equation
from tribond.properties.relax import relax
from tribond.properties.start import MOST_STEPS, at_rest, brought_to_rest, check_crystal, watch
from tribond.properties.symmetry import space_group
from tribond.properties.work import Work, sample
from tribond.units import EV_PER_A3_TO_GPA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

DEFAULT_RANGE = (0.94, 1.06)  # volumes, of that at rest: as the DeltaCodes project has it
DEFAULT_POINTS = 11
DEFAULT_FMAX = 0.002  # eV/Å
FEWEST_POINTS = 5
FIRST_CUBIC = 195  # number of the space group; the volume alone gives the cells of these


@dataclass(frozen=True)
class Curve:
    """Energies at volumes, smallest volume first, with the structures they belong to."""

    structures: tuple[Atoms, ...]  # with energy, forces and stress
    energies: np.ndarray  # (points,) eV
    pressures_GPa: np.ndarray  # (points,) from the stress; positive where compressed

    @property
    def volumes(self) -> np.ndarray:
        """(points,) Å³."""
        return np.array([atoms.get_volume() for atoms in self.structures])

    def columns(self) -> dict[str, np.ndarray]:
        """A table of the points."""
        atoms = len(self.structures[0])
        return {
            "volume_A3": self.volumes,
            "volume_A3_per_atom": self.volumes / atoms,
            "energy_eV": self.energies,
            "energy_eV_per_atom": self.energies / atoms,
            "pressure_GPa": self.pressures_GPa,
        }


@dataclass(frozen=True)
class EquationOfState:
    """A fit to a curve, and those of the other equations to compare it with."""

    curve: Curve
    fit: Fit
    others: tuple[Fit, ...]

    def summary(self) -> dict[str, Any]:
        """Numbers with the unit in each name."""
        atoms = self.curve.structures[0]
        return {
            "formula": atoms.get_chemical_formula(),
            "num_atoms": len(atoms),
            **self.fit.summary(len(atoms)),
            "other_equations": {fit.equation: fit.summary(len(atoms)) for fit in self.others},
        }

    def figure(self, label: str = "") -> "Figure":
        """Points, fit, and what the fit leaves."""
        from tribond.properties.eos_figure import draw

        return draw(self.curve, self.fit, label)


def equation_of_state(
    atoms: Atoms,
    calculator: Calculator,
    *,
    equation: str = "birch-murnaghan",
    volume_range: tuple[float, float] = DEFAULT_RANGE,
    points: int = DEFAULT_POINTS,
    relax_atoms: bool = True,
    relax_shape: bool = False,
    relax_first: bool = True,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    work: Work | None = None,
) -> EquationOfState:
    """Energies of a crystal at several volumes and a fit to them: V0, B0 and B0'.

    Args:
        atoms: a crystal; not changed.
        calculator: any ASE calculator with stress.
        equation: a name in EQUATIONS.
        volume_range: smallest and largest volume, in units of the relaxed (or given) one.
        points: how many volumes, evenly spaced.
        relax_atoms: move the atoms to rest at each volume; else they keep their fractional coordinates.
        relax_shape: let the shape of the cell relax at each volume, too.
        relax_first: begin with atoms and cell at rest; else with the volume as given.
        fmax_eV_per_A: of all relaxations.
        work: keeps the points, and tells how far it is.

    Raises:
        ConfigError: for settings that make no sense.
        StructureError: for what is no crystal.
        FitError: if the points have no minimum between them, or follow no equation of state.
    """
    if equation not in EQUATIONS:
        raise ConfigError(f"unknown equation {equation!r}; choose one of {', '.join(EQUATIONS)}")
    curve = energy_volume_curve(
        atoms,
        calculator,
        volume_range=volume_range,
        points=points,
        relax_atoms=relax_atoms,
        relax_shape=relax_shape,
        relax_first=relax_first,
        fmax_eV_per_A=fmax_eV_per_A,
        work=work,
    )
    return fit_curve(curve, equation)


def fit_curve(curve: Curve, equation: str = "birch-murnaghan") -> EquationOfState:
    """Fit an equation of state, and all others beside it.

    Raises:
        FitError: see `equation_of_state`.
    """
    check_curve(curve.volumes, curve.energies)
    fit = fit_equation(curve.volumes, curve.energies, equation)
    others = []
    for name in EQUATIONS:
        try:
            if name != equation:
                others.append(fit_equation(curve.volumes, curve.energies, name))
        except FitError as error:
            logger.info("%s", error)
    return EquationOfState(curve, fit, tuple(others))


def _is_cubic(atoms: Atoms) -> bool:
    name = space_group(atoms)
    return name is not None and int(name.rsplit("(", 1)[1].rstrip(")")) >= FIRST_CUBIC


def energy_volume_curve(
    atoms: Atoms,
    calculator: Calculator,
    *,
    volume_range: tuple[float, float] = DEFAULT_RANGE,
    points: int = DEFAULT_POINTS,
    relax_atoms: bool = True,
    relax_shape: bool = False,
    relax_first: bool = True,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    work: Work | None = None,
) -> Curve:
    """The points of an equation of state, without a fit; arguments are those of `equation_of_state`."""
    work = work or Work()
    low, high = volume_range
    if not (np.isfinite([low, high]).all() and 0.3 <= low < high <= 3.0):
        raise ConfigError(f"the volumes must go from a smaller to a larger one between 0.3 and 3, not {low:g}:{high:g}")
    if points < FEWEST_POINTS:
        raise ConfigError(f"an equation of state needs at least {FEWEST_POINTS} volumes, not {points}")
    if relax_shape and not relax_atoms:
        raise ConfigError("the shape relaxes together with the atoms; leave one of the two settings out")
    check_crystal(atoms, "an equation of state")
    start = brought_to_rest(atoms, calculator, relax_first=relax_first, fmax_eV_per_A=fmax_eV_per_A, work=work)
    if not relax_shape and not _is_cubic(start):
        logger.warning(
            "this crystal is not cubic and keeps the shape of its cell at all volumes: B0 and what follows from it are those "
            "of an even strain, too large where the crystal is softer along some axes (graphite: seven times); let the shape "
            "relax (--relax shape; --relax-shape of qha)"
        )
    scales = np.linspace(low, high, points)
    if not relax_atoms:
        return _unrelaxed([_scaled(start, scale) for scale in scales], calculator)
    found: dict[int, Atoms] = {}
    first = int(np.argmin(np.abs(scales - 1)))
    # From the volume at rest outwards: each starts from its neighbour, whose atoms are nearly where they will be.
    for index in [*range(first, points), *reversed(range(first))]:
        nearest = found.get(index - 1 if index > first else index + 1, start)

        def make(nearest: Atoms = nearest, scale: float = scales[index]) -> Atoms:
            target = _scaled(nearest, scale * start.get_volume() / nearest.get_volume())
            result = relax(
                target,
                calculator,
                fmax_eV_per_A=fmax_eV_per_A,
                steps=MOST_STEPS,
                relax_cell=relax_shape,
                constant_volume=relax_shape,
                on_step=watch(work, f"volume {len(found) + 1} of {points}"),
            )
            return at_rest(result)

        found[index] = work.structure(f"volume_{index}", make)
        work.tell(len(found), points, f"volume {len(found)} of {points}")
    structures = tuple(found[index] for index in range(points))
    return Curve(
        structures,
        np.array([it.get_potential_energy() for it in structures]),
        np.array([_pressure(it.get_stress(voigt=False)) for it in structures]),
    )


def _unrelaxed(structures: list[Atoms], calculator: Calculator) -> Curve:
    samples = sample(structures, calculator)
    pressures = [np.nan if it.stress is None else _pressure(it.stress) for it in samples]
    return Curve(tuple(structures), np.array([it.energy for it in samples]), np.array(pressures))


def _pressure(stress: np.ndarray) -> float:
    return float(-np.trace(stress) / 3 * EV_PER_A3_TO_GPA)


def _scaled(atoms: Atoms, volume_ratio: float) -> Atoms:
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell.array * volume_ratio ** (1 / 3), scale_atoms=True)
    return scaled
