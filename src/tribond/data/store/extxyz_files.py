"""Extended XYZ of any length, some hundred structures at a time, compressed or not."""

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tribond.data.extxyz import read_plain
from tribond.data.frame_table import FrameTable
from tribond.data.frames import Frame, read_one
from tribond.data.labels import LABELS, STRESS_FACTORS, Seen
from tribond.data.store.opening import DAMAGED, text_of, why
from tribond.data.store.record import Bad, Found, Reader, Record
from tribond.data.store.settings import ReadSettings
from tribond.errors import DataError

AT_ONCE = 500  # structures
MOST_LINES = 200_000
MOST_ATOMS = 10_000_000  # in one structure: more is a broken number

Block = list[str]
Note = Callable[[str], object]


def read_extxyz(path: Path, settings: ReadSettings, on_note: Note) -> Reader:
    """The structures of an extended XYZ file; what cannot be used in their place."""
    seen = Seen.nothing()
    first = 0
    blocks: list[Block] = []
    try:
        with text_of(path) as text:
            for it in _blocks(text):
                if isinstance(it, str):
                    yield from _records(blocks, first, path, settings, seen, on_note)
                    first, blocks = first + len(blocks) + 1, []
                    yield Bad(first - 1, it)
                    continue
                blocks.append(it)
                if len(blocks) == AT_ONCE or sum(map(len, blocks)) > MOST_LINES:
                    yield from _records(blocks, first, path, settings, seen, on_note)
                    first, blocks = first + len(blocks), []
    except DAMAGED as error:
        yield from _records(blocks, first, path, settings, seen, on_note)
        yield Bad(first + len(blocks), f"the rest of the file cannot be read: {why(error)}", "lost")
        blocks = []
    yield from _records(blocks, first, path, settings, seen, on_note)
    for note in seen.notes(LABELS, settings.keys):
        on_note(note)


def _blocks(text: IO[str]) -> Iterator[Block | str]:
    """The lines of each structure, or what is wrong where none begins."""
    number = 0
    lost_from = 0
    ahead: str | None = None
    while True:
        line = ahead if ahead is not None else text.readline()
        ahead = None
        number += 1
        if not line:
            break
        size = line.strip()
        if not size and not lost_from:
            continue
        if not size.isascii() or not size.isdecimal() or not 0 < int(size) <= MOST_ATOMS:
            lost_from = lost_from or number
            continue
        comment = text.readline()
        if lost_from:
            if "=" not in comment:  # a number alone begins no structure
                ahead = comment
                continue
            yield f"lines {lost_from} to {number - 1} are no structure: a number of atoms and a comment were expected"
            lost_from = 0
        block = [line, comment, *(text.readline() for _ in range(int(size)))]
        number += 1 + int(size)
        if not block[-1]:
            yield f"the file ends in the middle of the structure that begins at line {number - 1 - int(size)}"
            return
        yield [it.rstrip("\r\n") for it in block]
    if lost_from:
        yield f"lines {lost_from} to {number - 1} are no structure: a number of atoms and a comment were expected"


def _records(
    blocks: list[Block], first: int, path: Path, settings: ReadSettings, seen: Seen, on_note: Note
) -> Iterator[Found]:
    if not blocks:
        return
    table = _plain(blocks, path, settings, seen)
    if table is None:
        yield from _by_ase(blocks, first, path, settings, on_note)
        return
    seen.check_units(LABELS, settings.unit(), str(path))
    virials = "virial" in "".join(seen.taken)
    factor = 1.0 if virials else STRESS_FACTORS[settings.unit()]
    for row, frame in enumerate(table):
        yield record_of(frame, first + row, id_in(blocks[row][1], settings.id_keys), factor)


def _plain(blocks: list[Block], path: Path, settings: ReadSettings, seen: Seen) -> FrameTable | None:
    if settings.options.format not in (None, "extxyz"):
        return None
    table = read_plain("\n".join("\n".join(block) for block in blocks), path.name, settings.keys, seen)
    mixed = table is not None and "virial" in "".join(seen.taken) and settings.unit() != "eV/A^3"
    return None if mixed else table  # virials are eV whatever the stresses are


def _by_ase(blocks: list[Block], first: int, path: Path, settings: ReadSettings, on_note: Note) -> Iterator[Found]:
    """All at once if that goes well, else one by one."""
    alone = ""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part.extxyz"
        try:
            file.write_text("".join("\n".join(block) + "\n" for block in blocks), encoding="utf-8")
            frames, notes = read_one(str(file), set(LABELS), settings.unit(), settings.keys, settings.options)
            for note in notes:
                on_note(note)
        except DataError as error:
            alone = str(error).replace(f"{file}: ", "").replace(str(file), "it").replace("part.extxyz#0: ", "")
            frames = []
    if not alone:
        for row, frame in enumerate(frames):
            yield record_of(frame, first + row, id_in(blocks[row][1], settings.id_keys))
        return
    if len(blocks) == 1:
        yield Bad(first, alone, "unlabelled" if alone.startswith("none of its") else "unusable")
        return
    half = len(blocks) // 2
    for start, part in ((0, blocks[:half]), (half, blocks[half:])):
        yield from _records(part, first + start, path, settings, Seen.nothing(), on_note)


def record_of(frame: Frame, number: int, name: str | None, factor: float = 1.0) -> Record:
    """What was read, on its way into a store.

    Args:
        frame: from one of tribond's readers.
        number: in its file.
        name: its id.
        factor: eV/Å³ of one unit of its stress.
    """
    return Record(
        number=number,
        numbers=frame.atoms.numbers,
        positions=frame.atoms.positions,
        cell=frame.atoms.cell.array,
        pbc=frame.atoms.pbc,
        energy=frame.energy,
        forces=frame.forces,
        stress=None if frame.stress is None else frame.stress * factor,
        id=name,
    )


def id_in(comment: str, keys: tuple[str, ...]) -> str | None:
    """The id that a comment names."""
    for key in keys:
        found = re.search(rf"(?:^|\s){re.escape(key)}=(?:\"([^\"]*)\"|(\S+))", comment)
        if found:
            return found[1] or found[2]
    return None
