"""The element that a label of an atom stands for, where it is plain: Na+, Fe3, Ow, D; nothing where it is a guess."""

import re
from collections.abc import Collection

from ase.data import chemical_symbols

from tribond.errors import StructureError
from tribond.reading.symbols import SYMBOLS

LABEL = re.compile(r"[A-Za-z]+")
GROUP = re.compile(r"(H2O|OH2|HOH|NH[34]|ND4|CH[234])\b", re.IGNORECASE)  # several atoms, written as one
DUMMIES = {"Du", "Xx", "Va", "Lp", "Bq", "Ws"}
DEUTERIUM_MASS = 2.0141017781  # u
DEUTERIUM_NOTE = "D is taken as hydrogen of its natural mass, 1.008 u; a CIF gives it the mass of deuterium"
LIGHT = {"H", "B", "C", "N", "O", "F", "P", "S"}  # whose atoms carry names such as CA, OXT and HW1


def element_of(label: str, among: Collection[str] = ()) -> str | None:
    """The element's symbol; None where the label does not say it.

    Args:
        label: of an atom, such as 'Na1', 'O2-', 'Ow2', 'D', 'FE' or '11'.
        among: elements that are in the file for certain (its formula), which decide between two readings.
    """
    label = label.strip().strip("'\"")
    if label.isdigit():
        number = int(label)
        return chemical_symbols[number] if 0 < number < len(chemical_symbols) else None
    match = LABEL.match(label)
    if match is None or GROUP.match(label):
        return None
    candidates = _candidates(match[0])
    if len(candidates) > 1 and among:
        candidates = [symbol for symbol in candidates if symbol in among]
    return candidates[0] if len(candidates) == 1 else None


def is_deuterium(label: str) -> bool:
    """Whether a label says D: hydrogen of twice the mass."""
    match = LABEL.match(label.strip().strip("'\""))
    return match is not None and match[0] == "D"


def _candidates(letters: str) -> list[str]:
    """What the leading letters of a label may stand for."""
    if letters in SYMBOLS:
        return [letters]
    if letters.upper() == "D":
        return ["H"]
    if len(letters) == 1 or letters.islower():
        return [letters.capitalize()] if letters.capitalize() in SYMBOLS else []
    first, two = letters[0].upper(), letters[:2].capitalize()
    if letters[1].islower():
        # Ow, Hw, Cb: an element and the name of its site. FeA: the same. Wat, Lig, Vac: the name of something else.
        if len(letters) > 2:
            return [two] if two in SYMBOLS and letters[2].isupper() else []
        return [first] if first in SYMBOLS and letters not in DUMMIES else []
    # Capitals: CL is chlorine or a carbon called L, FE iron or a fluorine called E, OW an oxygen.
    options = [two] if two in SYMBOLS and len(letters) == 2 else []
    return [*options, first] if first in LIGHT else options


def of_labels(labels: list[str], among: Collection[str] = (), *, capitals: bool = False) -> list[str]:
    """The element of every label.

    Args:
        labels: one an atom.
        among: elements that are in the file for certain.
        capitals: FE and CL are iron and chlorine: the column is for symbols, not for names of atoms.

    Raises:
        StructureError: naming the first atom whose label does not say it.
    """
    symbols, known = [], dict[str, str | None]()
    for number, label in enumerate(labels):
        if label not in known:
            found = element_of(label, among)
            if found is None and capitals and label.isalpha() and label.capitalize() in SYMBOLS:
                found = label.capitalize()
            known[label] = found
        symbol = known[label]
        if symbol is None:
            msg = (
                f"the label {label!r} of atom {number} (counted from 0) does not say which element it is; write the "
                "element, or remove the atom if it is a dummy"
            )
            raise StructureError(msg)
        symbols.append(symbol)
    return symbols


def check_symbols(symbols: list[str], option: str) -> list[str]:
    """Symbols given by the user.

    Raises:
        StructureError: if one is no element.
    """
    wrong = [symbol for symbol in symbols if symbol not in SYMBOLS]
    if wrong:
        msg = f"{option}: {', '.join(wrong)} is no element; write symbols such as Na Cl, one for each type in order"
        raise StructureError(msg)
    return symbols
