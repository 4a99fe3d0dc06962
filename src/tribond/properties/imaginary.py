"""Imaginary modes: where they are, and where they lead."""

import logging
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from tribond.properties.phonon_spectrum import Bands
from tribond.properties.phonopy_bridge import from_phonopy
from tribond.properties.relax import relax
from tribond.properties.start import MOST_STEPS, at_rest, watch
from tribond.properties.symmetry import space_group
from tribond.properties.work import Work, sample

logger = logging.getLogger(__name__)

TOLERANCE = 0.1  # THz | smaller imaginary frequencies are noise of force constants
ALIKE = 1e-3  # THz | modes this close belong to one frequency
PUSH = 0.1  # Å | of the atom that moves most
FOLLOWED_FMAX = 0.005  # eV/Å
LARGEST_FOLLOWED = 1000  # atoms


@dataclass(frozen=True)
class ImaginaryMode:
    """A mode along which the energy falls."""

    q: tuple[float, float, float]  # in reciprocal vectors of the primitive cell
    label: str | None  # Γ, X, ...; None where the point has no name
    frequency_THz: float  # negative
    band: int  # from 1
    exact: bool  # whether the supercell holds this wave, so that nothing is interpolated

    @property
    def name(self) -> str:
        """The q-point in words."""
        point = "(" + ", ".join(f"{value:.4g}" for value in self.q) + ")"
        return point if self.label is None else f"{self.label} {point}"

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "q": list(self.q),
            "label": self.label,
            "frequency_THz": self.frequency_THz,
            "band": self.band,
            "exact": self.exact,
        }


@dataclass(frozen=True)
class Followed:
    """The crystal after it has gone down an imaginary mode."""

    mode: ImaginaryMode
    structure: Atoms  # at rest
    energy_change_eV_per_atom: float  # negative: lower than before
    space_group: str | None

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "mode": self.mode.summary(),
            "num_atoms": len(self.structure),
            "energy_change_eV_per_atom": self.energy_change_eV_per_atom,
            "space_group": self.space_group,
        }


def imaginary_modes(phonon: Any, bands: Bands | None = None, tolerance_THz: float = TOLERANCE) -> list[ImaginaryMode]:
    """The lowest imaginary mode of each q-point that has one, the lowest first, one of each kind.

    Args:
        phonon: a Phonopy with force constants and a mesh.
        bands: along a path, whose points have names.
        tolerance_THz: what counts as imaginary.
    """
    found: list[ImaginaryMode] = []
    exact = commensurate_points(phonon)
    phonon.run_qpoints(exact)
    named = _named_points(bands)
    for q, row in zip(exact, np.array(phonon.qpoints.frequencies), strict=True):
        _note(found, q, row, _label(q, named), exact=True, tolerance=tolerance_THz)
    if bands is not None:
        for name, q, row in named:
            if not any(_same(q, point) for point in exact):
                _note(found, q, row, name, exact=False, tolerance=tolerance_THz)
    if not found:  # only between the points that have a name or are exact
        points, rows = np.array(phonon.mesh.qpoints), np.array(phonon.mesh.frequencies)
        if bands is not None:
            points, rows = np.vstack([points, *bands.qpoints]), np.vstack([rows, *bands.frequencies])
        lowest = int(np.argmin(rows.min(axis=1)))
        _note(found, points[lowest], rows[lowest], None, exact=False, tolerance=tolerance_THz)
    found.sort(key=lambda mode: mode.frequency_THz)
    return found


def commensurate_points(phonon: Any) -> NDArray[np.float64]:
    """The q-points whose waves fit into the supercell, each component from -1/2 to 1/2.  (points, 3)

    With the vectors of the supercell as rows R in those of the primitive cell, R q is whole: the columns of the inverse of
    R and their sums.
    """
    matrix = np.linalg.inv(phonon.primitive_matrix) @ phonon.supercell_matrix
    rows = np.rint(matrix).astype(int).T
    size = round(abs(np.linalg.det(rows)))
    steps = np.rint(np.linalg.inv(rows) * size).astype(int)  # whole numbers, in units of 1 / size
    points = np.zeros((1, 3), dtype=int)
    for step in steps.T:
        order = size // np.gcd.reduce([size, *np.abs(step)])
        sums = points[:, None] + step * np.arange(order)[:, None]
        points = np.unique(sums.reshape(-1, 3) % size, axis=0)
    return np.where(points > size / 2, points - size, points) / size


