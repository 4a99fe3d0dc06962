"""SHELX's .ins and .res, and those of AIRSS: with the lattice's centring and symmetry, which ASE's reader leaves out."""

import math
import re
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.geometry import cellpar_to_cell

from tribond.errors import StructureError
from tribond.reading.content import Options
from tribond.reading.elements import element_of
from tribond.reading.formulas import compare
from tribond.reading.settings import parse, unique, with_centrings
from tribond.reading.symmetry import SAME, Operation, expand

CENTRINGS: dict[int, list[tuple[float, float, float]]] = {
    1: [],
    2: [(1 / 2, 1 / 2, 1 / 2)],
    3: [(2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)],
    4: [(0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)],
    5: [(0, 1 / 2, 1 / 2)],
    6: [(1 / 2, 0, 1 / 2)],
    7: [(1 / 2, 1 / 2, 0)],
}
FULL = 0.99  # of the occupancy that the position has at most
INSTRUCTIONS = frozenset(
    "ABIN ACTA AFIX ANIS ANSC ANSR BASF BIND BLOC BOND BUMP CELL CGLS CHIV CONF CONN DAMP DANG DEFS DELU DFIX DISP EADP "
    "END EQIV EXTI EXYZ FEND FLAT FMAP FRAG FREE FVAR GRID HFIX HKLF HTAB ISOR LATT LAUE LIST L.S. MERG MORE MOVE MPLA "
    "NCSY NEUT OMIT PART PLAN PRIG REM RESI RIGU RTAB SADI SAME SFAC SHEL SIMU SIZE SPEC STIR SUMP SWAT SYMM TEMP TITL "
    "TWIN TWST UNIT WGHT WIGL WPDB XNPD ZERR".split()
)


@dataclass
class _File:
    """What the instructions said."""

    cell: list[float] = field(default_factory=list)
    lattice: int = 1
    symmetry: list[str] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    unit: list[float] = field(default_factory=list)
    variables: list[float] = field(default_factory=list)
    title: str = ""
    labels: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    places: list[list[float]] = field(default_factory=list)
    occupancies: list[float] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    skipped: int = 0


def read_shelx(text: str, options: Options) -> tuple[list[Atoms], list[str]]:
    """The crystal of a .res or .ins file.

    Raises:
        StructureError: if something is missing, partly occupied, or contradicts UNIT.
    """
    del options
    file = _parse(text)
    if len(file.cell) != 6:
        msg = "there is no CELL with a wavelength and six numbers in this SHELX file"
        raise StructureError(msg)
    if not file.labels:
        msg = "there are no atoms in this SHELX file"
        raise StructureError(msg)
    if abs(file.lattice) not in CENTRINGS:
        msg = f"LATT {file.lattice} is no lattice; SHELX has 1 to 7, negative without a centre of inversion"
        raise StructureError(msg)
    try:
        cell = np.asarray(cellpar_to_cell(file.cell), dtype=np.float64)
        volume = float(np.linalg.det(cell))
    except (AssertionError, ValueError, ZeroDivisionError):
        volume = math.nan
    if not volume > 1e-6 * np.prod(file.cell[:3]):
        msg = f"CELL {' '.join(f'{number:g}' for number in file.cell)} spans no cell; look at its lengths and angles"
        raise StructureError(msg)
    operations = _operations(file)
    expanded = expand(np.array(file.places), operations, cell, file.labels)
    symbols = [file.symbols[site] for site in expanded.site]
    notes = _check(file, symbols, expanded.site, len(operations))
    if expanded.moved > SAME:
        notes.append(f"coordinates are rounded: images up to {1000 * expanded.moved:.0f} mÅ apart are one atom")
    if file.skipped:
        notes.append(f"{file.skipped} peaks of the electron density (Q1, ...) are no atoms and were left out")
    return [Atoms(symbols, scaled_positions=expanded.fractional, cell=cell, pbc=True)], notes


def _operations(file: _File) -> list[Operation]:
    operations = unique([parse(triplet) for triplet in file.symmetry])
    if file.lattice > 0:
        operations += [Operation(-op.rotation, -op.translation) for op in operations]
    shifts = [np.array(shift, dtype=np.float64) for shift in CENTRINGS[abs(file.lattice)]]
    return unique(with_centrings(operations, shifts))


