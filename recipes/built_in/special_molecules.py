"""Rare gases, molecules, their pairs, packings and crystals."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from special import Draft, Pool, boxed, contact, pack, rattle, rescale, rotation, strain, supercell

# Volume of an atom in the solid at no pressure (Å³).
RARE_GASES = {"He": 18.0, "Ne": 21.0, "Ar": 38.0, "Kr": 46.0, "Xe": 60.0}
_G2 = (
    "H2 N2 O2 F2 Cl2 CO CO2 H2O NH3 CH4 HF HCl HCN SO2 N2H4 H2O2 O3 SH2 PH3 SiH4 C2H2 C2H4 C2H6 C6H6 CH3OH H2CO "
    "HCOOH CH3Cl CF4 SiF4 CS2 OCS N2O NF3 PF3 P2 S2 Si2H6 BF3 BCl3 AlCl3 CH3CH2NH2 CH3SH CCl4 ClF ClF3 LiH LiF NaCl HOCl"
).split()
_DIATOMICS = {"Br2": 2.29, "I2": 2.68, "HBr": 1.42, "HI": 1.62, "ICl": 2.33, "BrCl": 2.14, "Se2": 2.18, "Te2": 2.57}


def _build_molecules() -> dict[str, Atoms]:
    """Return molecules by name: common ones and rings, cages and chains of the elements."""
    result = {name: molecule(name) for name in _G2}
    for name, length in _DIATOMICS.items():
        result[name] = Atoms(name, positions=[[0, 0, 0], [0, 0, length]])
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    for symbol, bond in (("P", 2.21), ("As", 2.44)):
        result[f"{symbol}4"] = Atoms(f"{symbol}4", positions=corners * bond / np.sqrt(8))
    for symbol, radius, height in (("S", 2.33, 0.50), ("Se", 2.66, 0.57)):  # crown-shaped rings of eight
        turn = np.arange(8) * np.pi / 4
        ring = np.stack([radius * np.cos(turn), radius * np.sin(turn), height * (-1.0) ** np.arange(8)], axis=1)
        result[f"{symbol}8"] = Atoms(f"{symbol}8", positions=ring)
    return result


MOLECULES = _build_molecules()
_NAMES = tuple(MOLECULES)
# The gases and liquids that people simulate are drawn more often than the rest.
_COMMON = (
    "H2",
    "N2",
    "O2",
    "F2",
    "Cl2",
    "Br2",
    "I2",
    "CO",
    "CO2",
    "H2O",
    "NH3",
    "CH4",
    "HF",
    "HCl",
    "C6H6",
    "P4",
    "S8",
)


def draw_molecule(random: np.random.Generator, stretch: float = 0.0) -> Atoms:
    """Draw a molecule, or now and then a rare-gas atom.

    Args:
        random: Random stream.
        stretch: Standard deviation of a random scaling of the molecule.

    Returns:
        Molecule without a cell (Å).
    """
    if random.random() < 0.08:
        return Atoms(str(random.choice(["Kr", "Xe"])), positions=[[0, 0, 0]])
    part = MOLECULES[str(random.choice(_COMMON if random.random() < 0.6 else _NAMES))].copy()
    part = Atoms(numbers=part.numbers, positions=part.positions)
    part.positions *= 1.0 + np.clip(random.normal(0.0, stretch), -0.25, 0.5)
    return part


def rare_gas(_pool: Pool, random: np.random.Generator) -> Draft | None:
    """Solid rare gases and mixtures at 0.5 to 3 times their volume."""
    symbols = list(RARE_GASES)
    lattice = str(random.choice(["fcc", "hcp", "bcc", "sc"], p=[0.45, 0.25, 0.2, 0.1]))
    atoms = supercell(bulk("Ar", lattice, a=5.0), random, 1, 12)
    atoms.symbols[:] = str(random.choice(symbols))
    mixed = random.random() < 0.35
    if mixed:
        atoms.symbols = list(random.choice(random.choice(symbols, 2), len(atoms)))
    volume = sum(RARE_GASES[s] for s in atoms.symbols)
    # Dense ones need more frames: that is where forces are.
    factor = random.uniform(0.35, 1.2) if random.random() < 0.6 else random.uniform(1.2, 3.0)
    rescale(atoms, volume * factor)
    strain(atoms, random)
    rattle(atoms, random, 0.4)
    return Draft(atoms, f"{lattice}{' mixture' if mixed else ''}")


def insert(atoms: Atoms, symbol: str, random: np.random.Generator) -> Atoms:
    """Add an atom at the widest of forty random points of a crystal."""
    best, widest = None, -1.0
    for point in random.random((40, 3)) @ atoms.cell.array:
        trial = atoms + Atoms(symbol, positions=[point])
        nearest = trial.get_distances(-1, range(len(atoms)), mic=True).min()
        if nearest > widest:
            best, widest = trial, nearest
    return best


def single_molecule(_pool: Pool, random: np.random.Generator) -> Draft | None:
    """A stretched and rattled molecule in a box."""
    part = draw_molecule(random, stretch=0.08)
    if len(part) == 2 and random.random() < 0.7:  # the whole curve of a diatomic
        part.positions *= np.exp(random.uniform(np.log(0.8), np.log(1.5)))
    rattle(part, random, 0.15)
    return Draft(boxed(part, random), "single", move_cell=False) if len(part) > 1 else None


def molecule_pair(_pool: Pool, random: np.random.Generator) -> Draft | None:
    """Two molecules at a random distance and orientation in a box."""
    first = draw_molecule(random, stretch=0.02)
    second = first.copy() if random.random() < 0.45 else draw_molecule(random, stretch=0.02)
    rattle(first, random, 0.06)
    rattle(second, random, 0.06)
    second.positions = (second.positions - second.positions.mean(0)) @ rotation(random)
    first.positions -= first.positions.mean(0)
    direction = rotation(random)[0]
    # Move the second in from outside until the closest contact is the wanted fraction of the van der Waals distance.
    wanted = random.uniform(0.55, 1.0) if random.random() < 0.6 else random.uniform(1.0, 1.8)
    touch = contact(first.numbers, second.numbers)
    for reach in np.arange(14.0, 0.0, -0.05):
        apart = first.positions[:, None] - second.positions[None] - reach * direction
        if (np.linalg.norm(apart, axis=2) / touch).min() < wanted:
            break
    second.positions += reach * direction
    both = first + second
    return Draft(boxed(both, random), "pair", move_cell=False) if len(both) <= 24 else None


def molecule_packing(_pool: Pool, random: np.random.Generator) -> Draft | None:
    """Molecules packed at random: fluids and solids of one or two kinds at 0.5 to 2 times the usual density."""
    kinds = [draw_molecule(random, stretch=0.01) for _ in range(1 if random.random() < 0.6 else 2)]
    size = int(random.integers(6, 33))
    parts: list[Atoms] = []
    while sum(map(len, parts)) < size:
        parts.append(kinds[random.integers(len(kinds))].copy())
    if sum(map(len, parts)) > 36:
        return None
    atoms = pack(parts, 0.62 * _room(parts) * random.uniform(0.55, 1.7), random.uniform(0.5, 0.85), random)
    rattle(atoms, random, 0.12)
    return Draft(atoms, "packing")


def _room(parts: list[Atoms]) -> float:
    """Return the volume (Å³) that molecules take in a solid: 14 Å³ an atom of the second row, H less, later rows more."""
    room = {1: 6.0, 2: 18.0, 6: 12.0, 7: 20.0, 8: 17.0, 9: 17.0, 10: 21.0}
    return 1.6 * sum(room.get(int(z), 28.0 if z < 30 else 38.0) for part in parts for z in part.numbers)


def molecular_crystal(_pool: Pool, random: np.random.Generator) -> Draft | None:
    """Known structure types of molecules and chains, scaled and rattled."""
    kind = str(random.choice(["Pa-3", "Cmca", "chain", "fcc cage", "linear"]))
    if kind == "Pa-3":  # diatomic or linear molecules on an fcc lattice along the four diagonals
        name = str(random.choice(["N2", "CO", "CO2", "N2O", "H2", "C2H2", "O2", "F2"]))
        atoms = _on_fcc(MOLECULES[name], np.array([[1, 1, 1], [-1, 1, -1], [-1, -1, 1], [1, -1, -1]]))
    elif kind == "Cmca":  # halogens
        symbol, bond = [("F", 1.42), ("Cl", 1.99), ("Br", 2.28), ("I", 2.72)][random.integers(4)]
        atoms = _halogen(symbol, bond)
    elif kind == "chain":  # Se and Te, and their neighbours
        symbol, a, c, x = [("Se", 4.37, 4.95, 0.225), ("Te", 4.46, 5.93, 0.269), ("S", 4.1, 4.4, 0.21)][
            random.integers(3)
        ]
        atoms = Atoms(
            f"{symbol}3", scaled_positions=[[x, 0, 1 / 3], [0, x, 2 / 3], [-x, -x, 0]], cell=[a, a, c, 90, 90, 120]
        )
        if random.random() < 0.4:
            atoms = supercell(atoms, random, 6, 12)
            others = random.random(len(atoms)) < 0.5
            atoms.symbols = [
                str(random.choice(["S", "Se", "Te"])) if o else s
                for o, s in zip(others, list(atoms.symbols), strict=True)
            ]
        atoms.set_cell(atoms.cell.array * np.array([[random.uniform(0.9, 1.25)], [1], [1]]), scale_atoms=True)
    elif kind == "fcc cage":
        name = str(random.choice(["CH4", "NH3", "P4", "H2O", "SiH4", "PH3", "SH2", "HCl", "HF", "As4"]))
        atoms = _on_fcc(MOLECULES[name], random.normal(size=(int(random.choice([1, 2, 4])), 3)))
    else:
        name = str(random.choice(["CO2", "N2", "CO", "HCN", "C2H2", "H2", "OCS", "CS2"]))
        atoms = _on_fcc(MOLECULES[name], np.tile(random.normal(size=3), (2, 1)))
    atoms.pbc = True
    rescale(atoms, atoms.cell.volume * random.uniform(0.65, 1.7))
    strain(atoms, random)
    rattle(atoms, random, 0.15)
    return Draft(atoms, kind)


def _on_fcc(part: Atoms, directions: np.ndarray) -> Atoms:
    """Put one molecule per direction on an fcc lattice, its longest axis along the direction."""
    lattice = {
        1: bulk("Ar", "fcc", a=1.0),
        2: bulk("Ar", "bcc", a=1.0, cubic=True),
        4: bulk("Ar", "fcc", a=1.0, cubic=True),
    }
    sites = lattice[len(directions)]
    edge = np.cbrt(_room([part]) * len(directions) / sites.cell.volume)
    result = Atoms(cell=sites.cell.array * edge, pbc=True)
    for site, direction in zip(sites.positions * edge, directions, strict=True):
        one = Atoms(numbers=part.numbers, positions=part.positions - part.positions.mean(0))
        if len(one) > 1:
            one.rotate(one.positions[-1] - one.positions[0], direction)
        one.positions += site
        result += one
    return result


def _halogen(symbol: str, bond: float) -> Atoms:
    """Return the primitive cell of solid Cl2, scaled to another halogen."""
    b, c = 4.4 * bond / 1.99, 8.2 * bond / 1.99
    cell = np.array([[6.1 * bond / 1.99, 0, 0], [0, b, 0], [0, 0, c]])
    y, z = 0.5 * bond * np.sin(0.99) / b, 0.5 * bond * np.cos(0.99) / c
    base = np.array([[0, y, z], [0, -y, -z], [0.5, y, 0.5 - z], [0.5, -y, 0.5 + z]])
    primitive = Atoms(f"{symbol}4", cell=cell, scaled_positions=base, pbc=True)
    other = primitive.copy()
    other.positions += 0.5 * (cell[0] + cell[1])
    both = primitive + other
    both.wrap()
    half = np.array([0.5 * (cell[0] - cell[1]), 0.5 * (cell[0] + cell[1]), cell[2]])
    return Atoms(f"{symbol}4", positions=primitive.positions, cell=half, pbc=True)