def follow(
    phonon: Any, mode: ImaginaryMode, calculator: Calculator, work: Work, fmax_eV_per_A: float = FOLLOWED_FMAX
) -> Followed | None:
    """Push the atoms along a mode, both ways, and let atoms and cell relax; the lower end is taken.

    Args:
        phonon: a Phonopy with force constants.
        mode: to follow.
        calculator: any of ASE's.
        work: keeps the structures.
        fmax_eV_per_A: of the relaxations.

    Returns:
        Where it leads; None, with a warning, for a wave that only a very large cell holds.

    Raises:
        RelaxationError: if it does not come to rest.
    """
    phonon.run_qpoints([list(mode.q)])
    alike = int((np.abs(np.array(phonon.qpoints.frequencies)[0] - mode.frequency_THz) < ALIKE).sum())
    if alike > 1:
        logger.info(
            "%d modes at %s have the frequency of the one that is followed; mixtures of them lead in other directions, and may "
            "lead lower (tribond relax --starts tries some)",
            alike,
            mode.name,
        )
    largest = round(abs(np.linalg.det(phonon.supercell_matrix))) * 4
    repeats = [Fraction(value).limit_denominator(min(largest, 24)).denominator for value in mode.q]
    size = int(np.prod(repeats)) * len(phonon.primitive)
    if size > LARGEST_FOLLOWED:
        logger.warning(
            "the imaginary mode at %s is not followed: its wave needs a cell of %d atoms; a supercell that holds a wave near it "
            "tells more (--supercell)",
            mode.name,
            size,
        )
        return None
    result = phonon.run_modulations(repeats, [[list(mode.q), mode.band - 1, 1.0, 0.0]])
    waves, cell = np.array(result.modulations), result.supercell
    push = np.real(waves[0])
    if np.linalg.norm(push) < np.linalg.norm(np.imag(waves[0])):
        push = np.imag(waves[0])
    push *= PUSH / np.linalg.norm(push, axis=1).max()
    before = from_phonopy(cell)
    energy = sample([before], calculator)[0].energy / len(before)

    def down(sign: int) -> Atoms:
        start = before.copy()
        start.positions += sign * push
        name = f"following {mode.frequency_THz:.2f} THz at {mode.name}"
        result = relax(start, calculator, fmax_eV_per_A=fmax_eV_per_A, steps=MOST_STEPS, on_step=watch(work, name))
        return at_rest(result)

    ends = [work.structure(f"followed_{way}", partial(down, sign)) for way, sign in (("up", 1), ("down", -1))]
    lowest = min(ends, key=lambda atoms: float(atoms.get_potential_energy()))
    change = float(lowest.get_potential_energy()) / len(lowest) - energy
    return Followed(mode, lowest, change, space_group(lowest))


def _note(
    found: list[ImaginaryMode],
    q: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    label: str | None,
    *,
    exact: bool,
    tolerance: float,
) -> None:
    band = int(np.argmin(frequencies))
    lowest = float(frequencies[band])
    if lowest >= -tolerance:
        return
    mode = ImaginaryMode((float(q[0]), float(q[1]), float(q[2])), label, lowest, band + 1, exact)
    for i, other in enumerate(found):  # of q-points that symmetry makes the same, one is enough, best with a name
        if other.exact == exact and abs(other.frequency_THz - lowest) < 1e-3:
            if other.label is None and label is not None:
                found[i] = mode
            return
    found.append(mode)


def _named_points(bands: Bands | None) -> list[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    if bands is None:
        return []
    points = []
    for labels, qpoints, frequencies in zip(bands.labels, bands.qpoints, bands.frequencies, strict=True):
        points += [(label, qpoints[end], frequencies[end]) for label, end in zip(labels, (0, -1), strict=True)]
    return points


def _label(q: NDArray[np.float64], named: list[tuple[str, NDArray[np.float64], NDArray[np.float64]]]) -> str | None:
    return next((name for name, point, _ in named if _same(q, point)), None)


def _same(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    difference = first - second
    return bool(np.abs(difference - np.rint(difference)).max() < 1e-6)
