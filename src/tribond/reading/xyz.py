"""XYZ and extended XYZ: the counts are checked before ASE reads, and labels become elements where they are plain."""

import re
from collections.abc import Iterable, Iterator

from ase.data import atomic_numbers

from tribond.errors import StructureError
from tribond.reading.elements import of_labels

WIDEST = 10_000  # numbers in a column
PROPERTIES = re.compile(r'Properties="?([A-Za-z0-9_:-]+)', re.IGNORECASE)


def check_counts(lines: Iterable[str]) -> None:
    """Raise StructureError where a frame claims more atoms than there are lines, or frames follow an empty line.

    ASE's reader waits for the lines that are not there, and leaves out without a word what follows an empty line.
    """
    claimed = 0
    left, frame, empty = 0, -1, 0  # lines of the frame that are still to come; its number; line that was empty
    for number, line in enumerate(lines, 1):
        if left:
            if left == claimed + 1:
                _check_widths(line, frame)
            left -= 1
        elif empty:
            if line.strip():
                raise StructureError(_after_empty(empty, number))
        elif not line.strip():
            empty = number
        else:
            word = line.split(maxsplit=1)[0]
            if not word.isdigit():
                return  # lattice vectors behind the atoms, or a mistake that ASE explains
            left, frame, claimed = int(word) + 1, frame + 1, int(word)
    if left:
        raise StructureError(f"structure {frame} {_cut_off(claimed, claimed - left)}")


def _check_widths(comment: str, frame: int) -> None:
    """ASE makes a list as long as a column claims to be wide, whatever the lines hold."""
    named = PROPERTIES.search(comment)
    widths = [] if named is None else named[1].split(":")[2::3]
    if any(word.isdigit() and int(word) > WIDEST for word in widths):
        msg = f"structure {frame}: a column of {max(int(word) for word in widths if word.isdigit())} numbers an atom; Properties is damaged"
        raise StructureError(msg)


def split_frames(text: str) -> list[str | StructureError]:
    """The text of every frame; where no more can be told apart, an error in its place, and that is the last."""
    lines = text.split("\n")
    parts: list[str | StructureError] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            rest = next((number for number in range(at, len(lines)) if lines[number].strip()), None)
            if rest is not None:
                parts.append(StructureError(_after_empty(at + 1, rest + 1)))
            break
        word = lines[at].split()[0]
        if not word.isdigit():
            parts.append(StructureError(f"line {at + 1} must be the number of atoms, not {lines[at].strip()[:40]!r}"))
            break
        there = len(lines) - at - 2 - (not lines[-1].strip())
        if int(word) > there:
            parts.append(StructureError(_cut_off(int(word), there)))
            break
        parts.append("\n".join(lines[at : at + 2 + int(word)]) + "\n")
        at += 2 + int(word)
    return parts


def _cut_off(claimed: int, there: int) -> str:
    return f"claims {claimed} atoms, but {max(there, 0)} lines follow; the file is cut off"


def _after_empty(empty: int, rest: int) -> str:
    return f"line {empty} is empty, but line {rest} goes on: remove the empty line, or the structures after it would be left out"


def with_elements(text: str) -> str:
    """The same file with elements instead of labels such as Ow2, Na+ and D.

    Raises:
        StructureError: naming frame, atom and label where a label does not say the element.
    """
    lines = text.split("\n")
    for frame, first, rows, columns in _frames(lines):
        column = columns.get("species", columns.get("symbols", 0))
        words = [line.split() for line in rows]
        if any(len(row) <= column for row in words):
            msg = f"structure {frame}: an atom has too few columns"
            raise StructureError(msg)
        try:
            symbols = of_labels([row[column] for row in words], capitals=True)
        except StructureError as error:
            msg = f"structure {frame}: {error}" if frame else str(error)
            raise StructureError(msg) from error
        for number, (row, symbol) in enumerate(zip(words, symbols, strict=True)):
            if row[column] != symbol:
                row[column] = symbol
                lines[first + number] = " ".join(row)
    return "\n".join(lines)


def check_numbers(text: str) -> None:
    """Raise StructureError where a column Z contradicts the species: ASE would take Z."""
    if ":Z:I:1" not in text:
        return
    for frame, _, rows, columns in _frames(text.split("\n")):
        if not {"species", "Z"} <= columns.keys():
            continue
        for number, row in enumerate(line.split() for line in rows):
            symbol, z = row[columns["species"]], row[columns["Z"]]
            if symbol in atomic_numbers and z != str(atomic_numbers[symbol]):
                msg = f"structure {frame}: atom {number} is {symbol}, but its Z is {z}; correct or remove a column"
                raise StructureError(msg)


def _frames(lines: list[str]) -> Iterator[tuple[int, int, list[str], dict[str, int]]]:
    """Number, first line, lines and columns of every frame."""
    at = frame = 0
    while at + 1 < len(lines) and lines[at].strip():
        count = int(lines[at].split()[0]) if lines[at].split()[0].isdigit() else 0
        if count == 0:
            return
        yield frame, at + 2, lines[at + 2 : at + 2 + count], _columns(lines[at + 1])
        at += 2 + count
        frame += 1


def _columns(comment: str) -> dict[str, int]:
    """Where every property begins; ASE gives the number of a column called Z to the atom, whatever its species is."""
    named = PROPERTIES.search(comment)
    fields = [] if named is None else named[1].split(":")
    columns: dict[str, int] = {}
    at = 0
    for name, width in zip(fields[::3], fields[2::3], strict=False):
        columns.setdefault(name if name == "Z" else name.lower(), at)
        at += int(width) if width.isdigit() else 0
    return columns
