"""Crystals that everybody knows, made here from their structure types: to see what a fine-tuned model has forgotten.

Elements in the structure of their ground state and some two hundred compounds in common structure types, with the lattice
constants of textbooks (rounded; they only have to be near). Each comes strained and rattled, in an order and with
displacements that never change. No data of others is in here.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, chemical_symbols, reference_states
from ase.spacegroup import crystal

from tribond.data.split import fold_of

STRAIN = 0.04  # largest of each component
RATTLES = (0.03, 0.08, 0.15)  # Å, one after the other
STANDING = 4  # one compound in so many is never taught: it belongs to the standing set
# Å; halides, oxides, chalcogenides, nitrides, carbides, and alloys.
ROCKSALT = (
    "LiF 4.03, LiCl 5.13, LiBr 5.50, NaF 4.63, NaCl 5.64, NaBr 5.97, NaI 6.47, KF 5.34, KCl 6.29, KBr 6.60, RbCl 6.58, "
    "MgO 4.21, CaO 4.81, SrO 5.16, BaO 5.52, MnO 4.44, FeO 4.33, CoO 4.26, NiO 4.17, CdO 4.70, TiO 4.18, VO 4.09, "
    "MgS 5.20, CaS 5.69, SrS 6.02, BaS 6.39, PbS 5.94, PbSe 6.12, PbTe 6.46, SnTe 6.32, MnS 5.22, EuO 5.14, "
    "TiN 4.24, ZrN 4.58, HfN 4.52, VN 4.14, NbN 4.39, CrN 4.15, ScN 4.50, YN 4.88, LaN 5.30, TiC 4.33, ZrC 4.70, "
    "HfC 4.64, VC 4.17, NbC 4.47, TaC 4.46, LaSb 6.49, CeO 5.09, AgCl 5.55, AgBr 5.77, LiH 4.08, NaH 4.88"
)
ZINCBLENDE = (
    "BN 3.62, BP 4.54, AlP 5.46, AlAs 5.66, AlSb 6.14, GaP 5.45, GaAs 5.65, GaSb 6.10, InP 5.87, InAs 6.06, InSb 6.48, "
    "ZnS 5.41, ZnSe 5.67, ZnTe 6.10, CdS 5.82, CdSe 6.05, CdTe 6.48, HgTe 6.46, BeS 4.87, BeSe 5.15, BeTe 5.63, SiC 4.36, "
    "CuCl 5.42, CuBr 5.69, CuI 6.05"
)
CAESIUMCHLORIDE = (
    "CsCl 4.12, CsBr 4.29, CsI 4.57, TlCl 3.83, TlBr 3.97, NiAl 2.89, FeAl 2.91, CoAl 2.86, NiTi 3.01, FeTi 2.98, "
    "CuZn 2.95, AgMg 3.31, AuZn 3.15, AuCd 3.32, CuPd 2.99, RuAl 2.99, LiTl 3.43, BeCo 2.61, ScRh 3.20, YCu 3.48, LaAg 3.81"
)
FLUORITE = (
    "CaF2 5.46, SrF2 5.80, BaF2 6.20, CdF2 5.39, PbF2 5.94, CeO2 5.41, ThO2 5.60, UO2 5.47, HfO2 5.08, ZrO2 5.11, "
    "Li2O 4.62, Na2O 5.55, K2O 6.44, Li2S 5.71, Na2S 6.53, K2S 7.39, Mg2Si 6.34, Mg2Sn 6.77, CoSi2 5.36, NiSi2 5.41, "
    "TiH2 4.45, ScH2 4.78, YH2 5.20, ZrH2 4.80, Al2Au 6.00, Al2Pt 5.92, Be2C 4.34"
)
PEROVSKITE = (
    "SrTiO3 3.91, BaTiO3 4.01, CaTiO3 3.85, PbTiO3 3.97, KNbO3 4.02, NaNbO3 3.94, KTaO3 3.99, BaZrO3 4.19, SrZrO3 4.10, "
    "LaAlO3 3.79, LaFeO3 3.93, LaMnO3 3.88, LaCoO3 3.83, LaCrO3 3.88, BaSnO3 4.12, KMgF3 3.99, KMnF3 4.19, KZnF3 4.06, "
    "CsPbI3 6.29, CsPbBr3 5.87, CsSnI3 6.22"
)
ORDERED_FCC = (  # L1_2, the first element once
    "AlNi3 3.57, TiPt3 3.91, AuCu3 3.75, PtFe3 3.75, GaNi3 3.58, SiNi3 3.50, GeNi3 3.57, InPd3 3.95, SnPd3 3.98, "
    "MnPt3 3.90, CrPt3 3.87, ZrPd3 4.05, CaPb3 4.90, YPd3 4.07, LaSn3 4.77, CeIn3 4.69, UGe3 4.20, FePd3 3.85"
)


@dataclass(frozen=True)
class Crystal:
    """One of them at rest."""

    name: str  # formula and structure type
    atoms: Atoms


def common_crystals(elements: Collection[str] | None = None) -> list[Crystal]:
    """All of them, in a fixed order.

    Args:
        elements: only those made of these; None: all.
    """
    known = set(chemical_symbols if elements is None else elements)
    return [it for it in _all() if known.issuperset(it.atoms.symbols)]


def is_standing(crystal: Crystal) -> bool:
    """Whether a crystal belongs to the standing set, which is measured and never taught; decided by its composition."""
    return fold_of(crystal.atoms.get_chemical_formula(), STANDING) == 0


def disturbed(crystal: Crystal, number: int) -> Atoms:
    """A strained and rattled copy of some 8 atoms or more; the same number gives the same one.

    Args:
        crystal: at rest.
        number: which of them.
    """
    seed = [number, *(int(z) for z in crystal.atoms.numbers)]
    random = np.random.default_rng(seed)
    repeats = int(np.ceil((8 / len(crystal.atoms)) ** (1 / 3) - 1e-9))
    atoms = crystal.atoms.repeat(max(1, repeats))
    strain = random.uniform(-STRAIN, STRAIN, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    atoms.positions += random.normal(0.0, RATTLES[number % len(RATTLES)], atoms.positions.shape)
    return atoms


def replay_set(count: int, elements: Collection[str], first: Collection[str] = ()) -> list[Atoms]:
    """Structures to teach again, none of the standing set.

    Args:
        count: how many.
        elements: that the model knows.
        first: elements of the new data; crystals that have one come first, then the others in turn.
    """
    crystals = [it for it in common_crystals(elements) if not is_standing(it)]
    if not crystals:
        return []
    random = np.random.default_rng(0)
    order = [crystals[row] for row in random.permutation(len(crystals))]
    order.sort(key=lambda it: not set(first) & set(it.atoms.symbols))  # keeps the order otherwise
    return [disturbed(order[index % len(order)], index // len(order)) for index in range(count)]


def standing_set(elements: Collection[str], each: int = 2) -> list[tuple[str, Atoms]]:
    """What is measured before and after a fine-tuning: name and structure.

    Args:
        elements: that the model knows.
        each: disturbed copies of every crystal.
    """
    crystals = [it for it in common_crystals(elements) if is_standing(it)]
    return [(it.name, disturbed(it, 1000 + number)) for it in crystals for number in range(each)]


def _all() -> Iterator[Crystal]:
    for symbol in chemical_symbols[1:95]:
        state = reference_states[atomic_numbers[symbol]]
        if state is None or state["symmetry"] not in ("fcc", "bcc", "hcp", "diamond") or "basis" in state:
            continue  # with a basis of its own: selenium and tellurium, which are no close packings
        yield Crystal(f"{symbol} {state['symmetry']}", bulk(symbol))
    kinds = {"rocksalt": ROCKSALT, "zincblende": ZINCBLENDE, "cesiumchloride": CAESIUMCHLORIDE}
    for kind, table in kinds.items():
        for formula, a in _entries(table):
            yield Crystal(f"{formula} {kind}", bulk(formula, kind, a=a))
    for formula, a in _entries(FLUORITE):
        symbols = _symbols(formula)
        once, twice = (symbols if formula.endswith("2") else symbols[::-1])[:2]
        yield Crystal(f"{formula} fluorite", bulk(f"{once}{twice}{twice}", "fluorite", a=a))
    for formula, a in _entries(PEROVSKITE):
        places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
        yield Crystal(
            f"{formula} perovskite", crystal(_symbols(formula), places, spacegroup=221, cellpar=[a] * 3 + [90] * 3)
        )
    for formula, a in _entries(ORDERED_FCC):
        places = [(0, 0, 0), (0.5, 0.5, 0)]
        yield Crystal(f"{formula} L1_2", crystal(_symbols(formula), places, spacegroup=221, cellpar=[a] * 3 + [90] * 3))


def _entries(table: str) -> Iterator[tuple[str, float]]:
    for entry in table.split(","):
        formula, a = entry.split()
        yield formula, float(a)


def _symbols(formula: str) -> list[str]:
    """Each element once, in the order of the formula."""
    return list(dict.fromkeys(Atoms(formula).symbols))
