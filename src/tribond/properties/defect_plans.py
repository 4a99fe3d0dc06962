"""Which point defects are computed: what was asked for, on each site that symmetry tells apart, in its supercell."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atom, Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tribond.errors import ConfigError
from tribond.properties.defect_sites import distinct_atoms, distinct_voids


@dataclass(frozen=True)
class Plan:
    """A defect before it is computed."""

    name: str  # V_O, Al_Mg, Li_i; a number behind where there are several
    kind: str  # vacancy, substitution, interstitial
    site: str  # in words
    multiplicity: int  # such sites in the cell that was given
    start: Atoms  # supercell, not relaxed
    change: dict[str, int]  # atoms put in (positive) and taken out, by element
    fractional: NDArray[np.float64]  # (3,) where it is, in the cell that was given


def wanted(
    atoms: Atoms,
    vacancies: Collection[str] | None,
    substitutions: Sequence[tuple[str, str]],
    interstitials: Sequence[str],
) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """Elements of vacancies, pairs of substitutions, elements of interstitials, checked and each once."""
    present = dict.fromkeys(atoms.get_chemical_symbols())
    vacancies = list(present) if vacancies is None else list(vacancies)
    pairs = [(str(old), str(new)) for old, new in substitutions]
    for symbol in [*vacancies, *(old for old, _ in pairs)]:
        if symbol not in present:
            raise ConfigError(f"there is no {symbol} in this crystal of {', '.join(present)}")
    for symbol in [*interstitials, *(new for _, new in pairs)]:
        if atomic_numbers.get(symbol, 0) == 0:
            raise ConfigError(f"{symbol!r} is no element")
    for old, new in pairs:
        if old == new:
            raise ConfigError(f"to put {new} in the place of {old} changes nothing")
    if not (vacancies or pairs or interstitials):
        raise ConfigError("there is no defect to compute: ask for vacancies, substitutions or interstitials")
    return list(dict.fromkeys(vacancies)), list(dict.fromkeys(pairs)), list(dict.fromkeys(interstitials))


def make_plans(
    rest: Atoms, perfect: Atoms, vacancies: list[str], pairs: list[tuple[str, str]], interstitials: list[str]
) -> list[Plan]:
    """Every defect in its supercell. Atom i of the cell is atom i of the supercell, too."""
    plans: list[Plan] = []
    scaled = rest.get_scaled_positions()
    sites = distinct_atoms(rest)
    for site in sites:
        words = f"atom {site.index}, Wyckoff {site.wyckoff}, symmetry {site.symmetry}"
        place = scaled[site.index]
        if site.element in vacancies:
            start = perfect.copy()
            del start[site.index]
            if len(start) == 0:
                raise ConfigError("a supercell of one atom is empty without it; take a larger one")
            change = {site.element: -1}
            plans.append(Plan(f"V_{site.element}", "vacancy", words, site.multiplicity, start, change, place))
        for old, new in pairs:
            if site.element == old:
                start = perfect.copy()
                numbers = start.get_atomic_numbers()
                numbers[site.index] = atomic_numbers[new]
                start.set_atomic_numbers(numbers)
                change = {old: -1, new: 1}
                plans.append(Plan(f"{new}_{old}", "substitution", words, site.multiplicity, start, change, place))
    for void in distinct_voids(rest) if interstitials else ():
        words = f"void, {void.neighbours} neighbours at {void.radius_A:.2f} Å"
        place = void.fractional
        for symbol in interstitials:
            start = perfect.copy()
            start.append(Atom(symbol, void.fractional @ rest.cell.array))
            plans.append(Plan(f"{symbol}_i", "interstitial", words, void.multiplicity, start, {symbol: 1}, place))
    order = {kind: rank for rank, kind in enumerate(("vacancy", "substitution", "interstitial"))}
    plans.sort(key=lambda plan: (order[plan.kind], plan.name))
    return _numbered(plans)


def _numbered(plans: list[Plan]) -> list[Plan]:
    """Names with a number behind where several share one."""
    counts, seen = Counter(plan.name for plan in plans), Counter[str]()
    named = []
    for plan in plans:
        seen[plan.name] += 1
        named.append(replace(plan, name=f"{plan.name} #{seen[plan.name]}") if counts[plan.name] > 1 else plan)
    return named
