"""The structures that are timed, built by ASE: needs nothing else, as it runs in the environments of all codes."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

RATTLE = 0.05  # Å

# Prototypes of the mixed crystals: name, builder arguments. Lattice constants are near those measured.
ROCKSALTS = {"MgO": 4.21, "NaCl": 5.64, "LiF": 4.03, "CaO": 4.81, "FeO": 4.33, "TiN": 4.24, "MnO": 4.45, "NiO": 4.18}
ZINCBLENDES = {"GaAs": 5.65, "ZnS": 5.41, "SiC": 4.36, "AlP": 5.46, "InSb": 6.48, "CdTe": 6.48}
CAESIUM_CHLORIDES = {"NiAl": 2.89, "CsCl": 4.12, "FeTi": 2.98}
FLUORITES = {"CaF2": 5.46, "CeO2": 5.41, "ZrO2": 5.09}
ELEMENTS = ("Cu", "Al", "Ni", "Fe", "W", "Na", "Ti", "Mg", "Zn", "Co", "Si", "Ge")
PEROVSKITES = {"SrTiO": 3.91, "BaTiO": 4.01, "CaTiO": 3.85, "LaAlO": 3.79}


def silicon(num_atoms: int, density: float = 1.0) -> Atoms:
    """Diamond silicon, rattled.

    Args:
        num_atoms: 8 times a cube.
        density: how many times denser than the real crystal.

    Raises:
        ValueError: for another number of atoms.
    """
    repeat = round((num_atoms / 8) ** (1 / 3))
    if 8 * repeat**3 != num_atoms:
        msg = f"there is no cube of {num_atoms} silicon atoms, such as 8, 64, 512, 4096"
        raise ValueError(msg)
    atoms = bulk("Si", cubic=True).repeat((repeat,) * 3)
    atoms.set_cell(atoms.cell * density ** (-1 / 3), scale_atoms=True)
    atoms.rattle(RATTLE, seed=1)
    return atoms


def olivine(num_atoms: int) -> Atoms:
    """LiFePO4, Pnma, lattice and sites rounded; rattled.

    Args:
        num_atoms: 28 times three numbers of repeats: 224 (2, 2, 2) or 1008 (3, 3, 4).

    Raises:
        ValueError: for another number of atoms.
    """
    repeats = {28: (1, 1, 1), 224: (2, 2, 2), 1008: (3, 3, 4)}
    if num_atoms not in repeats:
        msg = f"LiFePO4 comes with {', '.join(map(str, repeats))} atoms, not {num_atoms}"
        raise ValueError(msg)
    sites = {
        "Li": (0, 0, 0),
        "Fe": (0.282, 0.25, 0.975),
        "P": (0.095, 0.25, 0.418),
        "O1": (0.097, 0.25, 0.743),
        "O2": (0.457, 0.25, 0.206),
        "O3": (0.166, 0.047, 0.285),
    }
    atoms = _crystal([name.rstrip("123") for name in sites], list(sites.values()), 62, [10.33, 6.01, 4.69, 90, 90, 90])
    atoms = atoms.repeat(repeats[num_atoms])
    atoms.rattle(RATTLE, seed=1)
    return atoms


def named(name: str) -> Atoms:
    """'Si 64', 'Si 512 dense' (three times as dense), 'LiFePO4 224'."""
    kind, size, *rest = name.split()
    if kind == "LiFePO4":
        return olivine(int(size))
    return silicon(int(size), density=3.0 if rest == ["dense"] else 1.0)


def mixed(count: int = 64) -> list[Atoms]:
    """Crystals of many prototypes and 4 to 72 atoms, in mixed order, all rattled; always the same."""
    cells = list(_prototypes())
    sizes = [(1, 1, 1), (2, 1, 1), (2, 2, 1), (1, 2, 1), (3, 1, 1)]
    chosen = []
    for number in range(count):
        cell = cells[number % len(cells)]
        atoms = cell.repeat(sizes[number % len(sizes)] if len(cell) <= 24 else (1, 1, 1))
        if len(atoms) < 4:
            atoms = atoms.repeat((2, 2, 1))
        atoms.rattle(RATTLE, seed=number)
        chosen.append(atoms)
    order = np.random.default_rng(0).permutation(count)
    return [chosen[number] for number in order]


def _prototypes() -> list[Atoms]:
    """One cell of every prototype and composition."""
    cells = [bulk(name, "rocksalt", a=a, cubic=True) for name, a in ROCKSALTS.items()]
    cells += [bulk(name, "zincblende", a=a, cubic=True) for name, a in ZINCBLENDES.items()]
    cells += [bulk(name, "cesiumchloride", a=a, cubic=True) for name, a in CAESIUM_CHLORIDES.items()]
    cells += [bulk(name, "fluorite", a=a, cubic=True) for name, a in FLUORITES.items()]
    cells += [bulk(name) for name in ELEMENTS]
    for name, a in PEROVSKITES.items():
        large, small, anion = name[:2], name[2:4], name[4:]
        sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
        cells.append(_crystal([large, small, anion], sites, 221, [a, a, a, 90, 90, 90]))
    cells.append(olivine(28))
    cells.append(_crystal(["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], 136, [4.59, 4.59, 2.96, 90, 90, 90]))  # rutile
    quartz = [(0.47, 0, 0), (0.413, 0.267, 0.119)]
    cells.append(_crystal(["Si", "O"], quartz, 152, [4.91, 4.91, 5.41, 90, 90, 120]))
    spinel = [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (0.2625, 0.2625, 0.2625)]
    cells.append(_crystal(["Mg", "Al", "O"], spinel, (227, 2), [8.08, 8.08, 8.08, 90, 90, 90]))
    return cells


def _crystal(symbols: list[str], sites: list[tuple[float, ...]], spacegroup: object, cellpar: list[float]) -> Atoms:
    """A crystal without what ASE remembers of its symmetry."""
    number, setting = spacegroup if isinstance(spacegroup, tuple) else (spacegroup, 1)
    atoms = crystal(symbols, sites, spacegroup=number, setting=setting, cellpar=cellpar)
    return Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
