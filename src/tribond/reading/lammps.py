"""LAMMPS data: types are not elements; which they are is said by masses, labels or the user."""

import re
from io import StringIO

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from tribond.errors import StructureError
from tribond.reading.content import Options
from tribond.reading.elements import check_symbols, element_of

MASS_ERROR = 0.15  # amu | masses are rounded
UNITED = (13.019, 14.027, 15.035, 16.043)  # amu | CH to CH4 as one particle, not N and O
UNITED_ERROR = 0.008  # amu
KNOWN_UNITS = {"metal", "real"}  # lengths in Å
HEADER_UNITS = re.compile(r"\bunits\s*=\s*(\w+)")  # in the first line, as write_data writes it
SECTION = re.compile(
    r"^\s*(Masses|Atoms|Velocities|Bonds|Angles|Dihedrals|Impropers|Atom Type Labels|[A-Za-z0-9]+ Coeffs)\b(.*)$"
)
DATA = re.compile(rb"^\s*\d+\s+atoms\b", re.MULTILINE)
BOX = re.compile(rb"xlo\s+xhi|^\s*Atoms\b|avec", re.MULTILINE)
COLUMNS = {"atomic": 5, "charge": 6, "molecular": 6, "bond": 6, "angle": 6, "full": 7}
HINT = "name the elements of the types in order: --elements Na Cl (in Python and training files: elements)"


def looks_like_data(head: bytes) -> bool:
    """Whether this is a LAMMPS data file, whatever its name."""
    return bool(DATA.search(head) and BOX.search(head))


def read_data(text: str, options: Options) -> tuple[list[Atoms], list[str]]:
    """The structure of a data file; ASE reads it once style and elements are known.

    Raises:
        StructureError: if the elements of the types are not known, or counts do not agree.
    """
    from ase.io.lammpsdata import read_lammps_data

    units = HEADER_UNITS.search(text.partition("\n")[0])
    if units is not None:
        refuse_other_units(units[1])
    sections = _sections(text)
    rows = sections.get("Atoms", ("", []))[1]
    count = re.search(r"^\s*(\d+)\s+atoms\b", text, re.MULTILINE)
    if count is None or "Atoms" not in sections:
        msg = "this LAMMPS data file has no number of atoms or no section Atoms"
        raise StructureError(msg)
    if int(count[1]) != len(rows):
        msg = f"the file contradicts itself: it says {count[1]} atoms, but its section Atoms has {len(rows)} lines"
        raise StructureError(msg)
    kinds = re.search(r"^\s*(\d+)\s+atom types\b", text, re.MULTILINE)
    said = sections["Atoms"][0]
    style = _style(said, rows, int(kinds[1]) if kinds else None)
    column = 2 if style in {"full", "molecular", "bond", "angle"} else 1
    types = [row.split()[column] for row in rows]
    elements, notes = _elements(sections, types, options)
    if style == "full" and not said:
        notes.append(
            "the section Atoms does not say its style; its columns were taken as id molecule type charge x y z (full)"
        )
    given = {name: str(number) for number, name in _labels(sections).items()}
    if given:
        text = _with_numbers(text, given, {"Atoms": column, "Masses": 0})
    atoms = read_lammps_data(
        StringIO(text), Z_of_type={kind: atomic_numbers[symbol] for kind, symbol in elements.items()}, atom_style=style
    )
    if not re.search(r"xlo\s+xhi|avec", text):
        atoms.pbc = False
        atoms.cell[:] = 0.0
        notes.append("the file has no box: its axes are open")
    atoms.info.pop("comment", None)
    for name in ("mmcharges", "type", "id"):
        atoms.arrays.pop(name, None)
    atoms.arrays.pop("masses", None)
    return [atoms], notes


def _sections(text: str) -> dict[str, tuple[str, list[str]]]:
    """The comment behind the heading, and the lines, of every section."""
    sections: dict[str, tuple[str, list[str]]] = {}
    current: list[str] | None = None
    for line in text.splitlines()[1:]:
        heading = SECTION.match(line.partition("#")[0].rstrip())
        if heading is not None:
            current = []
            sections[heading[1]] = (line.partition("#")[2].strip(), current)
        elif current is not None and line.partition("#")[0].strip():
            current.append(line.strip())
    return sections


def _style(comment: str, rows: list[str], kinds: int | None) -> str:
    word = comment.split(maxsplit=1)[0].lower() if comment.split() else ""
    widths = {len(row.partition("#")[0].split()) for row in rows}
    width = min(widths) if widths else 5
    if len(widths) > 1:
        msg = (
            f"the lines of the section Atoms differ in their number of columns ({', '.join(map(str, sorted(widths)))})"
        )
        raise StructureError(msg)
    if word in COLUMNS:
        if width not in (COLUMNS[word], COLUMNS[word] + 3):
            msg = f"the section Atoms # {word} must have {COLUMNS[word]} columns (3 more with image flags), not {width}"
            raise StructureError(msg)
        return word
    if word and word.isalpha():
        msg = f"the style of the section Atoms # {word} is not read; write the file with atomic, charge, molecular or full"
        raise StructureError(msg)
    styles = {5: "atomic", 8: "atomic", 7: "full", 10: "full"}
    if width in styles:
        return styles[width]
    if width in (6, 9):
        # id type charge x y z, or id molecule type x y z: a charge has a point, a type has none.
        fields = [row.split() for row in rows]
        if all(row[1].isdigit() and row[2].isdigit() for row in fields):
            if kinds is not None and any(int(row[1]) > kinds for row in fields):
                return "molecular"
            msg = "the third column of the section Atoms may be a charge or a type; write Atoms # charge or # molecular"
            raise StructureError(msg)
        return "charge"
    msg = f"a section Atoms with {width} columns has no known style; write it behind the heading: Atoms # charge"
    raise StructureError(msg)


