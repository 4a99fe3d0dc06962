"""Slabs with and without adsorbates, and clusters in boxes."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bcc100, bcc110, fcc100, fcc110, fcc111, hcp0001
from ase.data import atomic_numbers, covalent_radii

from special import MAX_ATOMS, VACUUM, Draft, Pool, boxed, rattle, strain
from special_crystals import rare_element

_FCC = "Al Ni Cu Rh Pd Ag Ir Pt Au Pb Ca Sr Ce Yb Fe Co Th".split()
_BCC = "Li Na K Rb Cs V Cr Fe Nb Mo Ta W Ba Eu".split()
_HCP = "Be Mg Sc Ti Co Zn Y Zr Tc Ru Cd Hf Re Os La Gd".split()
_IONIC = (("Li Na K Rb Cs".split(), "F Cl Br I".split()), ("Mg Ca Sr Ba Mn Ni Fe Co Cd".split(), "O S Se".split()),
          ("Ti V Zr Nb Hf Ta".split(), "C N".split()))  # fmt: skip
# Elements whose dimers the teacher gets wrong: small clusters with mostly these are not made.
_LOOSE = [
    atomic_numbers[s] for s in "Li Na K Rb Cs Mg Sr Ba Zn Cd Hg Al Ga In Tl Cr Mo Tc Pr Nd Pm Sm Tb Dy Ho Er Tm".split()
]
ADSORBATES = {
    **{s: Atoms(s, positions=[[0, 0, 0]]) for s in ("H", "O", "N", "C", "S", "Cl", "F", "Li", "Na")},
    "CO": Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.15]]),
    "OH": Atoms("OH", positions=[[0, 0, 0], [0.7, 0, 0.65]]),
    "H2O": Atoms("OH2", positions=[[0, 0, 0], [0.76, 0, 0.59], [-0.76, 0, 0.59]]),
    "N2": Atoms("N2", positions=[[0, 0, 0], [0, 0, 1.11]]),
    "CH3": Atoms("CH3", positions=[[0, 0, 0], [1.03, 0, 0.36], [-0.51, 0.89, 0.36], [-0.51, -0.89, 0.36]]),
    "NH3": Atoms("NH3", positions=[[0, 0, 0], [0.94, 0, 0.38], [-0.47, 0.81, 0.38], [-0.47, -0.81, 0.38]]),
}


def _ionic_slab(pool: Pool, random: np.random.Generator) -> Atoms:
    """Return a (100) slab of a rock-salt compound."""
    cations, anions = _IONIC[random.integers(len(_IONIC))]
    m, x = str(random.choice(cations)), str(random.choice(anions))
    a = np.cbrt(8 * pool.volume(np.array([atomic_numbers[m], atomic_numbers[x]])) / 2)
    half, layers = a / 2, int(random.integers(2, 6))
    edge = half * np.sqrt(2)
    slab = Atoms(cell=[edge, edge, 10.0], pbc=True)
    for k in range(layers):
        pair = (m, x) if k % 2 == 0 else (x, m)
        slab += Atoms(pair, positions=[[0, 0, k * half], [edge / 2, edge / 2, k * half]])
    return slab.repeat([(1, 1, 1), (2, 1, 1), (2, 2, 1)][random.integers(3)])


def _metal_slab(pool: Pool, random: np.random.Generator) -> Atoms:
    """Return a low-index slab of a metal, one in five with a foreign atom."""
    build, symbols, count = [(fcc111, _FCC, 4), (fcc100, _FCC, 4), (fcc110, _FCC, 4), (bcc100, _BCC, 2),
                             (bcc110, _BCC, 2), (hcp0001, _HCP, 2)][random.integers(6)]  # fmt: skip
    symbol = str(random.choice(symbols))
    volume = pool.volume(np.array([atomic_numbers[symbol]]))
    a = np.cbrt(volume * count)
    size = [(1, 1, 3), (1, 1, 5), (1, 1, 7), (2, 1, 4), (2, 2, 3), (2, 2, 4)][random.integers(6)]
    if build is hcp0001:
        a = np.cbrt(volume * 4 / np.sqrt(3) / 1.6)
        slab = build(symbol, size, a=a, c=1.6 * a, vacuum=1.0)
    else:
        slab = build(symbol, size, a=a, vacuum=1.0)
    if random.random() < 0.2:
        slab.numbers[int(random.integers(len(slab)))] = rare_element(random)
    return Atoms(numbers=slab.numbers, positions=slab.positions, cell=slab.cell, pbc=True)


def slab(pool: Pool, random: np.random.Generator) -> Draft | None:
    """A slab, two in three with an adsorbate at a random site and height."""
    ionic = random.random() < 0.25
    atoms = _ionic_slab(pool, random) if ionic else _metal_slab(pool, random)
    strain(atoms, random, 0.015)
    kind = "ionic" if ionic else "metal"
    cell = atoms.cell.array.copy()
    if random.random() < 0.65:
        name = str(random.choice(list(ADSORBATES)))
        part = ADSORBATES[name].copy()
        part.rotate(float(random.uniform(0, 360)), "z")
        if random.random() < 0.3:
            part.rotate(float(random.uniform(0, 180)), "x")
        part.positions -= part.positions[:, 2].min() * np.array([0, 0, 1])
        site = random.random(2) @ cell[:2, :2]
        top = atoms.positions[:, 2].max()
        part.positions += [*site, top]
        # Lift it until the closest contact is a random fraction of the bond length.
        wanted = random.uniform(0.8, 1.25) if random.random() < 0.75 else random.uniform(1.25, 2.2)
        joined = atoms + part
        first = range(len(atoms))
        while not _clear(joined, first, len(atoms), wanted):
            joined.positions[len(atoms) :, 2] += 0.1
        atoms, kind = joined, f"{kind} with {name}"
    if len(atoms) > MAX_ATOMS:
        return None
    atoms.positions[:, 2] -= atoms.positions[:, 2].min()
    cell[2] = [0.0, 0.0, atoms.positions[:, 2].max() + random.uniform(*VACUUM)]
    atoms.set_cell(cell)
    rattle(atoms, random, 0.15)
    return Draft(atoms, kind, move_cell=False)


def _clear(atoms: Atoms, slab_atoms: range, start: int, wanted: float) -> bool:
    """Tell whether no adsorbate atom is closer to the slab than ``wanted`` bond lengths."""
    radii = covalent_radii[atoms.numbers]
    flat = atoms.copy()
    flat.pbc = [True, True, False]
    for k in range(start, len(atoms)):
        distances = flat.get_distances(k, list(slab_atoms), mic=True)
        if (distances < wanted * (radii[k] + radii[:start])).any():
            return False
    return True


def cluster(pool: Pool, random: np.random.Generator) -> Draft | None:
    """Two to twelve atoms of one to three elements in a box: grown atom by atom, or cut out of a crystal."""
    size = int(random.integers(2, 13))
    if random.random() < 0.5:
        crystal = pool.crystal(random, 12).repeat(3)
        centre = crystal.positions[random.integers(len(crystal))]
        nearest = np.argsort(np.linalg.norm(crystal.positions - centre, axis=1))[:size]
        atoms, kind = crystal[nearest], "cut"
    else:
        kinds = [rare_element(random) for _ in range(int(random.integers(1, 4)))]
        numbers, points = [kinds[0]], [np.zeros(3)]
        while len(numbers) < size:
            z, at = int(random.choice(kinds)), int(random.integers(len(numbers)))
            direction = random.normal(size=3)
            bond = covalent_radii[z] + covalent_radii[numbers[at]]
            point = points[at] + direction / np.linalg.norm(direction) * bond * random.uniform(0.85, 1.3)
            apart = np.linalg.norm(np.array(points) - point, axis=1)
            if (apart > 0.82 * (covalent_radii[z] + covalent_radii[numbers])).all():
                numbers.append(z)
                points.append(point)
        atoms, kind = Atoms(numbers=numbers, positions=points), "grown"
    if np.isin(atoms.numbers, _LOOSE).mean() > 0.5:
        return None
    rattle(atoms, random, 0.1)
    return Draft(boxed(atoms, random), kind, move_cell=False)
