"""What the families of special structures share: the pool of crystals and the small moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import covalent_radii, vdw_radii

import tribond
from elements import AtomicVolumes
from split import is_validation
from tribond.data.split import reduced_formula

MAX_ATOMS = 40
CONTACT = np.append(vdw_radii, np.full(len(covalent_radii) - len(vdw_radii), np.nan))
CONTACT = np.where(np.isnan(CONTACT), covalent_radii + 0.8, CONTACT)  # van der Waals radii (Å), guessed where unknown
VACUUM = (6.2, 8.0)  # Å; more than the cutoff of potential and teacher, so that images do not meet


@dataclass
class Draft:
    """A structure to be labelled.

    Attributes:
        atoms: Periodic structure (Å).
        kind: What it is within its family.
        move_cell: Whether a descent may change the cell (not with vacuum).
    """

    atoms: Atoms
    kind: str
    move_cell: bool = True


class Pool:
    """What the families draw from."""

    def __init__(
        self, catalogue: Sequence[Atoms], eos: Sequence[Atoms], excluded: set[str], potential: Path | None
    ) -> None:
        """Keep the crystals that may be used and fit the volumes of the elements to them.

        Args:
            catalogue: Crystals near equilibrium.
            eos: Equation-of-state frames of the elements and their oxides, for ``AtomicVolumes``.
            excluded: Reduced formulas that are never made.
            potential: Weights of the tribond potential that moves hot structures; None for the built-in one.
        """
        self.excluded = excluded
        self.crystals = [c for c in catalogue if len(c) <= MAX_ATOMS and self.allowed(c)]
        self._volumes = AtomicVolumes(eos, self.crystals)
        self._known: dict[str, float] = {}
        for c in self.crystals:
            key, volume = reduced_formula(str(c.symbols)), c.cell.volume / len(c)
            self._known[key] = min(volume, self._known.get(key, np.inf))
        self._path = potential

    def allowed(self, atoms: Atoms) -> bool:
        """Tell whether a compound is neither of the validation fold nor excluded."""
        return not is_validation(atoms) and reduced_formula(str(atoms.symbols)) not in self.excluded

    def volume(self, numbers: np.ndarray) -> float:
        """Return a likely volume.

        Args:
            numbers: Atomic numbers of the cell.

        Returns:
            Volume (Å³): that of the densest known crystal of the formula, else the sum of fitted atomic volumes.
        """
        per_atom = self._known.get(reduced_formula(str(Atoms(numbers=numbers).symbols)))
        return float(per_atom * len(numbers)) if per_atom else self._volumes(numbers)

    def crystal(self, random: np.random.Generator, most: int = MAX_ATOMS) -> Atoms:
        """Draw a crystal of the catalogue with at most ``most`` atoms."""
        while True:
            c = self.crystals[random.integers(len(self.crystals))]
            if len(c) <= most:
                return Atoms(numbers=c.numbers, positions=c.positions, cell=c.cell, pbc=True)

    @cached_property
    def potential(self) -> tribond.Potential:
        """The tribond potential that moves hot structures."""
        return tribond.load(self._path) if self._path else tribond.load()


Family = Callable[[Pool, np.random.Generator], Draft | None]


def rattle(atoms: Atoms, random: np.random.Generator, most: float = 0.25) -> None:
    """Displace all atoms at random, in place.

    Args:
        atoms: Structure.
        random: Random stream.
        most: Largest standard deviation of a coordinate (Å); small ones are drawn more often.
    """
    sigma = most * random.random() ** 1.7 * (random.random() > 0.15)
    atoms.positions += random.normal(0.0, 1.0, atoms.positions.shape) * sigma


def strain(atoms: Atoms, random: np.random.Generator, sigma: float = 0.03) -> None:
    """Strain and shear the cell at random without changing its volume, in place."""
    tensor = random.normal(0.0, sigma, (3, 3))
    deform = np.eye(3) + (tensor + tensor.T) / 2
    atoms.set_cell(atoms.cell.array @ deform / np.cbrt(np.linalg.det(deform)), scale_atoms=True)


def rescale(atoms: Atoms, volume: float) -> None:
    """Scale a crystal to a volume (Å³), in place."""
    atoms.set_cell(atoms.cell.array * (volume / atoms.cell.volume) ** (1 / 3), scale_atoms=True)


def supercell(atoms: Atoms, random: np.random.Generator, least: int, most: int) -> Atoms:
    """Repeat a crystal at random so that it has ``least`` to ``most`` atoms, if it can."""
    shapes = [(a, b, c) for a in (1, 2, 3) for b in (1, 2, 3) for c in (1, 2, 3)]
    fitting = [s for s in shapes if least <= len(atoms) * int(np.prod(s)) <= most]
    return atoms.repeat(fitting[random.integers(len(fitting))]) if fitting else atoms


def rotation(random: np.random.Generator) -> np.ndarray:
    """Return a random rotation matrix, shape (3, 3)."""
    q, r = np.linalg.qr(random.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def boxed(atoms: Atoms, random: np.random.Generator) -> Atoms:
    """Put a molecule or cluster in a periodic box with vacuum around it."""
    span = np.ptp(atoms.positions, axis=0)
    cell = span + random.uniform(*VACUUM, 3)
    result = Atoms(numbers=atoms.numbers, positions=atoms.positions - atoms.positions.min(0), cell=cell, pbc=True)
    result.positions += (cell - span) / 2
    return result


def contact(numbers_a: np.ndarray, numbers_b: np.ndarray) -> np.ndarray:
    """Return van der Waals contact distances (Å), shape (len a, len b)."""
    return CONTACT[numbers_a][:, None] + CONTACT[numbers_b][None, :]


def pack(parts: Sequence[Atoms], volume: float, closest: float, random: np.random.Generator) -> Atoms:
    """Pack rigid molecules or atoms at random into a box.

    Args:
        parts: What to pack; each is turned at random.
        volume: Volume of the box to begin with (Å³); it grows when a part does not fit.
        closest: Smallest distance between parts in units of the van der Waals contact.
        random: Random stream.

    Returns:
        Periodic structure.
    """
    shape = random.uniform(0.8, 1.25, 3)
    shape /= np.cbrt(shape.prod())
    numbers = np.concatenate([part.numbers for part in parts])
    touch = closest * contact(numbers, numbers)
    ends = np.cumsum([len(part) for part in parts])
    while True:
        cell = shape * np.cbrt(volume)
        points = np.zeros((len(numbers), 3))
        for part, end in zip(parts, ends, strict=True):
            begin = end - len(part)
            for _ in range(40):
                trial = (part.positions - part.positions.mean(0)) @ rotation(random) + random.random(3) * cell
                apart = trial[:, None] - points[None, :begin]
                apart -= cell * np.round(apart / cell)
                if (np.linalg.norm(apart, axis=2) >= touch[begin:end, :begin]).all():
                    points[begin:end] = trial
                    break
            else:
                break
        else:
            return Atoms(numbers=numbers, positions=points, cell=cell, pbc=True)
        volume *= 1.06
