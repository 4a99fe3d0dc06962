"""Crystals made of prototypes by putting other elements on their sites.

The cell is scaled so that the shortest bond, in units of two covalent radii, is as long as in the prototype: NaCl makes
NaF of 4.7 Å (measured: 4.6), MgO of 4.4 Å (4.2), CsF of 6.3 Å (6.0). A relaxation starts well from there.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from tribond.errors import ConfigError
from tribond.screening.settings import Source

LONGEST_BOND = 1.1  # of a prototype, in units of the shortest


def substituted(label: str, prototype: Atoms, source: Source) -> Iterator[tuple[str, Atoms]]:
    """All combinations of the elements that may come to the sites of a prototype, in the order of the lists.

    Args:
        label: of the prototype.
        prototype: a crystal; not changed.
        source: lists of elements, and what of their combinations is left out.

    Raises:
        ConfigError: for what is no element, or if the prototype holds none of the elements to be replaced.
    """
    lists = source.substitute or {}
    for symbol in {*lists, *(it for some in lists.values() for it in some)}:
        if symbol not in atomic_numbers or symbol == "X":
            raise ConfigError(
                f"sources: substitute: {symbol} is no element (write NO in quotes, YAML takes it for false)"
            )
    present = set(prototype.symbols)
    if not prototype.pbc.all():
        raise ConfigError(f"sources: the prototype {label} must be a crystal, periodic along all axes")
    replaced = [symbol for symbol in lists if symbol in present]
    if not replaced:
        raise ConfigError(f"sources: {label} holds none of {', '.join(lists)}, which substitute would replace")
    stay = present - set(replaced)
    pairs = _pairs(prototype)
    closest = _closest(prototype, pairs) if source.scale_volume else None
    for chosen in product(*(lists[symbol] for symbol in replaced)):
        if not source.same_element and len({*chosen, *stay}) < len(chosen) + len(stay):
            continue
        new = dict(zip(replaced, chosen, strict=True))
        symbols = [new.get(symbol, symbol) for symbol in prototype.symbols]
        if source.charge_balance and not balanced(_formula(symbols)):
            continue
        atoms = prototype.copy()
        atoms.symbols = symbols
        if closest is not None:
            factor = closest / _closest(atoms, pairs)
            atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
        yield f"{label} {' '.join(f'{old}→{it}' for old, it in new.items())}", atoms


def _formula(symbols: list[str]) -> str:
    return "".join(f"{symbol}{symbols.count(symbol)}" for symbol in sorted(set(symbols)))


@lru_cache(maxsize=65536)
def balanced(formula: str) -> bool:
    """Whether common oxidation states (of the ICSD, by pymatgen) can add up to zero; elements alone always do."""
    from pymatgen.core import Composition

    return bool(Composition(formula).reduced_composition.oxi_state_guesses())


def _closest(atoms: Atoms, pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]) -> float:
    """The shortest of some bonds in units of the sum of two covalent radii."""
    first, second, distances = pairs
    radii = covalent_radii[atoms.numbers]
    return float((distances / (radii[first] + radii[second])).min())


def _pairs(atoms: Atoms) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Bonds, as pairs of atoms and their lengths, Å: those that are hardly longer than the shortest, by covalent radii."""
    cutoff = 4.0
    while True:
        found = neighbor_list("ijd", atoms, cutoff)
        if len(set(found[0])) == len(atoms):
            break
        cutoff *= 1.5
    ratios = found[2] / (covalent_radii[atoms.numbers[found[0]]] + covalent_radii[atoms.numbers[found[1]]])
    bonds = ratios < LONGEST_BOND * ratios.min()
    return found[0][bonds], found[1][bonds], found[2][bonds]
