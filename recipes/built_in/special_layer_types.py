"""Layers of known types with many elements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

CHALCOGENS = ("S", "Se", "Te")
HALOGENS = ("F", "Cl", "Br", "I")
_DICHALCOGENIDE = "Ti V Cr Nb Mo Ta W Re Zr Hf Pd Pt Sn Ni Co Fe Ir Rh Ge".split()
_DIHALIDE = "Mg Ca Ti V Mn Fe Co Ni Zn Cd Pb Yb Sn Ge".split()
_TRIHALIDE = "Cr Ti V Fe Y Bi Sb Al Sc Mo Ru In La Rh".split()
# Fractional positions of the stacking sites A, B, C of a hexagonal layer.
SITES = {"A": (0.0, 0.0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}


def _hexagonal(sheets: list[tuple[str, str, float]], a: float) -> Atoms:
    """Build a hexagonal layer.

    Args:
        sheets: Element, site and height (Å) of every atom.
        a: Lattice constant (Å).

    Returns:
        Layer; the third cell vector is a placeholder.
    """
    cell = Atoms(cell=[a, a, 10.0, 90, 90, 120]).cell.array
    positions = [np.array([*SITES[site], 0.0]) @ cell + [0.0, 0.0, z] for _, site, z in sheets]
    return Atoms([s for s, _, _ in sheets], positions=positions, cell=cell, pbc=True)


def _bond(*symbols: str) -> float:
    return sum(covalent_radii[atomic_numbers[s]] for s in symbols)


def pick(random: np.random.Generator, *choices: str) -> str:
    """Draw one of some names."""
    return str(random.choice(choices))


def _octahedral(m: str, x: str, random: np.random.Generator) -> Atoms:
    """Return a CdI2-type layer; hydroxides have their hydrogens outside."""
    a = _bond(m, x) * 1.414 * random.uniform(0.93, 1.03)
    h = a / np.sqrt(6) * random.uniform(0.93, 1.07)
    sheets = [(m, "A", 0.0), (x, "B", h), (x, "C", -h)]
    if x == "O":
        sheets += [("H", "B", h + 0.97), ("H", "C", -h - 0.97)]
    return _hexagonal(sheets, a)


def _prismatic(random: np.random.Generator) -> Atoms:
    """Return a 2H MX2 layer."""
    m, x = pick(random, "Mo", "W", "Nb", "Ta", "V", "Cr", "Re", "Ti"), pick(random, *CHALCOGENS)
    a = _bond(m, x) / 0.78 * random.uniform(0.95, 1.03)
    h = 0.5 * a * random.uniform(0.93, 1.07)
    return _hexagonal([(m, "B", 0.0), (x, "C", h), (x, "C", -h)], a)


def _gallium_selenide(random: np.random.Generator) -> Atoms:
    """Return a GaSe layer."""
    m, x = pick(random, "Ga", "In", "Al", "Tl"), pick(random, *CHALCOGENS)
    a = _bond(m, x) * 1.56 * random.uniform(0.96, 1.04)
    half = _bond(m) * random.uniform(0.93, 1.05)
    up = half + 0.33 * _bond(m, x)
    return _hexagonal([(m, "B", half), (m, "B", -half), (x, "C", up), (x, "C", -up)], a)


def _quintuple(random: np.random.Generator) -> Atoms:
    """Return a Bi2Te3 layer."""
    m, (x, y) = pick(random, "Bi", "Sb", "As", "In"), random.choice(CHALCOGENS, 2)
    a = _bond(m, str(x)) * 1.49 * random.uniform(0.96, 1.04)
    h = a / np.sqrt(6) * random.uniform(0.95, 1.1)
    sheets = [(str(y), "A", 0.0), (m, "B", 1.12 * h), (m, "C", -1.12 * h), (str(x), "C", 2.1 * h)]
    return _hexagonal([*sheets, (str(x), "B", -2.1 * h)], a)


def _mxene(random: np.random.Generator) -> Atoms:
    """Return a carbide or nitride layer, most with atoms on its faces."""
    m, x = pick(random, "Ti", "V", "Nb", "Ta", "Mo", "Zr", "Hf", "Cr"), pick(random, "C", "N")
    a = _bond(m, x) * 1.42 * random.uniform(0.97, 1.05)
    h = a / np.sqrt(6)
    sheets = [(x, "A", 0.0), (m, "B", h), (m, "C", -h)]
    if random.random() < 0.7:
        t = pick(random, "O", "F", "Cl", "S")
        up = h + 0.55 * _bond(m, t)
        sheets += [(t, "C", up), (t, "B", -up)]
    return _hexagonal(sheets, a)


def _buckled(random: np.random.Generator) -> Atoms:
    """Return a buckled honeycomb of one or two elements."""
    s = pick(random, "Si", "Ge", "As", "Sb", "Bi", "Sn")
    other = s if random.random() < 0.6 else pick(random, "Si", "Ge", "C", "As", "Sb", "P")
    bond = _bond(s, other) * random.uniform(0.95, 1.05)
    rise = bond * random.uniform(0.15, 0.55)
    return _hexagonal([(s, "A", 0.0), (other, "B", rise)], np.sqrt(3 * (bond**2 - rise**2)))


def _litharge(random: np.random.Generator) -> Atoms:
    """Return a PbO or FeSe layer."""
    m, x = pick(random, "Fe", "Sn", "Pb", "Cu", "Co", "Li"), pick(random, "O", *CHALCOGENS)
    a = _bond(m, x) * 1.62 * random.uniform(0.95, 1.05)
    h = 0.35 * a * random.uniform(0.9, 1.1)
    points = [[0, 0, 0], [a / 2, a / 2, 0], [0, a / 2, h], [a / 2, 0, -h]]
    return Atoms([m, m, x, x], positions=points, cell=[a, a, 10], pbc=True)


def _oxyhalide(random: np.random.Generator) -> Atoms:
    """Return a BiOCl layer."""
    m, x = pick(random, "Bi", "La", "Y", "Nd", "Gd", "Ce", "Sb"), pick(random, *HALOGENS)
    a = _bond(m, "O") * 1.66 * random.uniform(0.95, 1.05)
    h, up = 0.31 * a, 0.31 * a + 0.55 * _bond(m, x)
    points = [[0, 0, 0], [a / 2, a / 2, 0], [0, a / 2, h], [a / 2, 0, -h], [a / 2, 0, up], [0, a / 2, -up]]
    return Atoms(["O", "O", m, m, x, x], positions=points, cell=[a, a, 10], pbc=True)


def _cut_root_three(atoms: Atoms, cell: np.ndarray) -> Atoms:
    """Return the √3 x √3 supercell of a hexagonal layer that was repeated three times along its first vector."""
    turn = np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6), 0], [-np.sin(np.pi / 6), np.cos(np.pi / 6), 0], [0, 0, 1]])
    result = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=cell @ turn.T, pbc=True)
    result.wrap(pbc=[True, True, False])
    return result


def _trihalide(random: np.random.Generator) -> Atoms:
    """Return a BiI3 layer: a CdI2 layer with a third of the metal atoms away."""
    m, x = pick(random, *_TRIHALIDE), pick(random, *HALOGENS)
    small = _octahedral(m, x, random)
    cell = Atoms(cell=[small.cell.lengths()[0] * 3**0.5] * 2 + [10.0, 90, 90, 120]).cell.array
    layer = _cut_root_three(small.repeat((3, 1, 1)), cell)
    del layer[int(np.flatnonzero(layer.symbols == m)[0])]
    return layer


def _sheet(random: np.random.Generator) -> Atoms:
    """Return a flat sheet of carbon, boron and nitrogen with 2 or 8 atoms; pure ones may belong to the validation fold."""
    bond = 1.43 * random.uniform(0.95, 1.06)
    sheet = _hexagonal([("B", "B", 0.0), ("N", "C", 0.0)], bond * np.sqrt(3))
    if random.random() < 0.9:
        sheet = sheet.repeat((2, 2, 1))
        base = [("C", "C"), ("B", "N"), ("C", "N"), ("B", "C")][random.integers(4)]
        sheet.symbols = list(np.tile(base, 4))
        for k in random.choice(8, int(random.integers(1, 3)), replace=False):
            sheet.symbols[int(k)] = str(random.choice(["B", "C", "N", "Si", "O"], p=[0.3, 0.3, 0.3, 0.05, 0.05]))
    return sheet


def _puckered(random: np.random.Generator) -> Atoms:
    """Return a layer of the black-phosphorus or SnS type."""
    if random.random() < 0.5:
        s = x = pick(random, "As", "P", "Sb")
        x = s if random.random() < 0.4 else pick(random, "P", "As", "Sb", "N")
    else:
        s, x = pick(random, "Sn", "Ge", "Pb", "Si"), pick(random, *CHALCOGENS)
    bond = _bond(s, x) * random.uniform(0.97, 1.08)
    a, b, h, y = 1.5 * bond, 1.95 * bond * random.uniform(0.95, 1.05), 0.47 * bond, 0.085
    fractions = [(0, y, h, s), (0, -y, -h, x), (0.5, 0.5 + y, -h, s), (0.5, 0.5 - y, h, x)]
    points = [[fx * a, fy * b, z] for fx, fy, z, _ in fractions]
    return Atoms([f[3] for f in fractions], positions=points, cell=[a, b, 10], pbc=True)


# How a layer of each type is made, and how often it is drawn.
_LAYERS: dict[str, tuple[Callable[[np.random.Generator], Atoms], int]] = {
    "1T": (lambda r: _octahedral(pick(r, *_DICHALCOGENIDE), pick(r, *CHALCOGENS), r), 2),
    "2H": (_prismatic, 2),
    "dihalide": (lambda r: _octahedral(pick(r, *_DIHALIDE), pick(r, *HALOGENS[1:]), r), 1),
    "GaSe": (_gallium_selenide, 1),
    "Bi2Te3": (_quintuple, 1),
    "hydroxide": (lambda r: _octahedral(pick(r, "Mg", "Ca", "Mn", "Fe", "Co", "Ni", "Zn", "Cd"), "O", r), 1),
    "sheet": (_sheet, 1),
    "SnS": (_puckered, 1),
    "PbO": (_litharge, 1),
    "BiOCl": (_oxyhalide, 1),
    "trihalide": (_trihalide, 1),
    "buckled": (_buckled, 1),
    "MXene": (_mxene, 1),
    "oxide": (lambda r: _octahedral(pick(r, "Mn", "Co", "Ni", "Ti", "V", "Sn"), "O", r)[:3], 1),
}
_NAMES = tuple(name for name, (_, times) in _LAYERS.items() for _ in range(times))


def draw_layer(random: np.random.Generator) -> tuple[Atoms, str]:
    """Draw a layer.

    Args:
        random: Random stream.

    Returns:
        Layer, periodic in its plane, with a placeholder for the third cell vector (Å); and the name of its type.
    """
    kind = pick(random, *_NAMES)
    return _LAYERS[kind][0](random), kind
