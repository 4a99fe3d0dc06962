"""Structures of long files, a few hundred at a time: a trajectory of any length takes little memory."""

import bz2
import gzip
import lzma
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from ase import Atoms

from tribond.errors import StructureError
from tribond.reading.checks import checked
from tribond.reading.content import Found, Options
from tribond.reading.names import parse_index, split_index, unpacked
from tribond.reading.read import read_file

OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
TEXT = {".xyz", ".extxyz"}
TRAJECTORY = b"- of UlmASE-Trajectory"
MOST_ATOMS = 10_000_000  # in one structure: more is a broken number


def read_chunks(name: str, size: int, options: Options | None = None) -> Iterator[list[tuple[int, Found]]]:
    """The structures of a file with their numbers in it, in order; a bad one has an error in its place.

    ASE's trajectories and extended XYZ, compressed or not, are read piece by piece, other formats as a whole.

    Args:
        name: of the file, perhaps with @INDEX; without, all of its structures.
        size: most structures at once.
        options: what the user says about it.

    Raises:
        StructureError: if the file cannot be read, or there is no structure of this index.
        OSError: of the file system.
    """
    path, index = split_index(name)
    wanted = parse_index(index)
    ahead = wanted is None or (
        isinstance(wanted, slice) and min(wanted.start or 0, wanted.stop or 0) >= 0 and (wanted.step or 1) > 0
    )
    numbered = _all(path, options or Options(), size) if ahead else enumerate(_whole(path, options or Options()))
    if wanted is not None:
        if not ahead:
            every = list(numbered)
            try:
                numbered = iter(every[wanted] if isinstance(wanted, slice) else [every[wanted]])
            except IndexError:
                raise StructureError(f"no structure {index}: the file holds {len(every)}, counted from 0") from None
        elif isinstance(wanted, slice):
            numbered = islice(numbered, wanted.start, wanted.stop, wanted.step)
    empty = True
    while chunk := list(islice(numbered, size)):
        empty = False
        yield chunk
    if empty:
        raise StructureError("there is no structure in this file" if index is None else f"no structure {index}")


def _whole(path: Path, options: Options) -> Iterator[Found]:
    yield from read_file(path, slice(None), options).found


def _all(path: Path, options: Options, size: int) -> Iterator[tuple[int, Found]]:
    """Every structure with its number."""
    if not path.is_file():
        read_file(path, slice(None), options)  # which says what is wrong
    with path.open("rb") as stream:
        head = stream.read(len(TRAJECTORY))
    named = options.format
    if head == TRAJECTORY and named in {None, "traj"}:
        return enumerate(_trajectory(path))
    if unpacked(path).suffix in TEXT and named in {None, "xyz", "extxyz"}:
        return enumerate(_texts(path, head, options, size))
    return enumerate(_whole(path, options))


def _trajectory(path: Path) -> Iterator[Found]:
    from ase.io.trajectory import Trajectory

    with Trajectory(str(path)) as frames:
        for number in range(len(frames)):
            yield _checked(frames[number])


def _checked(atoms: Atoms) -> Found:
    try:
        checked(atoms)
    except StructureError as error:
        return error
    return atoms


def _texts(path: Path, head: bytes, options: Options, size: int) -> Iterator[Found]:
    opener = next((opener for magic, opener in OPENERS.items() if head.startswith(magic)), open)
    with opener(path, "rt", encoding="utf-8", errors="replace") as text, tempfile.TemporaryDirectory() as folder:
        piece = Path(folder) / unpacked(path).name
        while lines := _piece(text, size):
            piece.write_text("".join(lines), encoding="utf-8")
            try:
                yield from read_file(piece, slice(None), options).found
            except StructureError as error:  # a single structure
                yield error


def _piece(text: IO[str], size: int) -> list[str]:
    """The lines of so many structures; where none begins all that is left, for the reader to say what is wrong."""
    lines: list[str] = []
    for _ in range(size):
        first = text.readline()
        while first and not first.strip():
            first = text.readline()
        if not first:
            break
        lines.append(first)
        count = first.strip()
        if not (count.isascii() and count.isdecimal() and int(count) <= MOST_ATOMS):
            lines += text.readlines()
            break
        lines += islice(text, int(count) + 1)
    return lines
