"""Sites that are only partly occupied have no energy: they are refused, whatever the format that says so."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.errors import StructureError

FULL = 0.99  # occupancies from here on are 1, rounded or refined
MOST = 1.01  # more than one atom a site is a mistake, or per cent
SAME_PLACE = 0.3  # Å | two fully occupied sites cannot be closer


@dataclass(frozen=True)
class Occupied:
    """A site and how much of it there is."""

    label: str
    symbol: str
    occupancy: float | None  # None is unknown
    fractional: NDArray[np.float64]  # (3,)
    group: str = "."  # of a disorder of which one alternative is taken


def is_full(value: Any) -> bool:
    """Whether an occupancy as readers give it means a full site: unknown ones do, 0.9999 does."""
    if isinstance(value, str):
        text = value.strip().partition("(")[0]
        if text in {"", "?", "."}:
            return True
        try:
            value = float(text)
        except ValueError:
            return True
    if value is None or not isinstance(value, int | float | np.number):
        return True
    number = float(value)
    return math.isnan(number) or number >= FULL


def refuse_too_much(occupancies: Iterable[tuple[str, Any]]) -> None:
    """Raise StructureError naming the sites that are occupied by more than one atom.

    Args:
        occupancies: label and occupancy of every site.
    """
    too_much = [
        f"{label} {value:g}"
        for label, value in occupancies
        if isinstance(value, int | float | np.number) and float(value) > MOST
    ]
    if too_much:
        msg = f"occupancies beyond 1 ({', '.join(too_much[:6])}) are none, or per cent; correct the file"
        raise StructureError(msg)


def refuse_partial(sites: Sequence[Occupied]) -> None:
    """Raise StructureError naming the sites that are partly occupied."""
    refuse_too_much((site.label, site.occupancy) for site in sites)
    partial = [site for site in sites if not is_full(site.occupancy)]
    if partial:
        shown = ", ".join(f"{site.label} {site.occupancy:g}" for site in partial[:6])
        more = f" and {len(partial) - 6} more" if len(partial) > 6 else ""
        msg = f"sites are partly occupied ({shown}{more}); make an ordered structure of it first"
        raise StructureError(msg)
    groups = {site.group for site in sites} - {".", "?", "", "0"}
    if len(groups) > 1:
        named = ", ".join(site.label for site in sites if site.group in groups)
        msg = (
            f"the file holds alternatives of a disorder (groups {', '.join(sorted(groups))}: {named[:80]}) that exclude "
            "each other; keep one of them"
        )
        raise StructureError(msg)


def refuse_partial_occupancy(atoms: Atoms) -> None:
    """Raise StructureError if ASE's reader left word that sites are only partly occupied."""
    partial: dict[str, float] = {}
    occupancy = atoms.info.get("occupancy")
    if isinstance(occupancy, Mapping):
        for site in occupancy.values():
            if isinstance(site, Mapping):
                partial |= {str(symbol): value for symbol, value in site.items() if not is_full(value)}
    column = atoms.arrays.get("occupancy")
    if column is not None and column.ndim == 1 and column.dtype.kind in "fiu" and column.any():
        for symbol, value in zip(atoms.symbols, column, strict=True):
            if not is_full(value):
                partial[str(symbol)] = float(value)
    if partial:
        sites = ", ".join(f"{symbol} {value}" for symbol, value in partial.items())
        msg = f"sites are partly occupied ({sites}); make an ordered structure of it first"
        raise StructureError(msg)
