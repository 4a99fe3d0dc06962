"""POSCAR and its kin: counts, symbols and lines are compared before ASE reads, which takes what it finds."""

import re
from collections.abc import Sequence
from pathlib import Path

from tribond.errors import StructureError
from tribond.reading.elements import DEUTERIUM_NOTE, element_of, is_deuterium

NUMBERS = re.compile(
    r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?(?:\s+[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?)*\s*"
)
MOST = 10_000_000  # atoms
TITLE = re.compile(r"^\s*TITEL\s*=\s*\S+\s+(\S+)", re.MULTILINE)  # TITEL = PAW_PBE Na_pv 19Sep2006
LARGEST_POTCAR = 1 << 28  # bytes


def looks_like_poscar(head: bytes) -> bool:
    """Whether the second line is a scale, and three lattice vectors, symbols or counts, and the kind of axes follow."""
    lines = head.decode("latin-1").splitlines()[:10]
    if len(lines) < 8 or not _is_numbers(lines[1], (1, 3)):
        return False
    if not all(_is_numbers(line, (3,)) for line in lines[2:5]):
        return False
    counts = lines[5] if _is_counts(lines[5]) else lines[6]
    return _is_counts(counts)


def elements_of_potcar(folder: Path) -> list[str]:
    """The elements of the POTCAR in a folder, in order; none without it, or if it is none."""
    file = folder / "POTCAR"
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_POTCAR:
            return []
        titles = TITLE.findall(file.read_text(encoding="latin-1"))
    except OSError:
        return []
    found = [element_of(re.split(r"[_/.]", name)[0]) for name in titles]
    return [symbol for symbol in found if symbol is not None] if None not in found else []


def check_poscar(text: str, potcar: Sequence[str] = ()) -> tuple[str, list[str]]:
    """The text for ASE, with symbols mended to plain elements, and notes.

    Args:
        text: of the POSCAR.
        potcar: elements of the POTCAR beside it, which say what the counts count where the POSCAR does not.

    Raises:
        StructureError: if symbols, counts and lines do not agree, or no symbols are there.
    """
    lines = text.splitlines()
    if len(lines) < 8 or not _is_numbers(_head(lines[1], 3), (1, 3)):
        msg = "this is no POSCAR: its second line must be the scale, and at least eight lines are needed"
        raise StructureError(msg)
    if any(float(word.lower().replace("d", "e")) == 0 for word in _head(lines[1], 3).split()):
        msg = "the scale in the second line of this POSCAR is zero; it is usually 1.0"
        raise StructureError(msg)
    for number in (2, 3, 4):
        if not _is_numbers(_head(lines[number], 3), (3,)):
            msg = f"line {number + 1} of this POSCAR must be a lattice vector of three numbers, not {lines[number].strip()!r}"
            raise StructureError(msg)
    notes: list[str] = []
    named = not _is_counts(_plain(lines[5]))
    names = _plain(lines[5] if named else lines[0]).split()
    at = 6 if named else 5
    counts = _counts(lines[at], at)
    if named:
        if len(names) != len(counts):
            msg = f"the file contradicts itself: it names {len(names)} elements ({' '.join(names)}) but has {len(counts)} counts"
            raise StructureError(msg)
        symbols = [_symbol(name) for name in names]
        notes += [DEUTERIUM_NOTE] * any(is_deuterium(name) for name in names)
        lines[5] = " ".join(symbols)
    else:
        symbols, source = _unnamed(lines[0], len(counts), potcar)
        lines.insert(5, " ".join(symbols))
        at += 1
        notes.append(f"the POSCAR names no elements where VASP 5 does; {' '.join(symbols)} were taken from {source}")
    lines[at] = " ".join(map(str, counts))
    total = sum(counts)
    first = at + 1
    if first < len(lines) and lines[first].strip()[:1].lower() == "s":
        first += 1
    mode = lines[first].strip()[:1].lower() if first < len(lines) else ""
    if mode not in {"d", "c", "k", "f"} and not mode.isalpha():
        msg = f"line {first + 1} of this POSCAR must be Direct or Cartesian, not {lines[first].strip() if first < len(lines) else ''!r}"
        raise StructureError(msg)
    rows = lines[first + 1 : first + 1 + total]
    for number, row in enumerate(rows):
        if not _is_numbers(_head(row, 3), (3,)):
            msg = f"the file contradicts itself: it counts {total} atoms, but line {first + 2 + number} is {row.strip()!r}"
            raise StructureError(msg)
    if len(rows) < total:
        msg = f"the file contradicts itself: it counts {total} atoms, but has positions of {len(rows)}"
        raise StructureError(msg)
    _check_rest(rows, lines[first + 1 + total :], symbols, counts)
    return "\n".join(lines) + "\n", notes


def _check_rest(rows: list[str], rest: list[str], symbols: list[str], counts: list[int]) -> None:
    """Labels behind the positions, and what follows without an empty line."""
    if rest and rest[0].strip() and _is_numbers(_head(rest[0], 3), (3,)):
        msg = f"the file contradicts itself: it counts {len(rows)} atoms, but has more lines of positions"
        raise StructureError(msg)
    wanted = [symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)]
    for number, (row, symbol) in enumerate(zip(rows, wanted, strict=True)):
        words = [word for word in row.split()[3:] if word not in {"T", "F", ".TRUE.", ".FALSE."}]
        said = element_of(words[0]) if words and words[0][:1].isalpha() else None
        if said is not None and words[0].rstrip("0123456789") == said and said != symbol:
            msg = (
                f"the file contradicts itself: by its counts atom {number} (counted from 0) is {symbol}, but its line says "
                f"{words[0]}"
            )
            raise StructureError(msg)


