"""Part of a store as one source of a training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tribond.data.frames import Label
from tribond.data.joined_frames import JoinedFrames
from tribond.data.store.store import Store
from tribond.errors import DataError


def read_store(path: Path, *, level: str | None, labels: Sequence[Label], source: int = 0) -> JoinedFrames:
    """The structures of one level of theory, with some of their labels. Their atoms stay on the disk.

    Args:
        path: the folder of the store.
        level: of theory; None if there is only one.
        labels: which to take.
        source: number to put into the frames.

    Raises:
        DataError: if there is no such store or level, or nothing in it has such a label.
    """
    store = Store(path)
    levels = store.levels
    if level is None and len(levels) > 1:
        msg = f"{path} has several levels of theory, each on a zero of energy of its own: say which (level: ...), one source each: {', '.join(levels)}"
        raise DataError(msg)
    if level is not None and level not in levels:
        msg = f"{path} has no level of theory {level!r}; it has {', '.join(levels)}"
        raise DataError(msg)
    frames = JoinedFrames.of([store])
    if level is not None:
        frames = frames.take(np.asarray(store.column("level") == levels.index(level)))
    none = np.zeros(len(frames), dtype=bool)
    missing = np.full(len(frames), np.nan)
    frames = replace(
        frames,
        sources=np.full(len(frames), source, dtype=np.int64),
        energies=frames.energies if "energy" in labels else missing,
        has_forces=frames.has_forces if "forces" in labels else none,
        largest_forces=frames.largest_forces if "forces" in labels else missing,
        has_stress=frames.has_stress if "stress" in labels else none,
        largest_stresses=frames.largest_stresses if "stress" in labels else missing,
    )
    if not any(frames.has(label).any() for label in labels):
        msg = f"{path}: none of its structures has {' or '.join(labels)}"
        raise DataError(msg)
    return frames
