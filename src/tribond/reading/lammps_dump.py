"""LAMMPS dumps: frames are counted, and the column that says the elements is made one of plain symbols before ASE reads."""

import re
from io import StringIO

from ase.io.lammpsrun import read_lammps_dump_text

from tribond.errors import StructureError
from tribond.reading.content import Found, Options
from tribond.reading.elements import check_symbols, of_labels
from tribond.reading.lammps import HINT, element_of_mass, refuse_other_units

HEADING = "ITEM: ATOMS"
UNITS = re.compile(r"^ITEM: UNITS\s*\n\s*(\w+)", re.MULTILINE)
FRAME = re.compile(r"^(?=ITEM: TIMESTEP)", re.MULTILINE)


def read_dump(text: str, options: Options) -> tuple[list[Found], list[str]]:
    """All frames of a dump; an error in the place of one that was cut off or whose elements are not known.

    Raises:
        StructureError: for units that are not those of metal or real.
    """
    said = UNITS.search(text)
    if said is not None:
        refuse_other_units(said[1])
    found: list[Found] = []
    notes: list[str] = []
    parts = FRAME.split(text)[1:]
    if not parts:
        msg = "this LAMMPS dump has no frames (no ITEM: TIMESTEP)"
        raise StructureError(msg)
    for part in parts:
        try:
            frame, more = _with_elements(part, options)
            (atoms,) = read_lammps_dump_text(
                StringIO(frame), index=slice(None), specorder=list(options.elements) or None
            )
        except StructureError as error:
            found.append(error)
            continue
        except (ValueError, IndexError, KeyError, RuntimeError, TypeError) as error:
            found.append(StructureError(f"a line of this frame is damaged ({' '.join(str(error).split())[:150]})"))
            continue
        if atoms.calc is not None:
            atoms.calc.results.pop("energy", None)  # zero, which no dump says
        found.append(atoms)
        notes += more
    return found, list(dict.fromkeys(notes))


def _with_elements(frame: str, options: Options) -> tuple[str, list[str]]:
    """One frame with a column of plain symbols, or of types whose elements the user names."""
    lines = frame.splitlines()
    at = next((number for number, line in enumerate(lines) if line.startswith(HEADING)), None)
    count = re.search(r"^ITEM: NUMBER OF ATOMS\s*\n\s*(\d+)", frame, re.MULTILINE)
    if at is None or count is None:
        msg = "the frame has no number of atoms or no ITEM: ATOMS; it is cut off"
        raise StructureError(msg)
    columns = lines[at].split()[2:]
    end = next((number for number in range(at + 1, len(lines)) if lines[number].startswith("ITEM:")), len(lines))
    rows = [line.split() for line in lines[at + 1 : end] if line.strip()]
    if len(rows) != int(count[1]):
        msg = f"the frame contradicts itself: it says {count[1]} atoms, but has {len(rows)} lines of them"
        raise StructureError(msg)
    if any(len(row) != len(columns) for row in rows):
        msg = f"a line of this frame has not the {len(columns)} columns of its heading; it is damaged or cut off"
        raise StructureError(msg)
    if not any(axis in columns for axis in ("x", "xs", "xu", "xsu")):
        msg = f"this dump has no positions: its columns are {' '.join(columns)}; dump x y z"
        raise StructureError(msg)
    if options.elements and "type" in columns:
        _check_types([row[columns.index("type")] for row in rows], options)
        heading = [f"f_{name}" if name in {"element", "mass"} else name for name in columns]
        symbols = ["0"] * len(rows)  # the user knows better than the column
        notes: list[str] = []
    elif "element" in columns:
        heading, notes = columns, []
        labels = [row[columns.index("element")] for row in rows]
        symbols = _elements(labels, rows, columns)
        if symbols == labels:
            return frame, []
    elif "mass" in columns:
        heading = ["element" if name == "mass" else name for name in columns]
        symbols, notes = _elements_of_masses([row[columns.index("mass")] for row in rows])
    else:
        msg = f"this LAMMPS dump holds types of atoms, not elements; {HINT}, or dump the column element"
        raise StructureError(msg)
    for name in {"element", "mass"} & set(columns):
        place = columns.index(name)
        for row, symbol in zip(rows, symbols, strict=True):
            row[place] = symbol if heading[place] == "element" else "0"
    return "\n".join([*lines[:at], f"{HEADING} {' '.join(heading)}", *map(" ".join, rows)]) + "\n", notes


def _check_types(types: list[str], options: Options) -> None:
    symbols = check_symbols(list(options.elements), "--elements")
    unnamed = [kind for kind in types if not kind.isdigit() or not 1 <= int(kind) <= len(symbols)]
    if unnamed:
        msg = f"--elements names {len(symbols)} elements, but there are atoms of type {unnamed[0]}; {HINT}"
        raise StructureError(msg)


def _elements(labels: list[str], rows: list[list[str]], columns: list[str]) -> list[str]:
    """The element of every atom by its label."""
    types = {row[columns.index("type")] for row in rows} if "type" in columns else set()
    if len(types) > 1 and set(labels) == {"C"}:
        # LAMMPS calls all types C until dump_modify names them.
        msg = f"all {len(types)} types of this dump are called C, as LAMMPS writes them where nobody named the elements; {HINT}"
        raise StructureError(msg)
    if any(label.isdigit() for label in labels):
        msg = f"the column element of this LAMMPS dump holds types of atoms, not elements; {HINT}"
        raise StructureError(msg)
    return of_labels(labels, capitals=True)


def _elements_of_masses(masses: list[str]) -> tuple[list[str], list[str]]:
    """The element of every atom by its mass, and a note that says so."""
    known: dict[str, str] = {}
    for text in dict.fromkeys(masses):
        try:
            symbol = element_of_mass(float(text))
        except ValueError:
            symbol = None
        if symbol is None:
            msg = f"the mass {text} in this LAMMPS dump is that of no element; {HINT}"
            raise StructureError(msg)
        known[text] = symbol
    if {float(text) for text in known} == {1.0}:
        msg = f"all masses of this LAMMPS dump are 1, as in reduced units: they do not say the elements; {HINT}"
        raise StructureError(msg)
    shown = ", ".join(f"{mass} is {symbol}" for mass, symbol in known.items())
    return [known[text] for text in masses], [f"elements of the masses: {shown}"]
