"""Common crystal structure types with free element slots."""

from __future__ import annotations

from dataclasses import dataclass

from ase import Atoms
from ase.spacegroup import crystal

# name: (space group, setting, c/a, hexagonal axes, sites); a site is (slot, x, y, z).
# Slots: A, B, C take metals (or anything in alloys), X and Y take anions, E takes any element.
_T = 1 / 3
_TYPES: dict[str, tuple] = {
    "fcc": (225, 1, 1, False, [("E", 0, 0, 0)]),
    "bcc": (229, 1, 1, False, [("E", 0, 0, 0)]),
    "sc": (221, 1, 1, False, [("E", 0, 0, 0)]),
    "diamond": (227, 1, 1, False, [("E", 0, 0, 0)]),
    "hcp": (194, 1, 1.62, True, [("E", _T, 2 * _T, 0.25)]),
    "dhcp": (194, 1, 3.24, True, [("E", 0, 0, 0), ("E", _T, 2 * _T, 0.25)]),
    "graphite": (194, 1, 2.6, True, [("E", 0, 0, 0.25), ("E", _T, 2 * _T, 0.25)]),
    "arsenic": (166, 1, 2.8, True, [("E", 0, 0, 0.23)]),
    "omega": (191, 1, 0.62, True, [("E", 0, 0, 0), ("E", _T, 2 * _T, 0.5)]),
    "rocksalt": (225, 1, 1, False, [("A", 0, 0, 0), ("X", 0.5, 0.5, 0.5)]),
    "CsCl": (221, 1, 1, False, [("A", 0, 0, 0), ("X", 0.5, 0.5, 0.5)]),
    "B2": (221, 1, 1, False, [("A", 0, 0, 0), ("B", 0.5, 0.5, 0.5)]),
    "B1 alloy": (225, 1, 1, False, [("A", 0, 0, 0), ("E", 0.5, 0.5, 0.5)]),
    "zincblende": (216, 1, 1, False, [("A", 0, 0, 0), ("X", 0.25, 0.25, 0.25)]),
    "wurtzite": (186, 1, 1.63, True, [("A", _T, 2 * _T, 0), ("X", _T, 2 * _T, 0.375)]),
    "fluorite": (225, 1, 1, False, [("A", 0, 0, 0), ("X", 0.25, 0.25, 0.25)]),
    "antifluorite": (225, 1, 1, False, [("X", 0, 0, 0), ("A", 0.25, 0.25, 0.25)]),
    "rutile": (136, 1, 0.65, False, [("A", 0, 0, 0), ("X", 0.305, 0.305, 0)]),
    "perovskite": (221, 1, 1, False, [("A", 0.5, 0.5, 0.5), ("B", 0, 0, 0), ("X", 0.5, 0, 0)]),
    "antiperovskite": (221, 1, 1, False, [("X", 0.5, 0.5, 0.5), ("Y", 0, 0, 0), ("A", 0.5, 0, 0)]),
    "ReO3": (221, 1, 1, False, [("A", 0, 0, 0), ("X", 0.5, 0, 0)]),
    "spinel": (227, 2, 1, False, [("A", 0.125, 0.125, 0.125), ("B", 0.5, 0.5, 0.5), ("X", 0.2625, 0.2625, 0.2625)]),
    "Heusler": (225, 1, 1, False, [("A", 0.25, 0.25, 0.25), ("B", 0, 0, 0), ("C", 0.5, 0.5, 0.5)]),
    "half-Heusler": (216, 1, 1, False, [("A", 0.25, 0.25, 0.25), ("B", 0, 0, 0), ("C", 0.5, 0.5, 0.5)]),
    "D0_3": (225, 1, 1, False, [("A", 0.25, 0.25, 0.25), ("A", 0.5, 0.5, 0.5), ("B", 0, 0, 0)]),
    "L1_2": (221, 1, 1, False, [("A", 0, 0, 0), ("B", 0, 0.5, 0.5)]),
    "L1_0": (123, 1, 1.36, False, [("A", 0, 0, 0), ("B", 0.5, 0.5, 0.5)]),
    "A15": (223, 1, 1, False, [("A", 0, 0, 0), ("B", 0.25, 0, 0.5)]),
    "Laves": (227, 2, 1, False, [("A", 0.125, 0.125, 0.125), ("B", 0.5, 0.5, 0.5)]),
    "CaCu5": (191, 1, 0.8, True, [("A", 0, 0, 0), ("B", _T, 2 * _T, 0), ("B", 0.5, 0, 0.5)]),
    "AlB2": (191, 1, 1.05, True, [("A", 0, 0, 0), ("E", _T, 2 * _T, 0.5)]),
    "NiAs": (194, 1, 1.4, True, [("A", 0, 0, 0), ("X", _T, 2 * _T, 0.25)]),
    "CdI2": (164, 1, 1.6, True, [("A", 0, 0, 0), ("X", _T, 2 * _T, 0.25)]),
    "MoS2": (194, 1, 3.9, True, [("A", _T, 2 * _T, 0.25), ("X", _T, 2 * _T, 0.621)]),
    "delafossite": (166, 1, 5.8, True, [("A", 0, 0, 0), ("B", 0, 0, 0.5), ("X", 0, 0, 0.11)]),
    "NaCrS2": (166, 1, 5.6, True, [("A", 0, 0, 0), ("B", 0, 0, 0.5), ("X", 0, 0, 0.26)]),
    "corundum": (167, 1, 2.73, True, [("A", 0, 0, 0.352), ("X", 0.306, 0, 0.25)]),
    "pyrite": (205, 1, 1, False, [("A", 0, 0, 0), ("X", 0.385, 0.385, 0.385)]),
    "ThCr2Si2": (139, 1, 2.6, False, [("A", 0, 0, 0), ("B", 0, 0.5, 0.25), ("E", 0, 0, 0.37)]),
    "K2PtCl6": (225, 1, 1, False, [("A", 0.25, 0.25, 0.25), ("B", 0, 0, 0), ("X", 0.24, 0, 0)]),
    "elpasolite": (225, 1, 1, False, [("A", 0.25, 0.25, 0.25), ("B", 0, 0, 0), ("C", 0.5, 0.5, 0.5), ("X", 0.25, 0, 0)]),
    "K2NiF4": (139, 1, 3.3, False, [("A", 0, 0, 0.355), ("B", 0, 0, 0), ("X", 0, 0.5, 0), ("X", 0, 0, 0.15)]),
    "PbFCl": (129, 2, 1.75, False, [("A", 0.25, 0.25, 0.2), ("X", 0.25, 0.25, 0.65), ("Y", 0.75, 0.25, 0)]),
}  # fmt: skip


