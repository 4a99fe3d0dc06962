"""Labelled structures from files, as a table: fast where the format allows it, and kept for the next start."""

import bz2
import gzip
import hashlib
import logging
import lzma
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import numpy as np

from tribond.data.array_cache import ArrayCache, Arrays
from tribond.data.extxyz import read_plain
from tribond.data.frame_table import ARRAYS, FrameTable
from tribond.data.frames import LABELS, Label, StressUnit, expand, read_frames
from tribond.units import EV_PER_A3_TO_GPA

logger = logging.getLogger(__name__)

FORMAT = 1  # of what is kept; to be raised whenever reading changes
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
) -> FrameTable:
    """Read labelled structures: the same as `read_frames`, faster.

    Args:
        patterns: file names, `*` allowed; compressed files are fine.
        labels: which labels to take; the others are left out even if the file has them.
        stress_unit: of the file.
        source: number to put into the frames.
        cache: keeps what was read, by the content of the file.

    Raises:
        DataError: if a pattern matches nothing, a file cannot be read, or holds no label at all.
    """
    cache = ArrayCache(None) if cache is None else cache
    wanted = sorted(set(labels))
    files = expand(patterns)
    tables = []
    said = time.monotonic()
    for number, file in enumerate(files, 1):
        tables.append(_read_kept(file, wanted, stress_unit, cache))
        if number < len(files) and time.monotonic() - said > SILENCE:
            said = time.monotonic()
            logger.info("read %d of %d files, %d structures so far", number, len(files), sum(map(len, tables)))
    table = FrameTable.joined(tables)
    return replace(table, sources=np.full(len(table), source, dtype=np.int64))


def _read_kept(file: str, labels: list[Label], stress_unit: StressUnit, cache: ArrayCache) -> FrameTable:
    def make() -> Arrays:
        table = read_file(file, labels, stress_unit)
        return {name: getattr(table, name) for name in ARRAYS}

    if cache.folder is None:
        return read_file(file, labels, stress_unit)
    settings = repr((FORMAT, ase.__version__, labels, stress_unit, "".join(Path(file).suffixes)))
    digest = hashlib.sha256(settings.encode())
    try:
        with Path(file).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError:
        return read_file(file, labels, stress_unit)  # which says what is wrong
    arrays = cache.get("structures", digest.hexdigest(), make, keep=lambda new: len(new["energies"]) >= WORTH_KEEPING)
    table = FrameTable(**arrays, origins=(Path(file).name,))
    # One name for all: the file may be called otherwise by now.
    return replace(table, files=np.zeros(len(table), dtype=np.int64), indices=np.arange(len(table)))


def read_file(file: str, labels: Sequence[Label], stress_unit: StressUnit) -> FrameTable:
    """All frames of one file.

    Raises:
        DataError: if it cannot be read, or holds no label at all.
    """
    plain = _read_plain(Path(file))
    table = None if plain is None else _with_labels(plain, labels, stress_unit)
    # ASE reads what is not plain, and finds the words for what is wrong.
    if table is None or not any(table.has(label).any() for label in LABELS):
        return FrameTable.of(read_frames(file, labels=labels, stress_unit=stress_unit))
    return table


def _read_plain(path: Path) -> FrameTable | None:
    opener = OPENERS.get(path.suffix)
    kind = path.suffix if opener is None else Path(path.stem).suffix
    if kind not in (".extxyz", ".xyz"):
        return None
    try:
        with (opener or open)(path, "rt", encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, EOFError, ValueError, lzma.LZMAError):
        return None
    return read_plain(text, path.name)


def _with_labels(table: FrameTable, labels: Sequence[Label], stress_unit: StressUnit) -> FrameTable:
    """Without the labels that were not asked for, and without stresses where there is no volume."""
    factor = 1.0 if stress_unit == "eV/A^3" else 1 / EV_PER_A3_TO_GPA
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
