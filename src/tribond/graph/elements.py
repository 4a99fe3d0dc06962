"""Which elements a model knows."""

from collections.abc import Iterable, Sequence

from ase.data import atomic_numbers, chemical_symbols

from tribond.errors import UnknownElementError


def unknown_elements(numbers: Iterable[int], elements: Sequence[str]) -> list[str]:
    """Symbols of those atoms, given by atomic number, that are none of the elements; by atomic number, each once."""
    known = {atomic_numbers[symbol] for symbol in elements}
    return [chemical_symbols[number] for number in sorted(set(numbers) - known)]


def check_elements(numbers: Iterable[int], elements: Sequence[str]) -> None:
    """Raise UnknownElementError if one of the atoms, by atomic number, is none of the elements that a model knows."""
    if unknown := unknown_elements(numbers, elements):
        msg = f"this model does not know {', '.join(unknown)}; it knows {' '.join(elements)}"
        raise UnknownElementError(msg)
