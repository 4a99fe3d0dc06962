"""Frames of several sets as one, of which some lie in a store: only what is asked for is read."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self, cast, overload

import numpy as np
from numpy.typing import NDArray

from tribond.data.composition import Composition
from tribond.data.frame_set import Digest, FrameSet
from tribond.data.frame_table import FrameTable
from tribond.data.frames import LABELS, Frame, Label


@dataclass(frozen=True, eq=False)
class JoinedFrames(FrameSet):
    """Rows of several sets, in any order."""

    parts: tuple[FrameSet, ...]
    part: NDArray[np.int16]  # (frames,) which set each is of
    row: NDArray[np.int64]  # (frames,) and where in it
    sizes: NDArray[np.int64]
    energies: NDArray[np.float64]
    sources: NDArray[np.int64]
    largest_forces: NDArray[np.float64]
    largest_stresses: NDArray[np.float64]
    has_forces: NDArray[np.bool_]
    has_stress: NDArray[np.bool_]

    @classmethod
    def of(cls, parts: Sequence[FrameSet]) -> Self:
        """All frames of several sets, in order."""
        flat: list[FrameSet] = []
        where, rows = [], []
        for given in parts:
            inner = given.parts if isinstance(given, JoinedFrames) else (given,)
            places = []
            for it in inner:
                if not any(it is other for other in flat):
                    flat.append(it)
                places.append(next(number for number, other in enumerate(flat) if other is it))
            part = given.part if isinstance(given, JoinedFrames) else np.zeros(len(given), dtype=np.int16)
            where.append(np.array(places, dtype=np.int16)[part])
            rows.append(given.row if isinstance(given, JoinedFrames) else np.arange(len(given)))
        return cls(
            parts=tuple(flat),
            part=np.concatenate(where),
            row=np.concatenate(rows),
            **{name: np.concatenate([getattr(it, name) for it in parts]) for name in ARRAYS if "has_" not in name},
            has_forces=np.concatenate([it.has("forces") for it in parts]),
            has_stress=np.concatenate([it.has("stress") for it in parts]),
        )

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Some of the frames, by mask or by index, in that order."""
        rows = np.flatnonzero(which) if which.dtype == np.bool_ else which
        return replace(self, part=self.part[rows], row=self.row[rows], **{n: getattr(self, n)[rows] for n in ARRAYS})

    def shifted(self, energies: NDArray[np.float64]) -> Self:
        """The same with (frames,) eV added to the energies."""
        return replace(self, energies=self.energies + energies)

    def has(self, label: Label) -> NDArray[np.bool_]:
        """(frames,) which of them have this label."""
        known: dict[Label, NDArray[np.bool_]] = {"forces": self.has_forces, "stress": self.has_stress}
        return ~np.isnan(self.energies) if label == "energy" else known[label]

    @cached_property
    def composition(self) -> Composition:
        """Elements of each."""
        whole = Composition.joined([part.composition for part in self.parts])
        first = np.concatenate([[0], np.cumsum([len(part) for part in self.parts])])
        return whole.take(first[self.part] + self.row)

    def structure(self, index: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Numbers (atoms,), positions (atoms, 3) Å, cell (3, 3) Å and pbc (3,) of one."""
        return self.parts[self.part[index]].structure(int(self.row[index]))

    def origin(self, index: int) -> str:
        """File and index, for messages."""
        return self.parts[self.part[index]].origin(int(self.row[index]))

    def known_edges(self, cutoff: float) -> NDArray[np.int64] | None:
        """(frames,) bonds of each within this cutoff, Å, if all were ever counted."""
        result = np.zeros(len(self), dtype=np.int64)
        for number, part in enumerate(self.parts):
            mine = self.part == number
            known = part.known_edges(cutoff) if mine.any() else None
            if known is None and mine.any():
                return None
            if known is not None:
                result[mine] = known[self.row[mine]]
        return result

    def fold(self, folds: int, by: str, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """(rows,) the part that each belongs to, if "composition" or "id" decides over it."""
        parts, within = (self.part, self.row) if rows is None else (self.part[rows], self.row[rows])
        result = np.zeros(len(parts), dtype=np.int64)
        for number, part in enumerate(self.parts):
            mine = parts == number
            if mine.any():
                result[mine] = part.fold(folds, by, within[mine])
        return result

    def update(self, digest: Digest) -> None:
        """Sets that lie in memory frame by frame, stores by the digest they have."""
        for number, part in enumerate(self.parts):
            mine = np.flatnonzero(self.part == number)
            if isinstance(part, FrameTable):
                part.take(self.row[mine]).update(digest)
            else:
                part.update(digest)
                digest.update(self.row[mine].tobytes())
        labels = np.stack([self.has(label) for label in LABELS])
        digest.update(b"|".join(it.tobytes() for it in (self.part, self.sources, self.energies, labels)))

    def loaded(self) -> FrameTable:
        """All in memory: for a few."""
        return FrameTable.of(list(self))

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.row)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> "JoinedFrames": ...
    def __getitem__(self, index: int | slice) -> "Frame | JoinedFrames":
        """One frame, or a set of some."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        frame = self.parts[self.part[index]][int(self.row[index])]
        energy = float(self.energies[index])
        return replace(
            frame,
            energy=None if np.isnan(energy) else energy,
            forces=frame.forces if self.has_forces[index] else None,
            stress=frame.stress if self.has_stress[index] else None,
            source=int(self.sources[index]),
        )


ARRAYS = tuple(field.name for field in fields(JoinedFrames) if field.name not in ("parts", "part", "row"))


def joined(parts: Sequence[FrameSet]) -> FrameSet:
    """All frames of several sets, in order: a table if all are tables."""
    if all(isinstance(part, FrameTable) for part in parts):
        return FrameTable.joined(cast("Sequence[FrameTable]", parts))
    return JoinedFrames.of(parts)


def frame_set(frames: Sequence[Frame]) -> FrameSet:
    """The same frames as a set; itself if it is one."""
    return frames if isinstance(frames, FrameSet) else FrameTable.of(frames)
