"""Nudged elastic band: the way over the barrier between two minima, all images evaluated in one batch."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import find_mic
from ase.mep import NEB
from ase.mep.neb import idpp_interpolate
from ase.optimize import FIRE
from numpy.typing import NDArray

from tribond.errors import ConfigError, TribondError
from tribond.properties.neb_ends import check_ends, constrained_like
from tribond.properties.relax import relax
from tribond.properties.start import MOST_STEPS, at_rest, watch
from tribond.properties.work import Sample, Work, sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

DEFAULT_IMAGES = 7  # between the ends
DEFAULT_FMAX = 0.02  # eV/Å
DEFAULT_STEPS = 500
SPRING = 0.1  # eV/Å² | ASE's
ROUGH_FMAX = 0.2  # eV/Å | where climbing begins
SAME_PLACE = 0.05  # Å | ends closer than this are one minimum
KEEP_EVERY = 10  # steps


class BandError(TribondError):
    """There is no path to find between these two structures."""


@dataclass(frozen=True)
class Band:
    """A path from one minimum to another."""

    images: tuple[Atoms, ...]  # with energies and forces, the ends included
    converged: bool
    steps: int
    fmax_eV_per_A: float  # largest force of the band that was left
    climbed: bool

    @property
    def energies(self) -> NDArray[np.float64]:
        """(images,) eV."""
        return np.array([image.get_potential_energy(apply_constraint=False) for image in self.images])

    @property
    def distances(self) -> NDArray[np.float64]:
        """Along the path from the first image, Å in the space of all atoms.  (images,)"""
        steps = [
            np.linalg.norm(find_mic(b.positions - a.positions, a.cell, a.pbc)[0])
            for a, b in zip(self.images, self.images[1:], strict=False)
        ]
        return np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def saddle(self) -> int:
        """Index of the highest image."""
        return int(np.argmax(self.energies))

    def summary(self) -> dict[str, Any]:
        """Numbers with the unit in each name."""
        energies = self.energies
        return {
            "formula": self.images[0].get_chemical_formula(),
            "num_atoms": len(self.images[0]),
            "num_images": len(self.images) - 2,
            "converged": self.converged,
            "steps": self.steps,
            "fmax_eV_per_A": self.fmax_eV_per_A,
            "climbing_image": self.climbed,
            "barrier_eV": float(energies.max() - energies[0]),
            "reverse_barrier_eV": float(energies.max() - energies[-1]),
            "reaction_energy_eV": float(energies[-1] - energies[0]),
            "saddle_image": self.saddle,
        }

    def columns(self) -> dict[str, Any]:
        """A table of the images."""
        energies = self.energies
        return {
            "image": np.arange(len(self.images)),
            "distance_A": self.distances,
            "energy_eV": energies,
            "relative_energy_eV": energies - energies[0],
        }

    def figure(self, label: str = "") -> "Figure":
        """Energy along the path, with a curve through the images that has their slopes."""
        from ase.utils.forcecurve import fit_images

        from tribond.results.figures import COLORS, GUIDE, new_figure, title

        fit = fit_images([_unconstrained(image) for image in self.images])
        figure, (axes,) = new_figure()
        title(axes, label)
        axes.plot(fit.fit_path, fit.fit_energies, color=COLORS[0])
        axes.plot(fit.path, fit.energies, "o", color=COLORS[1], markersize=5)
        summary = self.summary()
        axes.axhline(0, color=GUIDE, linewidth=0.8)
        axes.axhline(summary["barrier_eV"], color=GUIDE, linestyle=":", linewidth=1)
        word = "" if self.converged else " (not converged)"
        axes.annotate(
            f"barrier {summary['barrier_eV']:.3f} eV{word}",
            (fit.path[0], summary["barrier_eV"]),
            textcoords="offset points",
            xytext=(2, 4),
        )
        axes.margins(y=0.12)
        axes.set_xlabel("along the path (Å)")
        axes.set_ylabel("energy (eV)")
        return figure


class BatchedBand(NEB):
    """ASE's band (improved tangents), whose images are evaluated together."""

    def __init__(self, images: list[Atoms], calculator: Calculator, *, climb: bool) -> None:
        super().__init__(images, k=SPRING, climb=climb, method="improvedtangent")
        self._calculator = calculator
        self.largest = np.inf  # eV/Å | of the last forces

    def get_forces(self) -> NDArray[np.float64]:
        """Of springs and potential, (images · atoms, 3) eV/Å; images carry their energies afterwards."""
        inner = self.images[1:-1]
        for image, found in zip(inner, sample(inner, self._calculator), strict=True):
            _attach(image, found)
        forces = np.asarray(super().get_forces())
        self.largest = float(np.linalg.norm(forces, axis=1).max())
        return forces