def _labels(sections: dict[str, tuple[str, list[str]]]) -> dict[int, str]:
    rows = sections.get("Atom Type Labels", ("", []))[1]
    return {int(row.split()[0]): row.split()[1] for row in rows if len(row.split()) > 1}


def _with_numbers(text: str, given: dict[str, str], columns: dict[str, int]) -> str:
    """Types that are labels as the numbers that ASE wants, in a column of each of some sections."""
    lines, section = [], ""
    for line in text.splitlines():
        heading = SECTION.match(line.partition("#")[0].rstrip())
        section = heading[1] if heading is not None else section
        column = columns.get(section)
        words = line.split()
        if column is not None and heading is None and len(words) > column and words[column] in given:
            words[column] = given[words[column]]
            line = " ".join(words)  # noqa: PLW2901
        lines.append(line)
    return "\n".join(lines) + "\n"


def _elements(
    sections: dict[str, tuple[str, list[str]]], types: list[str], options: Options
) -> tuple[dict[int, str], list[str]]:
    """The element of every type."""
    labels = _labels(sections)
    numbers = {name: number for number, name in labels.items()}
    unknown = [kind for kind in types if not kind.isdigit() and kind not in numbers]
    if unknown:
        msg = f"the type {unknown[0]} of an atom is neither a number nor among the Atom Type Labels"
        raise StructureError(msg)
    used = sorted({int(kind) if kind.isdigit() else numbers[kind] for kind in types})
    if options.elements:
        return dict(enumerate(_given(options, used), 1)), []
    masses: dict[int, tuple[float, str]] = {}
    for row in sections.get("Masses", ("", []))[1]:
        words, _, comment = row.partition("#")
        parts = words.split()
        key = int(parts[0]) if parts[0].isdigit() else numbers.get(parts[0], 0)
        masses[key] = (float(parts[1]), comment.strip())
    if masses and not labels and all(mass == 1.0 and not comment for mass, comment in masses.values()):
        msg = f"all masses of this LAMMPS data file are 1, as in reduced units: they do not say the elements; {HINT}"
        raise StructureError(msg)
    elements: dict[int, str] = {}
    for kind in used:
        name = element_of(labels[kind]) if kind in labels else None
        found = name or (element_of_mass(*masses[kind]) if kind in masses else None)
        if name is not None and kind in masses and element_of_mass(masses[kind][0]) not in {name, None}:
            msg = (
                f"the file contradicts itself: type {kind} has the label {labels[kind]}, but its mass {masses[kind][0]:g} is "
                f"that of {element_of_mass(masses[kind][0])}; {HINT}"
            )
            raise StructureError(msg)
        if found is None:
            why = f"its mass is {masses[kind][0]:g}" if kind in masses else "the file has no masses"
            msg = f"type {kind} of this LAMMPS data file is no known element ({why}); {HINT}"
            raise StructureError(msg)
        elements[kind] = found
    shown = ", ".join(f"{kind} is {symbol}" for kind, symbol in elements.items())
    return elements, [f"elements of the types: {shown}"]


def _given(options: Options, used: list[int]) -> list[str]:
    symbols = check_symbols(list(options.elements), "--elements")
    if max(used, default=0) > len(symbols):
        msg = f"--elements names {len(symbols)} elements, but there are atoms of type {max(used)}; {HINT}"
        raise StructureError(msg)
    return symbols


def element_of_mass(mass: float, comment: str = "") -> str | None:
    """The element of this mass, of those in question the one that a comment names."""
    if any(abs(mass - united) < UNITED_ERROR for united in UNITED):
        return None
    said = element_of(comment.split(maxsplit=1)[0]) if comment.split() else None
    if said is not None and abs(atomic_masses[atomic_numbers[said]] - mass) < 1.5:
        return said
    if abs(mass - 2.014) < 0.02:
        return "H"
    apart = np.abs(atomic_masses[1:] - mass)
    nearest = int(np.argmin(apart))
    return chemical_symbols[nearest + 1] if apart[nearest] < MASS_ERROR else None


def refuse_other_units(name: str) -> None:
    """Raise StructureError for units whose lengths are not Å."""
    if name not in KNOWN_UNITS:
        msg = (
            f"the file says that its units are LAMMPS's {name}, whose lengths are no Å; write it in units metal or real"
        )
        raise StructureError(msg)