@dataclass(frozen=True)
class Prototype:
    """A structure type.

    Attributes:
        name: Name of the structure type.
        atoms: Primitive cell of arbitrary size (Å) with the slot of every atom in ``tags``.
        slots: Names of the slots, in the order of the tags.
    """

    name: str
    atoms: Atoms
    slots: tuple[str, ...]


def build_prototypes() -> list[Prototype]:
    """Build the primitive cells of all structure types.

    Returns:
        The prototypes; slot letters stand for kinds of elements as listed above.
    """
    stand_ins = {"A": "Fe", "B": "Ni", "C": "Cu", "E": "Al", "X": "O", "Y": "S"}
    result = []
    for name, (group, setting, ratio, hexagonal, sites) in _TYPES.items():
        a = 5.0
        atoms = crystal(
            [stand_ins[slot] for slot, *_ in sites],
            [xyz for _, *xyz in sites],
            spacegroup=group,
            setting=setting,
            cellpar=[a, a, a * ratio, 90, 90, 120 if hexagonal else 90],
            primitive_cell=True,
        )
        slots = tuple(dict.fromkeys(slot for slot, *_ in sites))
        tags = [slots.index(next(k for k, v in stand_ins.items() if v == s)) for s in atoms.symbols]
        clean = Atoms(
            atoms.symbols,
            scaled_positions=atoms.get_scaled_positions(),
            cell=atoms.cell,
            pbc=True,
            tags=tags,
        )
        result.append(Prototype(name, clean, slots))
    return result
