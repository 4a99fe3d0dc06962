"""Formation energies and convex hulls against references, by pymatgen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ase import Atoms
from pyarrow import parquet

from tribond.errors import TribondError
from tribond.results.schema import Column
from tribond.screening.packing import schema, table

ENTRIES = "entries.parquet"
COLUMNS = (
    Column("label", str, "where it comes from"),
    Column("reduced_formula", str, "composition"),
    Column("energy_eV_per_atom", float, "potential energy an atom"),
)
CHEMICAL_SYSTEMS = 128  # hulls that are kept


class MissingReferenceError(TribondError):
    """The references do not reach as far as the structure."""


@dataclass(frozen=True)
class Entry:
    """A phase.

    Attributes:
        label: where it comes from.
        formula: reduced.
        energy: eV an atom.
    """

    label: str
    formula: str
    energy: float


class References:
    """Phases to compare with: of each composition the most stable one.

    Args:
        entries: all of them.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._lowest: dict[str, Entry] = {}
        for entry in entries:
            known = self._lowest.get(entry.formula)
            if known is None or entry.energy < known.energy:
                self._lowest[entry.formula] = entry
        self._elements = {formula: frozenset(_counts(formula)) for formula in self._lowest}
        self._hull = lru_cache(maxsize=CHEMICAL_SYSTEMS)(self._computed_hull)

    def __len__(self) -> int:
        return len(self._lowest)

    def formation_energy(self, atoms: Atoms, energy_eV: float) -> float:
        """Energy above that of the elements, eV an atom.

        Args:
            atoms: the structure.
            energy_eV: of its cell.

        Raises:
            MissingReferenceError: if there is no reference of an element.
        """
        numbers = atoms.symbols.formula.count()
        self._check_elements(numbers)
        return (energy_eV - sum(count * self._lowest[it].energy for it, count in numbers.items())) / len(atoms)

    def above_hull(self, atoms: Atoms, energy_eV: float) -> tuple[float, str]:
        """Energy above the hull of the references, eV an atom (below it negative), and what it decomposes to there.

        Args:
            atoms: the structure.
            energy_eV: of its cell.

        Raises:
            MissingReferenceError: if there is no reference of an element.
        """
        from pymatgen.analysis.phase_diagram import PDEntry

        numbers = atoms.symbols.formula.count()
        self._check_elements(numbers)
        hull = self._hull(frozenset(numbers))
        # check_stable would take an entry of the hull's own for the structure; this one is never of the hull.
        phases, energy = hull.get_decomp_and_e_above_hull(
            PDEntry(_composition(numbers), energy_eV), allow_negative=True, check_stable=False
        )
        parts = sorted(phases.items(), key=lambda it: -it[1])
        return float(energy), " + ".join(f"{part:.3f} {entry.composition.reduced_formula}" for entry, part in parts)

    def _check_elements(self, numbers: Mapping[str, int]) -> None:
        missing = sorted(it for it in numbers if it not in self._lowest)
        if missing:
            raise MissingReferenceError(f"no reference of the element {', '.join(missing)}; add a structure of it")

    def _computed_hull(self, elements: frozenset[str]) -> Any:
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

        inside = [entry for formula, entry in self._lowest.items() if self._elements[formula] <= elements]
        compositions = [_composition(_counts(entry.formula)) for entry in inside]
        return PhaseDiagram(
            [PDEntry(it, entry.energy * it.num_atoms) for it, entry in zip(compositions, inside, strict=True)]
        )


def _composition(numbers: Mapping[str, int]) -> Any:
    from pymatgen.core import Composition

    return Composition(dict(numbers))


def _counts(formula: str) -> dict[str, int]:
    from ase.formula import Formula

    return Formula(formula).count()


def write_entries(path: Path, entries: Iterable[Entry]) -> None:
    """Keep references for the processes that compute shards."""
    from tribond.files import atomic_path

    rows = [{"label": it.label, "reduced_formula": it.formula, "energy_eV_per_atom": it.energy} for it in entries]
    with atomic_path(path) as temporary:
        parquet.write_table(table(rows, schema(COLUMNS, structures=False)), temporary)


@lru_cache(maxsize=1)
def read_entries(path: Path) -> References:
    """What `write_entries` kept."""
    return References(
        Entry(row["label"], row["reduced_formula"], row["energy_eV_per_atom"])
        for row in parquet.read_table(path).to_pylist()
    )
