"""Equations of state of simple compounds, dense and thin crystals, random alloys, pairs pushed together, defects."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from elements import ANIONS, ELEMENTS, NOBLE_GASES
from prototypes import build_prototypes
from special import Draft, Pool, rattle, rescale, strain, supercell
from special_molecules import insert

_PROTOTYPES = {p.name: p for p in build_prototypes()}
_COUNTS = np.zeros(119)  # how often an element was drawn in this process; `new_shard` resets it
_METALS = tuple(z for z in ELEMENTS if z not in ANIONS and z not in NOBLE_GASES)
_ALKALI = "Li Na K Rb Cs".split()
_EARTH = "Be Mg Ca Sr Ba".split()
_HALOGENS, _CHALCOGENS = "F Cl Br I".split(), "O S Se Te".split()
_TRANSITION = "Sc Ti V Cr Mn Fe Co Ni Cu Zn Y Zr Nb Mo Tc Ru Rh Pd Ag Cd La Hf Ta W Re Os Ir Pt Au Hg".split()
_RARE_EARTH = "La Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Y Sc".split()
# Families of compounds: structure types and the elements of their slots in the order of the prototype's slots.
_COMPOUNDS = (
    ("rocksalt CsCl zincblende", _ALKALI, _HALOGENS),
    ("rocksalt CsCl", [*_ALKALI, "Ag", "Tl", "Cu"], [*_HALOGENS, "H"]),
    (
        "rocksalt CsCl wurtzite zincblende NiAs",
        [*_EARTH, "Cd", "Zn", "Mn", "Fe", "Ni", "Co", "Pb", "Sn", "Eu"],
        _CHALCOGENS,
    ),
    ("zincblende wurtzite rocksalt", "B Al Ga In Tl".split(), "N P As Sb".split()),
    ("zincblende wurtzite rocksalt", "Zn Cd Hg Be Mg Cu".split(), _CHALCOGENS),
    ("zincblende wurtzite rocksalt", "Si Ge Sn".split(), ["C"]),
    ("fluorite CdI2 rutile", [*_EARTH, "Cd", "Pb", "Zn", "Eu"], [*_HALOGENS, "H"]),
    ("fluorite rutile CdI2", "Ce Zr Hf Th U Ti Sn Pb Ge Si Mn Ru".split(), ["O", "S", "F"]),
    ("antifluorite", _CHALCOGENS, _ALKALI),
    ("rocksalt zincblende wurtzite", [*_TRANSITION, "U", "Th"], ["C", "N", "B", "O"]),
    ("rocksalt", _RARE_EARTH, "N P As Sb Bi S Se Te O".split()),
    ("ReO3", [*_TRANSITION, "Al"], ["O", "F", "N"]),
    ("corundum", "Al Ga In Sc Ti V Cr Fe Y Rh".split(), ["O", "S"]),
)
_THREE = (
    ("perovskite", "Ca Sr Ba Pb La K Na Cs Rb Y Bi".split(), "Ti Zr Mn Fe Al Nb Ta Sn Mg Pb Co Ni V".split(),
     ["O", "F", "Cl", "Br", "I", "S", "N", "H"]),
    ("spinel", "Mg Zn Fe Co Mn Li Ni Cu Cd".split(), "Al Cr Fe Mn Co Ti V Ga In".split(), ["O", "S", "Se"]),
)  # fmt: skip
_MOLECULAR = (1, 7, 8, 9)  # H, N, O, F: on lattices of atoms the teacher errs by 2 to 60 GPa
_ELEMENT_TYPES = ("fcc", "bcc", "hcp", "sc", "diamond", "dhcp", "arsenic", "graphite", "omega")
_FACTOR = (0.6, 1.6)


def new_shard() -> None:
    """Forget which elements were drawn, so that a shard doesn't depend on those before it."""
    _COUNTS[:] = 0


def rare_element(random: np.random.Generator, among: tuple[int, ...] = ELEMENTS) -> int:
    """Draw an element; the less often it was drawn, the likelier."""
    weights = 1.0 / (1.0 + _COUNTS[list(among)]) ** 2
    z = int(random.choice(among, p=weights / weights.sum()))
    _COUNTS[z] += 1
    return z


def _filled(name: str, numbers: list[int]) -> Atoms:
    """Fill the slots of a structure type."""
    prototype = _PROTOTYPES[name]
    atoms = prototype.atoms.copy()
    atoms.numbers = np.array(numbers)[atoms.get_tags()]
    atoms.set_tags(0)
    return atoms


def _scaled(pool: Pool, atoms: Atoms, random: np.random.Generator, kind: str) -> Draft:
    """Give a crystal a volume of 0.6 to 1.6 times the likely one, strain and rattle it."""
    factor = random.uniform(*_FACTOR) if random.random() < 0.5 else np.clip(random.normal(1.0, 0.13), *_FACTOR)
    rescale(atoms, pool.volume(atoms.numbers) * factor)
    strain(atoms, random, 0.03 * (random.random() > 0.3))
    rattle(atoms, random)
    return Draft(atoms, kind)


def element_eos(pool: Pool, random: np.random.Generator) -> Draft | None:
    """An element in a simple lattice at 0.6 to 1.6 times its volume."""
    name = str(random.choice(_ELEMENT_TYPES, p=[0.2, 0.2, 0.15, 0.11, 0.12, 0.05, 0.05, 0.05, 0.07]))
    z = rare_element(random)
    if z in _MOLECULAR:
        return None
    atoms = supercell(_filled(name, [z]), random, 1, 9)
    return _scaled(pool, atoms, random, name)


