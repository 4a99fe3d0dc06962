"""The structures that dynamics starts from."""

import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111
from ase.spacegroup import crystal


def solids() -> dict[str, Atoms]:
    """Si, NaCl, Cu and LiFePO4: 28 to 64 atoms, at lattice constants of PBE."""
    olivine = crystal(
        ["Li", "Fe", "P", "O", "O", "O"],
        [(0, 0, 0), (0.282, 0.25, 0.975), (0.095, 0.25, 0.418), (0.097, 0.25, 0.743), (0.457, 0.25, 0.206),
         (0.166, 0.046, 0.285)],
        spacegroup=62,
        cellpar=[10.44, 6.07, 4.75, 90, 90, 90],
    )  # fmt: skip
    return {
        "Si": bulk("Si", "diamond", 5.47, cubic=True).repeat(2),
        "NaCl": bulk("NaCl", "rocksalt", 5.70, cubic=True).repeat(2),
        "Cu": bulk("Cu", "fcc", 3.63, cubic=True).repeat(2),
        "LiFePO4": olivine,
    }


def melts() -> dict[str, tuple[Atoms, dict[str, float]]]:
    """NaCl, SiO2 and Al at the densities of their melts, and for every pair the distance at which atoms have fused, Å."""
    salt = bulk("NaCl", "rocksalt", 6.3, cubic=True).repeat(2)
    cristobalite = bulk("Si", "diamond", 7.2, cubic=True)
    silicon = cristobalite.positions
    oxygen = [
        (silicon[i] + silicon[j] + shift @ cristobalite.cell.array) / 2
        for i, j, shift in zip(*_neighbors(cristobalite, 3.3), strict=True)
        if i < j
    ]
    silica = cristobalite + Atoms(f"O{len(oxygen)}", oxygen)
    aluminium = bulk("Al", "fcc", 4.25, cubic=True).repeat(2)
    return {
        "NaCl": (salt, {"Cl-Na": 1.7, "Cl-Cl": 1.7, "Na-Na": 1.7}),
        "SiO2": (silica, {"O-Si": 1.2, "O-O": 1.1, "Si-Si": 1.7}),
        "Al": (aluminium, {"Al-Al": 1.8}),
    }


def ice() -> Atoms:
    """Ice Ic, 8 molecules: oxygen on a diamond lattice, hydrogen by the ice rules (every O has two, every bond one)."""
    cell = bulk("O", "diamond", 6.36, cubic=True)
    i, j, shifts = _neighbors(cell, 2.9)
    bonds = [(a, b, s) for a, b, s in zip(i, j, shifts, strict=True) if a < b]
    random = np.random.default_rng(2)
    near_second = random.integers(0, 2, len(bonds))  # whether the hydrogen of a bond is near its second oxygen
    while True:  # 16 bonds: from random, turn over hydrogens of oxygens that have too many until none has
        counts = np.bincount([bond[near] for bond, near in zip(bonds, near_second, strict=True)], minlength=len(cell))
        if (counts == 2).all():
            break
        rich = [k for k, (bond, near) in enumerate(zip(bonds, near_second, strict=True)) if counts[bond[near]] > 2]
        near_second[random.choice(rich)] ^= 1
    positions = []
    for (a, b, shift), near in zip(bonds, near_second, strict=True):
        step = cell.positions[b] + shift @ cell.cell.array - cell.positions[a]
        part = 0.98 / np.linalg.norm(step)
        positions.append(cell.positions[a] + step * (1 - part if near else part))
    return cell + Atoms(f"H{len(positions)}", positions)


def benzene_crystal() -> Atoms:
    """Benzene I at 138 K (Pbca; Jeffrey et al., Proc. R. Soc. Lond. A 414, 47 (1987)): 4 molecules, 48 atoms."""
    return crystal(
        ["C", "C", "C", "H", "H", "H"],
        [(-0.0569, 0.1387, -0.0054), (-0.1335, 0.0460, 0.1264), (-0.0774, -0.0925, 0.1295),
         (-0.0976, 0.2447, -0.0177), (-0.2409, 0.0794, 0.2218), (-0.1371, -0.1631, 0.2312)],
        spacegroup=61,
        cellpar=[7.39, 9.42, 6.81, 90, 90, 90],
    )  # fmt: skip


def oxygen_on_platinum() -> Atoms:
    """Pt(111), four layers of 3 x 3, with a quarter or so of a layer of O in fcc hollows."""
    slab = fcc111("Pt", (3, 3, 4), a=3.97, vacuum=7.0, periodic=True)
    for offset in ((0, 0), (1, 1)):
        add_adsorbate(slab, "O", 1.2, "fcc", offset=offset)
    return slab


def _neighbors(atoms: Atoms, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from ase.neighborlist import neighbor_list

    return neighbor_list("ijS", atoms, reach)
