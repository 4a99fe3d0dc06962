"""Hydrogen at many densities and ices with disordered hydrogens."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

from special import MAX_ATOMS, Draft, Pool, pack, rattle, rescale, strain


def hydrogen(_pool: Pool, random: np.random.Generator) -> Draft | None:
    """H2 at many densities."""
    parts = [
        Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.75 * random.uniform(0.9, 1.15)]])
        for _ in range(int(random.integers(3, 13)))
    ]
    # A molecule takes 38 Å³ at no pressure and 12 Å³ at 30 GPa.
    volume = len(parts) * np.exp(random.uniform(np.log(9.0), np.log(60.0)))
    atoms = pack(parts, volume, random.uniform(0.4, 0.8), random)
    rattle(atoms, random, 0.1)
    return Draft(atoms, "molecules")


def ice(_pool: Pool, random: np.random.Generator) -> Draft | None:
    """Ices Ih, Ic and VII with hydrogens disordered by the ice rules, scaled and rattled."""
    kind = str(random.choice(["Ih", "Ic", "VII"], p=[0.4, 0.35, 0.25]))
    bond = 2.75 * random.uniform(0.9, 1.12)
    if kind == "Ih":
        a, c = bond * np.sqrt(8 / 3), bond * 8 / 3
        u = 3 / 8
        sites = [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, u], [2 / 3, 1 / 3, 0.5], [2 / 3, 1 / 3, 0.5 + u]]
        nets = [Atoms("O4", scaled_positions=sites, cell=[a, a, c, 90, 90, 120], pbc=True)]
    else:
        nets = [bulk("Si", "diamond", a=bond * 4 / np.sqrt(3))]
    size = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 2, 1)][random.integers(4)]
    if kind == "VII":  # two interwoven nets of ice Ic
        size = [(1, 1, 1), (2, 1, 1)][random.integers(2)]
        second = nets[0].copy()
        second.positions += 0.5 * second.cell.array.sum(0)
        nets.append(second)
    atoms = None
    for net in nets:
        oxygens = net.repeat(size)
        oxygens.symbols[:] = "O"
        water = _with_hydrogens(oxygens, bond, random)
        atoms = water if atoms is None else atoms + water
    if len(atoms) > MAX_ATOMS:
        return None
    if kind == "VII":
        rescale(atoms, atoms.cell.volume * random.uniform(0.95, 1.3))
    strain(atoms, random, 0.02)
    rattle(atoms, random, 0.12)
    if random.random() < 0.15:
        atoms.symbols[int(random.integers(len(atoms)))] = str(random.choice(["F", "N", "Li", "Na", "Cl"]))
    return Draft(atoms, kind)


def _with_hydrogens(net: Atoms, bond: float, random: np.random.Generator) -> Atoms:
    """Put one hydrogen on every bond of a four-fold net so that every oxygen has two.

    Every vertex has four bonds, so a walk along unused bonds ends where it began and passes in as often as out: the
    walked direction says which end owns the hydrogen.
    """
    bonds = []
    for i, shifted in enumerate(net.positions):
        for image in np.ndindex(3, 3, 3):
            offset = (np.array(image) - 1) @ net.cell.array
            for j, other in enumerate(net.positions):
                vector = other + offset - shifted
                if 0.1 < np.linalg.norm(vector) < 1.2 * bond and (i, *vector) < (j, *-vector):
                    bonds.append((i, j, vector))
    left = set(range(len(bonds)))
    hydrogens = []
    while left:
        here = bonds[min(left)][0]
        while True:
            ways = sorted(b for b in left if here in bonds[b][:2])
            if not ways:
                break
            b = ways[random.integers(len(ways))]
            left.remove(b)
            i, j, vector = bonds[b]
            if here != i:
                i, j, vector = j, i, -vector
            hydrogens.append(net.positions[i] + vector / np.linalg.norm(vector) * 0.98)
            here = j
    return net + Atoms(f"H{len(hydrogens)}", positions=hydrogens)
