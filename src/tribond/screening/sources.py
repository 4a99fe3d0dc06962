"""Where the structures of a screening come from, one at a time: nothing here holds them all."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from ase import Atoms

from tribond.errors import ConfigError, StructureError, TribondError
from tribond.reading.checks import checked
from tribond.reading.collections import Files, files_of
from tribond.reading.content import Found, Options
from tribond.reading.names import parse_index, split_index, unpacked
from tribond.reading.read import read_file
from tribond.results.record import file_fingerprint
from tribond.screening.optimade import read_optimade
from tribond.screening.packing import STRUCTURE_NAMES, unpack
from tribond.screening.settings import References, Source
from tribond.screening.substitution import substituted

LARGE = 1 << 25  # bytes | larger files of frames are read frame by frame
DATABASES = {".db"}
FRAMES = {".xyz", ".extxyz"}

Labelled: TypeAlias = tuple[str, Atoms | str]  # label and structure, or label and why there is none


@dataclass(frozen=True)
class Place:
    """A source with its paths, which the file of the screening gives from where it lies."""

    source: Source
    folder: Path

    @property
    def names(self) -> list[str]:
        """Of its files."""
        return [str(self.folder / Path(name).expanduser()) for name in self.source.names]

    @property
    def title(self) -> str:
        """How the record calls it."""
        return f"{self.source.kind} {', '.join(self.source.names)}"


def structures(place: Place) -> Iterator[Labelled]:
    """All structures of a source, those that cannot be read with the reason.

    Raises:
        ConfigError: if a name stands for nothing at all.
    """
    source = place.source
    if source.kind == "prototypes":
        prototypes = Place(Source(files=source.prototypes, format=source.format), place.folder)
        unused = set(source.substitute or ())
        for label, it in structures(prototypes):
            if isinstance(it, str):
                yield label, it
            else:
                unused -= set(it.symbols)
                yield from substituted(label, it, source)
        if unused:
            raise ConfigError(f"sources: substitute: no prototype holds {', '.join(sorted(unused))}; leave it out")
        return
    with files_of(place.names) as files:
        _refuse(files.bad)
        for name, label in _short(files, place.folder):
            if source.kind == "parquet":
                yield from _of_parquet(Path(name), label)
            elif source.kind == "optimade":
                yield from _checked(label, read_optimade(Path(name)))
            else:
                yield from of_file(name, label, Options(format=source.format))


def fingerprint(place: Place) -> str:
    """SHA-256 of all files of a source, in order.

    Raises:
        ConfigError: if a name stands for nothing at all.
    """
    digest = hashlib.sha256()
    with files_of(place.names) as files:
        _refuse(files.bad)
        for name, label in _short(files, place.folder):
            path = Path(name) if Path(name).exists() else split_index(name)[0]
            if not path.is_file():
                raise ConfigError(f"sources: there is no file {path}")
            digest.update(f"{label} {file_fingerprint(path)}\n".encode())
    return digest.hexdigest()


def places_of(references: References, folder: Path) -> Place:
    """Where the references come from."""
    return Place(Source(files=references.files, format=references.format), folder)


def _refuse(bad: list[tuple[str, TribondError]]) -> None:
    for name, error in bad:
        raise ConfigError(f"sources: {name}: {error}")


def _short(files: Files, folder: Path) -> Iterator[tuple[str, str]]:
    """Names with labels that do not tell where the file of the screening lies."""
    start = f"{folder}/"
    for name, label in zip(files.names, files.labels, strict=True):
        yield name, label.removeprefix(start)


def of_file(name: str, label: str, options: Options) -> Iterator[Labelled]:
    """All structures of a file, or those of its @index."""
    path, index = split_index(name)
    label = label if index is None else str(split_index(label)[0])
    try:
        frames = _frames(path, index, options)
        first = next(frames, None)
        if first is None:
            yield label, "there is no structure in this file"
            return
        second = next(frames, None)
        if second is None and index is None:
            yield _said(label, first[1])
            return
        for number, found in _again(first, second, frames):
            yield _said(f"{label}@{number}", found)
    except (TribondError, OSError) as error:
        yield label, str(error)
    except Exception as error:  # noqa: BLE001, whatever a malformed file makes a reader trip over is that file's row
        yield label, f"{type(error).__name__}: {error}"


def _again(
    first: tuple[int, Found], second: tuple[int, Found] | None, rest: Iterable[tuple[int, Found]]
) -> Iterator[tuple[int, Found]]:
    yield first
    if second is not None:
        yield second
    yield from rest


def _said(label: str, found: Found) -> Labelled:
    return label, str(found) if isinstance(found, StructureError) else found


def _frames(path: Path, index: str | None, options: Options) -> Iterator[tuple[int, Found]]:
    """Number and structure; large files of frames and databases a frame at a time."""
    wanted = parse_index(index)
    if isinstance(wanted, int):
        wanted = slice(wanted, wanted + 1 or None)
    wanted = wanted or slice(None)
    negative = any((it or 0) < 0 for it in (wanted.start, wanted.stop, wanted.step))
    if path.suffix in DATABASES and not negative:
        yield from islice(enumerate(_of_database(path)), wanted.start, wanted.stop, wanted.step)
    elif path.suffix in FRAMES and path.is_file() and path.stat().st_size > LARGE and not negative:
        yield from islice(enumerate(_of_frames(path)), wanted.start, wanted.stop, wanted.step)
    else:
        found = read_file(path, slice(None), options).found
        for number in range(len(found))[wanted]:
            yield number, found[number]


def _of_database(path: Path) -> Iterator[Found]:
    from ase.db import connect

    if not path.is_file():
        raise StructureError("no such file")
    with connect(str(path), type="db", serial=True) as database:
        for row in database.select():
            yield _good(row.toatoms())


def _of_frames(path: Path) -> Iterator[Found]:
    """Frames of extended XYZ, each read by the one reader of all files."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder, path.open(encoding="utf-8", errors="replace") as lines:
        single = Path(folder) / unpacked(path).name
        while True:
            head = next((line for line in lines if line.strip()), None)
            if head is None:
                return
            if not head.strip().isdigit():
                yield StructureError(f"a frame must begin with its number of atoms, not {head.strip()[:40]!r}")
                return  # nobody knows where the next one begins
            single.write_text(head + "".join(islice(lines, int(head) + 1)), encoding="utf-8")
            try:
                yield read_file(single, slice(None)).found[0]
            except StructureError as error:
                yield error


def _of_parquet(path: Path, label: str) -> Iterator[Labelled]:
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if not {*STRUCTURE_NAMES} <= {*names}:
                yield label, "this table has no structures; screen with `structures: column` to have them in it"
                return
            chosen = [*STRUCTURE_NAMES, *(name for name in ("label", "status") if name in names)]
            for batch in file.iter_batches(batch_size=1000, columns=chosen):
                for row in batch.to_pylist():
                    if row.get("status") in {None, "kept"}:
                        atoms = unpack(row)
                        yield row.get("label") or label, "no structure in this row" if atoms is None else atoms
    except (OSError, ValueError) as error:
        yield label, f"this is no table as Parquet: {error}"


def _checked(label: str, found: Iterable[tuple[str, Found]]) -> Iterator[Labelled]:
    for name, it in found:
        yield _said(f"{label}@{name}", it if isinstance(it, StructureError) else _good(it))


def _good(atoms: Atoms) -> Found:
    try:
        checked(atoms)
    except StructureError as error:
        return error
    return atoms
