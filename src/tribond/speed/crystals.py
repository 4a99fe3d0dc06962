"""Crystals to time a potential on."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii

ROOMY = 1.1  # of a close packing, times the sum of the covalent radii


def crystal_of(elements: Sequence[str]) -> Atoms:
    """A small cubic cell of a crystal that a model of these elements can compute: diamond silicon if it knows silicon.

    Otherwise the first element whose crystal ASE knows with a cubic cell; if there is none, a close packing of the
    first element, with bonds a tenth longer than those of its molecules.
    """
    for symbol in sorted(elements, key=lambda symbol: symbol != "Si"):  # Si first, the others in their order
        try:
            return bulk(symbol, cubic=True)
        except (RuntimeError, ValueError):  # ASE has no structure of it, or no cubic cell
            continue
    symbol = elements[0]
    distance = 2 * ROOMY * float(covalent_radii[atomic_numbers[symbol]])
    return bulk(symbol, "fcc", a=distance * np.sqrt(2), cubic=True)


def sizes(cell_atoms: int, largest: int, axes: int = 3) -> list[int]:
    """How often to repeat a cell along every axis: 1, 2, 4, ... and what comes nearest to the largest number of atoms.

    Args:
        cell_atoms: atoms in the cell.
        largest: most atoms; the cell alone is always among the sizes.
        axes: along how many axes it is repeated.
    """
    repeats = [1]
    while cell_atoms * (2 * repeats[-1]) ** axes <= largest:
        repeats.append(2 * repeats[-1])
    most = repeats[-1]
    while cell_atoms * (most + 1) ** axes <= largest:
        most += 1
    return repeats if most == repeats[-1] else [*repeats, most]


def repeated(cell: Atoms, times: int) -> Atoms:
    """The cell repeated along its periodic axes, all atoms moved a little (0.05 Å), so that no symmetry is left."""
    atoms = cell.repeat([times if periodic else 1 for periodic in cell.pbc])
    atoms.rattle(0.05, seed=1)
    return atoms