def compound_eos(pool: Pool, random: np.random.Generator) -> Draft | None:
    """A textbook compound or a filled structure type at 0.6 to 1.6 times its volume."""
    chance = random.random()
    if chance < 0.55:
        types, first, second = _COMPOUNDS[random.integers(len(_COMPOUNDS))]
        name, numbers = str(random.choice(types.split())), [str(random.choice(first)), str(random.choice(second))]
    elif chance < 0.7:
        name, *slots = _THREE[0] if random.random() < 0.75 else _THREE[1]
        numbers = [str(random.choice(s)) for s in slots]
    else:
        name = str(random.choice(list(_PROTOTYPES)))
        table = {"A": _METALS, "B": _METALS, "C": _METALS, "E": ELEMENTS, "X": ANIONS, "Y": ANIONS}
        drawn = [rare_element(random, table[s]) for s in _PROTOTYPES[name].slots]
        return _scaled(pool, _filled(name, drawn), random, name) if len(set(drawn)) == len(drawn) else None
    if len(set(numbers)) < len(numbers):
        return None
    atoms = _filled(name, [atomic_numbers[s] for s in numbers])
    return _scaled(pool, supercell(atoms, random, 2, 12) if random.random() < 0.5 else atoms, random, name)


def density(pool: Pool, random: np.random.Generator) -> Draft | None:
    """A crystal of the catalogue compressed to 0.62 to 0.88 or thinned to 1.12 to 1.7 times its volume."""
    atoms = pool.crystal(random, 28)
    dense = random.random() < 0.5
    rescale(atoms, atoms.cell.volume * (random.uniform(0.62, 0.88) if dense else random.uniform(1.12, 1.7)))
    strain(atoms, random, 0.05)
    rattle(atoms, random, 0.35)
    return Draft(atoms, "dense" if dense else "thin")


def random_alloy(pool: Pool, random: np.random.Generator) -> Draft | None:
    """Eight to sixteen atoms of four to sixteen random elements on a simple lattice."""
    name = str(random.choice(["fcc", "bcc", "hcp", "rocksalt", "CsCl", "fluorite", "perovskite"]))
    prototype = _PROTOTYPES[name]
    atoms = supercell(prototype.atoms.copy(), random, 8, 16)
    tags = atoms.get_tags()
    size = int(random.integers(4, min(16, len(atoms)) + 1))
    drawn = [rare_element(random) for _ in range(size)]
    numbers = random.choice(drawn, len(atoms))
    anions = [z for z in drawn if z in ANIONS]
    for slot, letter in enumerate(prototype.slots):
        if letter == "X" and anions:
            numbers[tags == slot] = random.choice(anions, int((tags == slot).sum()))
    atoms.numbers = numbers
    atoms.set_tags(0)
    rescale(atoms, pool.volume(atoms.numbers) * np.clip(random.normal(1.05, 0.12), 0.75, 1.6))
    strain(atoms, random)
    rattle(atoms, random, 0.35)
    return Draft(atoms, name)


def close_pair(pool: Pool, random: np.random.Generator) -> Draft | None:
    """One atom of a crystal pushed towards a neighbour, down to 0.55 of the sum of the covalent radii."""
    wanted = rare_element(random)
    for _ in range(400):
        atoms = pool.crystal(random, 16)
        if wanted in atoms.numbers:
            break
    else:
        return None
    if len(atoms) < 8:
        atoms = supercell(atoms, random, 4, 16)
    if len(atoms) < 2:
        return None
    rescale(atoms, atoms.cell.volume * random.uniform(0.97, 1.35))
    i = int(random.choice(np.flatnonzero(atoms.numbers == wanted)))
    others = np.delete(np.arange(len(atoms)), i)
    distances = atoms.get_distances(i, others, mic=True)
    near = others[np.argsort(distances)[:8]]
    j = int(random.choice(near))
    vector = atoms.get_distance(i, j, mic=True, vector=True)
    length = np.linalg.norm(vector)
    # Most pushed pairs must stay below the force that labels are trusted to: few go all the way.
    target = random.uniform(0.55, 0.95) ** 0.7 * covalent_radii[atoms.numbers[[i, j]]].sum()
    if target >= length:
        return None
    atoms.positions[i] += vector * (1.0 - target / length)
    rattle(atoms, random, 0.08)
    return Draft(atoms, "pair")


def defect(pool: Pool, random: np.random.Generator) -> Draft | None:
    """A vacancy, an interstitial, a substitution or an exchange in a small supercell."""
    atoms = supercell(pool.crystal(random, 12), random, 8, 32)
    if len(atoms) < 6:
        return None
    kind = str(random.choice(["vacancy", "interstitial", "substitution", "exchange"], p=[0.3, 0.25, 0.25, 0.2]))
    k = int(random.integers(len(atoms)))
    if kind == "vacancy":
        del atoms[k]
    elif kind == "substitution":
        atoms.numbers[k] = rare_element(random)
    elif kind == "interstitial":
        own = random.random() < 0.5
        foreign = ["H", "Li", "C", "N", "O", "Na", "B", "F"]
        atoms = insert(atoms, str(random.choice(atoms.symbols) if own else random.choice(foreign)), random)
    else:
        others = np.flatnonzero(atoms.numbers != atoms.numbers[k])
        if len(others) == 0:
            return None
        other = int(random.choice(others))
        atoms.numbers[[k, other]] = atoms.numbers[[other, k]]
    rescale(atoms, atoms.cell.volume * np.clip(random.normal(1.0, 0.04), 0.9, 1.1))
    strain(atoms, random, 0.015)
    rattle(atoms, random, 0.12)
    return Draft(atoms, kind)