def _counts(line: str, at: int) -> list[int]:
    words = _plain(line).split()
    if not words or not all(word.isdigit() for word in words):
        msg = f"line {at + 1} of this POSCAR must be numbers of atoms, not {line.strip()!r}"
        raise StructureError(msg)
    counts = [int(word) for word in words]
    if sum(counts) > MOST:
        msg = f"this POSCAR counts {sum(counts)} atoms; no more than {MOST} are read"
        raise StructureError(msg)
    return counts


def _symbol(name: str) -> str:
    symbol = element_of(re.split(r"[_/.]", name)[0])
    if symbol is None:
        msg = f"{name!r} in the line of symbols of this POSCAR is no element; write its symbol"
        raise StructureError(msg)
    return symbol


def _unnamed(comment: str, wanted: int, potcar: Sequence[str]) -> tuple[list[str], str]:
    """The elements of a POSCAR of VASP 4, and where they stand."""
    if len(potcar) != wanted:
        return _from_comment(comment, wanted), "its first line"
    said = [element_of(word) for word in comment.split()]
    if len(said) == wanted and None not in said and said != list(potcar):
        msg = (
            f"this POSCAR names no elements but in its first line, {comment.strip()!r}, and the POTCAR beside it has others: "
            f"{' '.join(potcar)}; add a line of symbols before the counts"
        )
        raise StructureError(msg)
    return list(potcar), "the POTCAR beside it"


def _from_comment(line: str, wanted: int) -> list[str]:
    words = re.findall(r"[A-Za-z][A-Za-z]?(?![a-z])", line)
    symbols = [symbol for word in words if (symbol := element_of(word)) is not None]
    plain = [word for word in line.split() if re.fullmatch(r"([A-Z][a-z]?\d*)+", word)]
    if len(plain) == 1 and wanted > 1:
        symbols = [symbol for word in re.findall(r"[A-Z][a-z]?", plain[0]) if (symbol := element_of(word)) is not None]
    elif len(plain) >= wanted:
        symbols = [symbol for word in plain[:wanted] if (symbol := element_of(word)) is not None]
    if len(symbols) != wanted:
        msg = (
            f"this POSCAR names no elements: its line 6 holds the {wanted} counts, and its first line, {line.strip()!r}, does "
            "not name as many; add a line of symbols before the counts, or put the POTCAR beside it"
        )
        raise StructureError(msg)
    return symbols


def _plain(line: str) -> str:
    return re.split(r"[!#]", line)[0]


def _head(line: str, count: int) -> str:
    words = _plain(line).split()[:count]
    numbers = [word for word in words if NUMBERS.fullmatch(word)]
    return " ".join(numbers) if len(numbers) in (1, count) else ""


def _is_counts(line: str) -> bool:
    words = line.split()
    return bool(words) and all(word.isdigit() for word in words)


def _is_numbers(line: str, lengths: tuple[int, ...]) -> bool:
    return bool(line.strip()) and NUMBERS.fullmatch(line) is not None and len(line.split()) in lengths
