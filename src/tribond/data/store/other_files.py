"""Everything else that can be read: trajectories, databases of ASE, one structure a file."""

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.db.row import AtomsRow
from ase.io.jsonio import object_hook

from tribond.data.frames import Frame, read_one
from tribond.data.labels import LABELS, STRESS_FACTORS, Seen, find
from tribond.data.store.extxyz_files import record_of
from tribond.data.store.opening import why
from tribond.data.store.record import Bad, Found, Reader
from tribond.data.store.settings import ReadSettings
from tribond.errors import DataError, StructureError

RESERVED = {"nextid", "deleted_ids", "metadata"}  # keys of an aselmdb that are no structures
MOST_UNPACKED = 1 << 28  # bytes of one row
Note = Callable[[str], object]


def read_other(path: Path, settings: ReadSettings, on_note: Note) -> Reader:
    """The structures of a file that one of tribond's or ASE's readers reads, all at once."""
    bad: list[Bad] = []

    def on_bad(error: DataError) -> None:
        text = str(error)
        number = text.partition("structure ")[2].partition(" ")[0]
        bad.append(Bad(int(number) if number.isdecimal() else len(bad), text))

    try:
        frames, notes = read_one(
            str(path), set(LABELS), settings.unit(), settings.keys, settings.options, on_bad=on_bad
        )
    except DataError as error:
        yield from bad
        yield Bad(len(bad), str(error), "unlabelled" if "none of its" in str(error) else "lost")
        return
    for note in notes:
        on_note(note)
    yield from bad
    for frame in frames:
        yield record_of(frame, int(frame.origin.rpartition("#")[2]), None)


def read_database(path: Path, settings: ReadSettings, on_note: Note) -> Reader:
    """The rows of a database of ASE (SQLite), one by one."""
    from ase.db import connect

    try:
        rows: Iterator[AtomsRow] = connect(path, type="db", use_lock_file=False).select()
        yield from _of_rows(rows, path, settings, on_note)
    except (sqlite3.Error, KeyError, ValueError, OSError) as error:
        yield Bad(0, f"the rest of the file cannot be read: {why(error)}", "lost")


def read_aselmdb(path: Path, settings: ReadSettings, on_note: Note) -> Reader:
    """The rows of an aselmdb, which OMat24 and others come in: packed JSON in an LMDB. Nothing else in one is read."""
    import lmdb

    try:
        with lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False) as environment:
            yield from _of_rows(_lmdb_rows(environment), path, settings, on_note)
    except lmdb.Error as error:
        yield Bad(0, f"the rest of the file cannot be read: {error}", "lost")


def _lmdb_rows(environment: Any) -> Iterator[AtomsRow | Bad]:
    with environment.begin() as transaction:
        count = 0
        deleted = transaction.get(b"deleted_ids")
        gone = set(_unpacked(deleted)) if deleted else set()
        following = transaction.get(b"nextid")
        if following is None:
            yield Bad(0, "this LMDB is no database of ASE: it has no nextid; files with pickles are not read", "lost")
            return
        for row in range(1, int(_unpacked(following))):
            if row in gone:
                continue
            content = transaction.get(str(row).encode())
            try:
                if content is None:
                    raise DataError("the row is missing")
                yield AtomsRow({"id": row, **_unpacked(content)})
            except (ValueError, TypeError, KeyError, zlib.error, DataError) as error:
                yield Bad(count, f"row {row}: {why(error)}")
            count += 1


def _unpacked(content: bytes) -> Any:
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(content, MOST_UNPACKED)
    if unpacker.unconsumed_tail:
        raise DataError("it unpacks to more than any structure")
    return json.loads(plain, object_hook=object_hook)


def _of_rows(rows: Iterator[AtomsRow | Bad], path: Path, settings: ReadSettings, on_note: Note) -> Iterator[Found]:
    seen = Seen.nothing()
    for number, row in enumerate(rows):
        if isinstance(row, Bad):
            yield row
            continue
        yield _of_row(row, number, path, settings, seen)
    seen.check_units(LABELS, settings.unit(), str(path))
    for note in seen.notes(LABELS, settings.keys):
        on_note(note)


def _of_row(row: AtomsRow, number: int, path: Path, settings: ReadSettings, seen: Seen) -> Found:
    try:
        atoms: Atoms = row.toatoms(add_additional_information=True)
        found = find(atoms, settings.keys, set(LABELS), seen, f"{path.name}#{number}")
    except (DataError, StructureError, KeyError, ValueError, TypeError, AttributeError) as error:
        return Bad(number, f"row {getattr(row, 'id', number)}: {why(error)}")
    pairs = {**(atoms.info.get("data") or {}), **(atoms.info.get("key_value_pairs") or {})}
    name = next((str(pairs[key]) for key in settings.id_keys if key in pairs), None)
    frame = Frame(atoms, found.get("energy"), found.get("forces"), found.get("stress"), origin="")
    return record_of(frame, number, name, 1.0 if found.get("is_virial") else STRESS_FACTORS[settings.unit()])
