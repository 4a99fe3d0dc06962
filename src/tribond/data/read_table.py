"""Labelled structures from files, as a table: fast where the format allows it, and kept for the next start."""

import bz2
import gzip
import hashlib
import logging
import lzma
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase
import numpy as np

from tribond.data.array_cache import ArrayCache, Arrays
from tribond.data.extxyz import read_plain
from tribond.data.frame_table import ARRAYS, FrameTable
from tribond.data.frames import expand, read_one
from tribond.data.labels import LABELS, STRESS_FACTORS, Label, LabelKeys, Seen, StressUnit, size_notes
from tribond.reading.content import Options
from tribond.reading.names import parse_index, split_index
from tribond.reading.read import HARMLESS, LARGEST_RATIO

logger = logging.getLogger(__name__)

FORMAT = 2  # of what is kept; to be raised whenever reading changes
WORTH_KEEPING = 1000  # structures | what is read in a moment is not kept
SILENCE = 10.0  # s between two lines that say how far reading is
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def read_table(
    patterns: str | Sequence[str],
    *,
    labels: Iterable[Label] = LABELS,
    stress_unit: StressUnit = "eV/A^3",
    source: int = 0,
    cache: ArrayCache | None = None,
    keys: LabelKeys | None = None,
    options: Options | None = None,
    on_note: Callable[[str], None] = logger.warning,
) -> FrameTable:
    """Read labelled structures: the same as `read_frames`, faster.

    Args:
        patterns: file names; a file of exactly this name, else `*` and `name@INDEX`. Compressed files are fine.
        labels: which labels to take; the others are left out even if the file has them.
        stress_unit: of the file.
        source: number to put into the frames.
        cache: keeps what was read, by the content of the file.
        keys: names of the labels, where they are not ASE's.
        options: format, and elements of types.
        on_note: called with what the user should know.

    Raises:
        DataError: if a pattern matches nothing, a file cannot be read, or holds no label at all.
    """
    cache = ArrayCache(None) if cache is None else cache
    settings = _Settings(tuple(sorted(set(labels))), stress_unit, keys or LabelKeys(), options or Options())
    files = expand(patterns)
    tables = []
    said = time.monotonic()
    for number, file in enumerate(files, 1):
        table, notes = _read_kept(file, settings, cache)
        tables.append(table)
        for text in notes:
            on_note(f"{file}: {text}")
        if number < len(files) and time.monotonic() - said > SILENCE:
            said = time.monotonic()
            logger.info("read %d of %d files, %d structures so far", number, len(files), sum(map(len, tables)))
    table = FrameTable.joined(tables)
    return replace(table, sources=np.full(len(table), source, dtype=np.int64))


@dataclass(frozen=True)
class _Settings:
    """All that the result of reading depends on, but for the file."""

    labels: tuple[Label, ...]
    stress_unit: StressUnit
    keys: LabelKeys
    options: Options


def _read_kept(file: str, settings: _Settings, cache: ArrayCache) -> tuple[FrameTable, list[str]]:
    def make() -> Arrays:
        table, notes = read_file(file, settings)
        return {name: getattr(table, name) for name in ARRAYS} | {"notes": np.array(notes, dtype=np.str_)}

    if cache.folder is None:
        return read_file(file, settings)
    path, index = split_index(file)
    if not path.is_file():  # a pipe would be waited for
        return read_file(file, settings)
    known = repr((FORMAT, ase.__version__, settings, index, "".join(path.suffixes)))
    digest = hashlib.sha256(known.encode())
    try:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError:
        return read_file(file, settings)  # which says what is wrong
    arrays = dict(
        cache.get("structures", digest.hexdigest(), make, keep=lambda new: len(new["energies"]) >= WORTH_KEEPING)
    )
    notes = [str(text) for text in arrays.pop("notes")]
    table = FrameTable(**arrays, origins=(path.name,))
    # One name for all: the file may be called otherwise by now.
    numbers = np.arange(len(table)) if index is None else table.indices
    return replace(table, files=np.zeros(len(table), dtype=np.int64), indices=numbers), notes


def read_file(file: str, settings: _Settings) -> tuple[FrameTable, list[str]]:
    """All frames of one file that its name asks for, and notes.

    Raises:
        DataError: if it cannot be read, or holds no label at all.
    """
    settings.keys.check()
    path, index = split_index(file)
    seen = Seen.nothing()
    plain = _read_plain(path, settings, seen)
    if plain is not None and index is not None:
        wanted = parse_index(index)
        rows = np.arange(len(plain))
        plain = plain.take(rows[wanted] if isinstance(wanted, slice) else np.atleast_1d(rows[wanted or 0]))
    table = None if plain is None else _with_labels(plain, settings.labels, settings.stress_unit)
    # ASE reads what is not plain, and finds the words for what is wrong.
    if table is None or not any(table.has(label).any() for label in LABELS):
        frames, said = read_one(file, set(settings.labels), settings.stress_unit, settings.keys, settings.options)
        table = FrameTable.of(frames)
        numbers = np.array([int(frame.origin.rpartition("#")[2]) for frame in frames], dtype=np.int64)
        return replace(table, files=np.zeros(len(table), dtype=np.int64), indices=numbers, origins=(path.name,)), said
    largest = np.full(len(table), np.nan)
    forced = np.flatnonzero(table.has_forces & (table.sizes > 0))
    if len(forced):
        size = np.abs(table.forces).max(axis=1, initial=0.0)
        largest[forced] = np.maximum.reduceat(np.append(size, 0.0), table.offsets[:-1])[forced]
    said = seen.notes(settings.labels, settings.keys)
    return table, said + size_notes(table.stresses, largest, settings.stress_unit)


def _read_plain(path: Path, settings: _Settings, seen: Seen) -> FrameTable | None:
    opener = OPENERS.get(path.suffix)
    kind = path.suffix if opener is None else Path(path.stem).suffix
    if kind not in (".extxyz", ".xyz") or settings.options.format not in (None, "extxyz"):
        return None
    try:
        if not path.is_file():
            return None
        limit = max(HARMLESS, LARGEST_RATIO * path.stat().st_size)
        with (opener or open)(path, "rb") as stream:
            content = stream.read(limit + 1)
        text = content.decode("utf-8") if len(content) <= limit else ""
    except (OSError, EOFError, ValueError, lzma.LZMAError):
        return None
    text = text.replace("\r\n", "\n")
    table = read_plain(text, path.name, settings.keys, seen)
    if table is not None and "virial" in "".join(seen.taken) and settings.stress_unit != "eV/A^3":
        return None  # virials are eV whatever the stresses are
    return table


def _with_labels(table: FrameTable, labels: Sequence[Label], stress_unit: StressUnit) -> FrameTable:
    """Without the labels that were not asked for, and without stresses where there is no volume."""
    factor = STRESS_FACTORS[stress_unit]
    stressed = np.flatnonzero(table.pbc.all(axis=1)) if "stress" in labels else np.zeros(0, dtype=np.int64)
    stresses = np.full_like(table.stresses, np.nan)
    stresses[stressed] = table.stresses[stressed] * factor
    forced = table.has_forces & ("forces" in labels)
    return replace(
        table,
        energies=table.energies if "energy" in labels else np.full(len(table), np.nan),
        stresses=stresses,
        forces=table.forces if "forces" in labels else np.full_like(table.forces, np.nan),
        has_forces=forced,
    )