def _check(file: _File, symbols: list[str], sites: np.ndarray, operations: int) -> list[str]:
    """Occupancies and UNIT against what was read."""
    images = np.bincount(sites, minlength=len(file.labels))
    # SHELX's site occupation factor holds the multiplicity of the position; that of others is simply 1.
    partial = [
        f"{label} {factor:g}"
        for label, factor, count in zip(file.labels, file.occupancies, images, strict=True)
        if factor < FULL * count / operations
    ]
    doubled = len({part for part in file.parts if part}) > 1
    problem = None
    if partial or doubled:
        shown = ", ".join(partial[:6]) or "PART 1 and PART 2"
        problem = StructureError(f"sites are partly occupied ({shown}); make an ordered structure of it first")
    if doubled or not file.unit or len(file.unit) != len(file.elements):
        if problem is not None:
            raise problem
        return []
    said: dict[str, float] = {}
    for element, count in zip(file.elements, file.unit, strict=True):
        if count > 0:
            said[element] = said.get(element, 0.0) + count
    try:
        # Whoever gave fewer operations than the factors were made for means full sites, if UNIT agrees.
        return compare(symbols, said, "UNIT", 1.0)
    except StructureError as error:
        bare = operations == 1 and all(count == 1 for count in file.unit)  # AIRSS writes ones
        if problem is None and bare and set(said) == set(symbols):
            return []
        raise (problem or error) from error


def _parse(text: str) -> _File:
    file = _File()
    ended, part = False, 0
    for line in re.sub(r"=[ \t]*(!.*)?\r?\n", " ", text).splitlines():
        words = line.partition("!")[0].split()
        if not words:
            continue
        key = words[0].upper().partition("_")[0][:4]
        if key == "END":
            ended = True
        elif key == "TITL":
            file.title = line[4:].strip()
        elif key == "PART":
            part = int(_float(words, 1, line))
        elif key in INSTRUCTIONS:
            _instruction(file, key, words, line)
        elif re.fullmatch(r"[Qq]\d+", words[0]):
            file.skipped += 1
        elif not ended:
            _atom(file, words, line, part)
    return file


def _instruction(file: _File, key: str, words: list[str], line: str) -> None:
    numbers = [_float(words, index, line) for index in range(1, len(words))] if key in NUMERIC else []
    if key == "CELL":
        file.cell = numbers[-6:]
    elif key == "LATT":
        file.lattice = int(numbers[0]) if numbers else 1
    elif key == "SYMM":
        file.symmetry.append("".join(words[1:]))
    elif key == "SFAC":
        names = words[1:2] if len(words) > 3 and _is_number(words[2]) else words[1:]
        for name in names:
            symbol = element_of(name.lstrip("$").capitalize())
            if symbol is None:
                msg = f"SFAC names {name}, which is no element; write its symbol"
                raise StructureError(msg)
            file.elements.append(symbol)
    elif key == "UNIT":
        file.unit = numbers
    elif key == "FVAR":
        file.variables += numbers


NUMERIC = {"CELL", "LATT", "UNIT", "FVAR"}


def _atom(file: _File, words: list[str], line: str, part: int) -> None:
    if len(words) < 5 or not words[1].lstrip("-").isdigit():
        msg = f"the line {line.strip()!r} is neither an instruction of SHELX nor an atom (name, type, x, y, z)"
        raise StructureError(msg)
    kind = int(words[1])
    if not 1 <= abs(kind) <= len(file.elements):
        msg = f"atom {words[0]} is of type {kind}, but SFAC names {len(file.elements)} elements"
        raise StructureError(msg)
    if kind < 0:
        file.skipped += 1  # a peak that refinement was told to leave out
        return
    file.labels.append(words[0])
    file.symbols.append(file.elements[kind - 1])
    file.places.append([_variable(file, _float(words, index, line)) for index in (2, 3, 4)])
    file.occupancies.append(_variable(file, _float(words, 5, line)) if len(words) > 5 else 1.0)
    file.parts.append(part)


def _variable(file: _File, value: float) -> float:
    """10 + p is p, fixed; 10 n + p is p times the n-th free variable, -(10 n + p) is p times one minus it."""
    number = math.floor((abs(value) + 5) / 10)
    if number == 0:
        return value
    size = abs(value) - 10 * number
    if number == 1:
        return math.copysign(1.0, value) * size
    if number > len(file.variables):
        msg = f"{value:g} refers to free variable {number}, but FVAR has {len(file.variables)}"
        raise StructureError(msg)
    free = file.variables[number - 1]
    return size * (free if value > 0 else 1 - free)


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _float(words: list[str], index: int, line: str) -> float:
    word = words[index] if index < len(words) else ""
    word = re.sub(r"\(\d+\)$", "", word)
    if not _is_number(word):
        msg = f"{word or 'nothing'} in the line {line.strip()!r} is no number"
        raise StructureError(msg)
    return float(word)