def band(
    first: Atoms,
    last: Atoms,
    calculator: Calculator,
    *,
    images: int = DEFAULT_IMAGES,
    climb: bool = True,
    relax_ends: bool = True,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    steps: int = DEFAULT_STEPS,
    work: Work | None = None,
) -> Band:
    """The minimum-energy path between two structures, by the climbing-image nudged elastic band of ASE.

    Args:
        first: one end, whose constraints all images and the other end get; not changed.
        last: the other one: the same atoms in the same order and the same cell, fixed atoms in the same places.
        calculator: any ASE calculator.
        images: how many between the ends.
        climb: let the highest image climb to the saddle point, once the band is roughly at rest.
        relax_ends: relax the atoms of both ends first; else they must be minima already.
        fmax_eV_per_A: of the ends and of the band.
        steps: give up after so many; the result then says converged = False.
        work: keeps ends and band, and tells how far it is.

    Raises:
        ConfigError: for settings that make no sense.
        StructureError: for ends that do not belong together.
        BandError: if both ends are or become the same minimum.
        RelaxationError: if an end does not come to rest.
    """
    work = work or Work()
    if not 1 <= images <= 100 or steps < 1:
        raise ConfigError(f"a band needs 1 to 100 images and a step at least, not {images} and {steps}")
    if not (np.isfinite(fmax_eV_per_A) and fmax_eV_per_A > 0):
        raise ConfigError(f"fmax must be a positive force in eV/Å, not {fmax_eV_per_A}")
    check_ends(first, last)
    last = constrained_like(first, last)
    ends = [
        work.structure(name, partial(_end, it, calculator, name, work, fmax_eV_per_A, relax_ends=relax_ends))
        for name, it in (("first", first), ("last", last))
    ]
    move = find_mic(ends[1].positions - ends[0].positions, ends[0].cell, ends[0].pbc)[0]
    if np.linalg.norm(move, axis=1).max() < SAME_PLACE:
        raise BandError(
            f"both ends are the same minimum{' once relaxed' if relax_ends else ''}: no atom moves by {SAME_PLACE} Å; is "
            "the last structure a minimum of its own, with its atoms in the order of the first?"
        )
    path = _start(ends, move, images, work)
    return _optimize(path, calculator, work, climb=climb, fmax=fmax_eV_per_A, steps=steps)


def _end(atoms: Atoms, calculator: Calculator, name: str, work: Work, fmax: float, *, relax_ends: bool) -> Atoms:
    if relax_ends:
        result = relax(
            atoms,
            calculator,
            relax_cell=False,
            fmax_eV_per_A=fmax,
            steps=MOST_STEPS,
            on_step=watch(work, f"relaxing the {name} end"),
        )
        return at_rest(result)
    end = atoms.copy()
    found = sample([end], calculator)[0]
    _attach(end, found)
    largest = np.linalg.norm(end.get_forces(), axis=1).max()
    if largest > max(fmax, 0.05):
        logger.warning("the %s end is not at rest: forces up to %.3f eV/Å", name, largest)
    return end


def _start(ends: list[Atoms], move: NDArray[np.float64], images: int, work: Work) -> list[Atoms]:
    """Images on a path that keeps atoms apart (IDPP, Smidstrup et al., J. Chem. Phys. 140, 214106 (2014))."""

    def make() -> dict[str, NDArray[np.float64]]:
        path = [ends[0].copy() for _ in range(images + 2)]
        for i, image in enumerate(path):
            image.positions = ends[0].positions + move * i / (images + 1)  # the last one beside the first, not across
        idpp_interpolate(NEB(path, method="improvedtangent"), traj=None, log=None, mic=bool(ends[0].pbc.any()))
        return {"positions": np.array([image.positions for image in path]), "steps": np.array([0.0])}

    kept = work.arrays("band", make)
    path = [ends[0].copy() for _ in range(images + 2)]
    for image, positions in zip(path, kept["positions"], strict=True):
        image.positions = positions
    for image, end in ((path[0], ends[0]), (path[-1], ends[1])):
        results = dict(end.calc.results)
        image.calc = SinglePointCalculator(image, energy=results["energy"], forces=results["forces"])
    return path


def _optimize(path: list[Atoms], calculator: Calculator, work: Work, *, climb: bool, fmax: float, steps: int) -> Band:
    done, left = 0, np.inf
    climbing = False
    for stage in (False, True) if climb else (False,):
        climbing = stage
        target = fmax if stage == climb else max(ROUGH_FMAX, fmax)
        chain = BatchedBand(path, calculator, climb=stage)
        with FIRE(chain, logfile=None) as dynamics:
            for _ in dynamics.irun(fmax=target, steps=steps - done):
                left = chain.largest
                if not np.isfinite(left):
                    raise BandError("the band runs away from what the model can describe; look at the two ends")
                if dynamics.nsteps % KEEP_EVERY == 0:
                    _keep(path, work)
                work.tell(done + dynamics.nsteps, steps, f"band{', climbing' if stage else ''}: fmax {left:.4f} eV/Å")
        done += dynamics.nsteps
        if done >= steps:
            break
    _keep(path, work)
    return Band(tuple(path), left <= fmax and climbing == climb, done, left, climbing)


def _keep(path: list[Atoms], work: Work) -> None:
    work.replace_arrays("band", {"positions": np.array([image.positions for image in path])})


def _attach(atoms: Atoms, found: Sample) -> None:
    atoms.calc = SinglePointCalculator(atoms, energy=found.energy, forces=found.forces)


def _unconstrained(atoms: Atoms) -> Atoms:
    free = atoms.copy()
    free.calc = atoms.calc
    return free
