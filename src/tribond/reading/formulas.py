"""What a file says it holds against what was read from it."""

import re
from collections import Counter
from collections.abc import Mapping

from tribond.errors import StructureError
from tribond.reading.elements import element_of

TERM = re.compile(r"([A-Z][a-z]?)([0-9]*\.?[0-9]*(?:\([0-9]+\))?)")
TOLERANCE = 0.01  # relative; formulas are rounded


def parse_formula(text: str) -> dict[str, float] | None:
    """'C4 H12 N2.5' as numbers of atoms; None for what is no plain sum formula."""
    words = text.replace(",", " ").strip("'\" \n")
    counts: dict[str, float] = {}
    rest = TERM.sub("", re.sub(r"\s+", "", words))
    if rest or not words:
        return None
    for symbol, number in TERM.findall(words):
        element = element_of(symbol)
        if element is None:
            return None
        digits = number.partition("(")[0]
        try:
            counts[element] = counts.get(element, 0.0) + (float(digits) if digits else 1.0)
        except ValueError:
            return None
    return {element: count for element, count in counts.items() if count > 0} or None


def show(counts: Mapping[str, float]) -> str:
    """'Na4 Cl4'."""
    return " ".join(f"{symbol}{count:g}" for symbol, count in sorted(counts.items()))


def ratio(read: Mapping[str, float], said: Mapping[str, float]) -> float | None:
    """How often the formula fits into what was read, the same for all elements; None if it does not."""
    if set(read) != set(said):
        return None
    ratios = [read[symbol] / said[symbol] for symbol in read]
    return ratios[0] if max(ratios) - min(ratios) <= TOLERANCE * max(ratios) else None


def compare(symbols: list[str], said: Mapping[str, float], where: str, times: float | None = None) -> list[str]:
    """Compare a composition with what the file says.

    Args:
        symbols: of all atoms that were read.
        said: the numbers that the file says.
        where: the name of that entry.
        times: how many of these units are in the cell; None if the file does not say so. Some programs write the whole
            cell's formula beside its number of units: that is no contradiction either.

    Returns:
        A note where only hydrogen is missing.

    Raises:
        StructureError: with both formulas, for a contradiction.
    """
    read = {symbol: float(count) for symbol, count in Counter(symbols).items()}
    if fits(read, said, times):
        return []
    heavy = {symbol: count for symbol, count in said.items() if symbol != "H"}
    heavy_read = {symbol: count for symbol, count in read.items() if symbol != "H"}
    if read.get("H", 0.0) < said.get("H", 0.0) * (times or 1.0) and heavy and fits(heavy_read, heavy, times):
        return [
            f"hydrogen atoms are missing: {where} is {show(said)}, but the file has positions for {show(read)} only"
        ]
    units = "" if times is None or times == 1 else f", {times:g} times in the cell"
    msg = (
        f"the file contradicts itself: {where} is {show(said)}{units}, but its atoms and symmetry give {show(read)}; mend "
        f"its symmetry, its sites or {where}"
    )
    raise StructureError(msg)


def fits(read: Mapping[str, float], said: Mapping[str, float], times: float | None) -> bool:
    """Whether a composition is that of so many units."""
    found = ratio(read, said)
    if found is None:
        return False
    if times is not None:
        return min(abs(found / times - 1), abs(found - 1)) <= TOLERANCE
    # A cell may hold a part of a unit: half of it, if it is primitive.
    return abs(found - round(found)) <= TOLERANCE * found or abs(1 / found - round(1 / found)) <= TOLERANCE / found
