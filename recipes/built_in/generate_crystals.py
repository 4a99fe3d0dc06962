"""Make diverse crystals: element substitution, strain, rattle, slabs and vacancies."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.io import read
from vesin import ase_neighbor_list

from elements import ANIONS, ELEMENTS, NOBLE_GASES, AtomicVolumes, similarity
from prototypes import Prototype, build_prototypes
from split import is_validation

MAX_ATOMS = 24
KEEP_SPECIES = 0.4  # probability that a species of the parent stays
RATTLES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35)  # Å
RATTLE_WEIGHTS = (0.28, 0.24, 0.2, 0.14, 0.09, 0.05)
KINDS = ("mptrj", "alexandria", "stressed", "properties", "eos", "prototype")
KIND_WEIGHTS = (0.42, 0.2, 0.06, 0.19, 0.03, 0.1)
CLOSEST = 0.55  # smallest distance over the sum of covalent radii


@dataclass
class Start:
    """A start frame.

    Attributes:
        atoms: The crystal (Å).
        kind: Where the parent comes from.
        slab: Whether it is a slab with vacuum.
    """

    atoms: Atoms
    kind: str
    slab: bool


class Parents:
    """All parent crystals, by kind."""

    def __init__(self, data: Path) -> None:
        """Read the parents.

        Args:
            data: Folder with ``mp_like``, ``properties`` and ``acwf_vasp_eos``.
        """
        mptrj, alexandria, stressed = (
            [a for a in read_frames(data / f"mp_like/{name}-1k.extxyz.gz") if not is_validation(a)]
            for name in ("mptrj-random", "alexandria-random", "mptrj-highest-stress")
        )
        stressed = [a for a in stressed if np.abs(a.get_forces()).max() < 20.0]
        eos = read_frames(data / "acwf_vasp_eos/acwf_vasp_eos.extxyz.gz")
        properties = read_property_structures(data / "properties")
        known = [a for a in properties if not is_validation(a)]
        self.volume = AtomicVolumes(eos, mptrj + alexandria + known)
        centres = [a for a in eos if a.info["center"] in ("Fe", "Al", "Si", "Na", "W", "La")]
        lists = (mptrj, alexandria, stressed, properties, centres)
        self.crystals = {k: [bare(a) for a in c if len(a) <= MAX_ATOMS] for k, c in zip(KINDS[:-1], lists, strict=True)}
        self.prototypes = build_prototypes()


def read_frames(path: Path) -> list[Atoms]:
    """Read a compressed extended-xyz file; unpacked in memory first, which is many times faster.

    Args:
        path: File ``*.extxyz.gz``.

    Returns:
        All frames (eV, eV/Å, eV/Å³).
    """
    with gzip.open(path, "rt") as handle:
        return read(io.StringIO(handle.read()), ":", format="extxyz")


def bare(atoms: Atoms) -> Atoms:
    """Return a copy with cell, positions and species only."""
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


def read_property_structures(folder: Path) -> list[Atoms]:
    """Read the ordered structures stored in JSON files in pymatgen's dictionary format.

    Args:
        folder: Folder with ``*.json.gz`` files.

    Returns:
        Crystals (Å).
    """
    result = []
    for path in sorted(folder.glob("*.json.gz")):
        with gzip.open(path, "rt") as handle:
            records = json.load(handle)
        for record in records.values() if isinstance(records, dict) else records:
            structures = record["structure"]
            for s in structures if isinstance(structures, list) else [structures]:
                symbols = [site["species"][0]["element"] for site in s["sites"]]
                if len(symbols) <= MAX_ATOMS:
                    scaled = [site["abc"] for site in s["sites"]]
                    result.append(Atoms(symbols, scaled_positions=scaled, cell=s["lattice"]["matrix"], pbc=True))
    return result


class Generator:
    """Draws start frames; rare elements are drawn more often as a shard grows."""

    def __init__(self, parents: Parents, seed: int, shard: int) -> None:
        """Set up the random stream of one shard.

        Args:
            parents: Parent crystals.
            seed: Seed of the whole data set.
            shard: Number of the shard.
        """
        self.parents = parents
        self.random = np.random.default_rng([seed, shard])
        self._similarity = similarity()
        self._counts = np.zeros(95)
        self._share = np.ones(95)  # wanted share of the crystals, relative to a common metal
        self._share[8] = 25.0
        self._share[[1, 7, 9, 16, 17]] = 3.0

    def draw(self, count: int) -> list[Start]:
        """Draw start frames.

        Args:
            count: How many.

        Returns:
            Start frames, none of a validation formula.
        """
        result: list[Start] = []
        while len(result) < count:
            start = self._try()
            if start is not None:
                result.append(start)
                self._counts[np.unique(start.atoms.numbers)] += 1
        return result

    def _try(self) -> Start | None:
        kind = str(self.random.choice(KINDS, p=KIND_WEIGHTS))
        if kind == "prototype":
            atoms = self._fill(self.parents.prototypes[self.random.integers(len(self.parents.prototypes))])
        else:
            atoms = self._substitute(kind)
        if atoms is None or is_validation(atoms):
            return None
        special = self.random.random()
        slab = special < 0.045
        if slab:
            self.distort(atoms, wide=False)
            made = self._slab(atoms)
        elif special < 0.09:
            made = self._vacancy(atoms)
            if made is not None:
                self.distort(made, wide=False)
        else:
            self.distort(atoms, wide=True)
            made = atoms
        if made is None or len(made) > MAX_ATOMS or is_validation(made):
            return None
        sigma = self.random.choice(RATTLES, p=RATTLE_WEIGHTS)
        made.positions += self.random.normal(0.0, 1.0, made.positions.shape) * sigma
        return Start(made, kind, slab) if acceptable(made) else None

    def _weights(self, weights: np.ndarray) -> np.ndarray:
        weights = weights / (1.0 + self._counts / self._share)
        return weights / weights.sum()

    def _substitute(self, kind: str) -> Atoms | None:
        crystals = self.parents.crystals[kind]
        parent = crystals[self.random.integers(len(crystals))]
        # Small cells are preferred: most information per second.
        if self.random.random() > min(1.0, 12.0 / len(parent)):
            return None
        swap = np.arange(119)
        for z in np.unique(parent.numbers):
            keep = 0.85 if z == 8 else KEEP_SPECIES
            if z not in ELEMENTS or self.random.random() > keep:
                swap[z] = self.random.choice(95, p=self._weights(self._similarity[min(z, 94)]))
        if len(set(swap[np.unique(parent.numbers)])) < len(np.unique(parent.numbers)):
            return None
        volume = self.parents.volume
        guess = volume(swap[parent.numbers])
        if kind in ("mptrj", "alexandria", "properties"):
            guess *= np.clip(parent.cell.volume / volume(parent.numbers), 0.7, 2.0)
        atoms = parent.copy()
        atoms.numbers = swap[parent.numbers]
        rescale(atoms, guess)
        return atoms

    def _fill(self, prototype: Prototype) -> Atoms | None:
        anion = np.zeros(95)
        anion[list(ANIONS)] = 1.0
        anion[[1, 6]] = 0.4
        everything = np.zeros(95)
        everything[list(ELEMENTS)] = 1.0
        everything[list(NOBLE_GASES)] = 5.0 if prototype.slots == ("E",) else 0.2
        metal = everything * (anion == 0)
        metal[list(NOBLE_GASES)] = 0.0
        table = {"A": metal, "B": metal, "C": metal, "E": everything, "X": anion, "Y": anion}
        chosen = [self.random.choice(95, p=self._weights(table[s])) for s in prototype.slots]
        if len(set(chosen)) < len(chosen):
            return None
        atoms = prototype.atoms.copy()
        atoms.numbers = np.array(chosen)[atoms.get_tags()]
        atoms.set_tags(0)
        rescale(atoms, self.parents.volume(atoms.numbers))
        return atoms

    def distort(self, atoms: Atoms, wide: bool) -> None:
        """Scale the volume and strain the cell at random, in place."""
        chance = self.random.random() if wide else 1.0
        if chance < 0.14:
            factor = 1.0 + self.random.uniform(-0.30, -0.06)
        elif chance < 0.22:
            factor = 1.0 + self.random.uniform(0.06, 0.15)
        else:
            factor = 1.0 + np.clip(self.random.normal(0.0, 0.03), -0.06, 0.06)
        strain = self.random.normal(0.0, 0.02, (3, 3))
        volume = atoms.cell.volume * factor
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        rescale(atoms, volume)

    def _slab(self, atoms: Atoms) -> Atoms | None:
        axis = int(self.random.integers(3))
        repeat = [1, 1, 1]
        repeat[axis] = int(self.random.integers(1, 4))
        slab = atoms.repeat(repeat)
        if len(slab) > 16:
            return None
        cell = slab.cell.array.copy()
        normal = np.cross(cell[axis - 2], cell[axis - 1])
        normal *= np.sign(normal @ cell[axis]) / np.linalg.norm(normal)
        slab.wrap()
        height = slab.positions @ normal
        cell[axis] = cell[axis] * (np.ptp(height) + self.random.uniform(8.0, 12.0)) / (cell[axis] @ normal)
        slab.set_cell(cell, scale_atoms=False)
        return slab

    def _vacancy(self, atoms: Atoms) -> Atoms | None:
        shapes = ((2, 2, 1), (2, 1, 2), (1, 2, 2), (2, 2, 2), (2, 1, 1), (1, 1, 1))
        repeats = [r for r in shapes if 4 <= len(atoms) * np.prod(r) <= 20]
        if not repeats:
            return None
        cell = atoms.repeat(repeats[self.random.integers(len(repeats))])
        del cell[int(self.random.integers(len(cell)))]
        return cell


def rescale(atoms: Atoms, volume: float) -> None:
    """Scale a crystal to a volume (Å³), in place."""
    atoms.set_cell(atoms.cell.array * (volume / atoms.cell.volume) ** (1 / 3), scale_atoms=True)


def acceptable(atoms: Atoms) -> bool:
    """Tell whether no two atoms are too close and the crystal has neighbours within 4.9 Å."""
    i, j, d = ase_neighbor_list("ijd", atoms, 4.9)
    radii = covalent_radii[atoms.numbers]
    return len(i) > 0 and bool((d >= CLOSEST * (radii[i] + radii[j])).all())
