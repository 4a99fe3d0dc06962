"""What is validated on what: crystals with their reference values, in an order whose beginnings are spread over all of them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ase import Atoms

from recipes.built_in.measure.reading import read_records

ELEMENTS = "prop_dcdft/dcdft.json"
MODULI = "properties/mp-binary-pbe-elasticity-2025.1.json.gz"
HEAT_CAPACITIES = "properties/alexandria-binary-pbe-phonon-2025.1.json.gz"

T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """One crystal, or one run.

    Attributes:
        name: fit for a file; the same for every potential.
        atoms: where the calculation begins.
        reference: numbers to compare with, each name with its unit.
    """

    name: str
    atoms: Atoms
    reference: dict[str, Any] = field(default_factory=dict)


def spread(items: Sequence[T], first: int = 32) -> Iterator[T]:
    """All of them: every 32nd, then those in the middle between them, and so on.

    Whenever a run is stopped, what it has done is spread over the file, and every 4th is a part of every 2nd.

    Args:
        items: in the order of the file.
        first: a power of two.
    """
    yield from items[::first]
    while first > 1:
        first //= 2
        yield from items[first :: 2 * first]


def elements(data: Path) -> list[Case]:
    """The 71 crystals of the DeltaCodes project with WIEN2k's equations of state in PBE."""
    found = json.loads((data / ELEMENTS).read_text(encoding="utf-8"))
    return [
        Case(
            symbol,
            Atoms(row["sym"], cell=row["cell"], positions=row["pos"], pbc=True),
            {
                "V0_A3_per_atom": row["wien2k_volume"],
                "B0_GPa": row["wien2k_B"],
                "B0_prime": row["wien2k_Bp"],
            },
        )
        for symbol, row in found.items()
    ]


def moduli(data: Path) -> list[Case]:
    """Crystals of the Materials Project with the bulk and shear modulus after Hill, PBE."""
    return [
        Case(
            record["mp_id"],
            record["atoms"],
            {
                "formula": record["formula"],
                "bulk_modulus_GPa": record["bulk_modulus_vrh"],
                "shear_modulus_GPa": record["shear_modulus_vrh"],
            },
        )
        for record in read_records(data / MODULI)
    ]


def heat_capacities(data: Path) -> list[Case]:
    """Crystals with the harmonic heat capacity at 300 K in PBE.

    The file gives J/K per mole of the cells that it gives: 3R times the number of atoms is the limit, which none passes.
    """
    return [
        Case(
            record["mp_id"],
            record["atoms"],
            {
                "formula": record["formula"],
                "heat_capacity_300K_J_per_K_per_mol_atoms": record["heat_capacity"] / len(record["atoms"]),
            },
        )
        for record in read_records(data / HEAT_CAPACITIES)
    ]
