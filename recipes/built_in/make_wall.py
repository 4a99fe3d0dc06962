"""Write pairs of atoms at short distances, labelled by a rule: every pair of elements shall have a repulsive wall.

    python recipes/built_in/make_wall.py DATASETS PREPARED --exclude FILE

DFT curves are at hand for pairs of the same element alone. At x = r / (R_A + R_B), R the covalent radii, the force between
A and B is taken as the geometric mean of those of A-A and B-B at the same x. Kept elements (excluded, or of the validation
fold) have the universal screened repulsion of Ziegler, Biersack and Littmark instead of their curve. Forces are bounded
smoothly at 400 eV/Å; a bound of 40 contradicts DFT frames at 1000 GPa and made them worse. Where the formula AB is kept, a third atom out of reach makes it A2B or so.
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols, covalent_radii
from ase.io import write

from elements import ELEMENTS
from generate_crystals import read_frames
from split import is_validation
from tribond.data.split import reduced_formula

CLOSEST = 0.5  # Å
WALL = 0.62  # of R_A + R_B: where the wall ends
LARGEST_FORCE = 400.0  # eV/Å
SMALLEST_FORCE = 1.0  # eV/Å | weaker ones are not wall but bond
POINTS = 8  # a pair
FAR = 30.0  # Å


def zbl_force(number: int, r: np.ndarray) -> np.ndarray:
    """Force between two equal atoms in the universal potential of Ziegler, Biersack and Littmark, eV/Å.  (distances,)."""
    a = 0.46850 / (2 * number**0.23)
    weights = np.array([0.18175, 0.50986, 0.28022, 0.02817])
    rates = np.array([3.19980, 0.94229, 0.40290, 0.20162]) / a
    terms = weights * np.exp(-rates * r[:, None])
    return 14.399645 * number**2 * (terms.sum(1) / r**2 + (rates * terms).sum(1) / r)


class Walls:
    """Forces between equal atoms, and by the rule between any two."""

    def __init__(self, dimers: list[Atoms], kept: set[str]) -> None:
        self.curves = {}
        for number in ELEMENTS:
            symbol = chemical_symbols[number]
            pairs = [d for d in dimers if set(d.numbers.tolist()) == {number}]
            rows = sorted((d.get_distance(0, 1), float(d.get_forces()[1] @ _direction(d))) for d in pairs)
            if symbol in kept or not rows or rows[0][1] < SMALLEST_FORCE:
                r = np.linspace(0.2, 2.0, 60) * 2 * covalent_radii[number]
                force = zbl_force(number, r)
            else:
                r, force = np.array(rows).T
            weak = force < SMALLEST_FORCE
            wall = int(np.argmax(weak)) if weak.any() else len(force)  # up to where it is repulsive without a gap
            self.curves[number] = (r[:wall] / (2 * covalent_radii[number]), np.log(force[:wall]))

    def force(self, a: int, b: int, r: np.ndarray) -> np.ndarray:
        """Force between A and B, eV/Å, positive where they repel; NaN beyond the wall of either.  (distances,)."""
        x = r / (covalent_radii[a] + covalent_radii[b])
        logs = [self._log(number, x) for number in (a, b)]
        force = np.exp(np.mean(logs, axis=0))
        return LARGEST_FORCE * np.tanh(force / LARGEST_FORCE)

    def _log(self, number: int, x: np.ndarray) -> np.ndarray:
        """Interpolated; closer than the curve goes, in a straight line of its last slope, and never falling."""
        points, logs = self.curves[number]
        inside = np.interp(x, points, logs, right=np.nan)
        if len(points) < 2:
            return np.where(x < points[0], logs[0], np.nan)
        slope = max((logs[0] - logs[1]) / (points[1] - points[0]), 0.0)
        return np.where(x < points[0], logs[0] + slope * (points[0] - x), inside)


def _direction(pair: Atoms) -> np.ndarray:
    step = pair.positions[1] - pair.positions[0]
    return step / np.linalg.norm(step)


def main() -> None:
    """Write wall.extxyz."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--exclude", type=Path, required=True)
    arguments = parser.parse_args()
    excluded = set(arguments.exclude.read_text().split())

    def is_kept(formula: str) -> bool:
        return is_validation(formula) or reduced_formula(formula) in excluded

    walls = Walls(
        read_frames(arguments.source / "prop_matbench_discovery/diatomics_PBE.extxyz.gz"),
        {chemical_symbols[number] for number in ELEMENTS if is_kept(chemical_symbols[number])},
    )
    random = np.random.default_rng(0)
    frames = []
    for a in ELEMENTS:
        for b in (number for number in ELEMENTS if number >= a):
            distances = random.uniform(
                CLOSEST, max(WALL * (covalent_radii[a] + covalent_radii[b]), CLOSEST + 0.05), POINTS
            )
            others = [[], [a], [b], [a, a], [b, b]] if a != b else [[], [1], [8], [11]]
            apart = next((o for o in others if not is_kept(str(Atoms([a, b, *o]).symbols))), None)
            if apart is None:
                continue
            for r, force in zip(distances, walls.force(a, b, distances), strict=True):
                if not np.isfinite(force):
                    continue
                positions = [(0, 0, 0), (r, 0, 0), *((0, FAR * (k + 1), 0) for k in range(len(apart)))]
                atoms = Atoms([a, b, *apart], positions)
                forces = np.zeros((len(atoms), 3))
                forces[0, 0], forces[1, 0] = -force, force
                atoms.calc = SinglePointCalculator(atoms, forces=forces)
                frames.append(atoms)
    write(arguments.target / "wall.extxyz", frames, format="extxyz")
    print(f"wall: {len(frames)} pairs")


if __name__ == "__main__":
    main()
