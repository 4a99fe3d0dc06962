"""Write structures.extxyz: the small structures on which the home codes are evaluated.

Run as `python make_structures.py` in an environment with ase. The generators of the checkpoints read the file
written here, so that every code sees positions rounded to the same digits.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write
from ase.neighborlist import neighbor_list

CUTOFFS = (3.5, 4.0, 4.5)  # all cutoffs used by the generators
MARGIN = 1e-3  # no interatomic distance may be closer than this to any of them


def make() -> list[Atoms]:
    nacl = bulk("NaCl", "rocksalt", a=5.5, cubic=True)
    nacl.rattle(0.12, seed=3)
    nacl.info["name"] = "nacl"

    triclinic = Atoms(
        ["Si", "O", "O"],
        scaled_positions=[[0.03, 0.11, 0.02], [0.38, 0.47, 0.31], [0.71, 0.22, 0.69]],
        cell=[[3.9, 0.3, -0.2], [-0.7, 4.3, 0.5], [0.4, -0.9, 4.8]],
        pbc=True,
    )
    triclinic.info["name"] = "triclinic_sio2"

    silicon = bulk("Si", "diamond", a=5.43, cubic=True)
    silicon.rattle(0.1, seed=5)
    silicon.info["name"] = "silicon"

    sodium = bulk("Na", "bcc", a=3.9)  # one atom: every neighbour is an image of it
    sodium.set_cell(sodium.cell @ np.array([[1.0, 0.03, 0.0], [0.0, 0.97, 0.02], [0.0, 0.0, 1.04]]), scale_atoms=True)
    sodium.info["name"] = "sodium"

    salty = Atoms(
        ["Na", "Cl", "H", "O", "H"],
        positions=[[0.1, 0.2, 0.0], [2.6, 0.3, 0.2], [2.2, 2.6, 2.4], [1.9, 3.3, 3.0], [1.0, 3.1, 3.4]],
        cell=[[5.1, 0.2, 0.0], [0.0, 5.3, 0.4], [0.3, 0.0, 5.6]],
        pbc=True,
    )
    salty.info["name"] = "salty_water"

    water = molecule("H2O")
    water.rattle(0.05, seed=7)
    water.info["name"] = "water_molecule"
    return [nacl, triclinic, silicon, sodium, salty, water]


def main() -> None:
    path = Path(__file__).with_name("structures.extxyz")
    write(path, make(), format="extxyz")
    for atoms in read(path, index=":"):
        distances = neighbor_list("d", atoms, max(CUTOFFS) + 0.1)
        gap = min(abs(distances - cutoff).min() for cutoff in CUTOFFS)
        print(f"{atoms.info['name']:16s} {len(atoms)} atoms, shortest {distances.min():.3f}, gap to a cutoff {gap:.4f}")
        assert gap > MARGIN, atoms.info["name"]


if __name__ == "__main__":
    main()
