"""Many labelled structures as a few flat arrays: a hundred thousand objects would take memory and time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from tribond.data.composition import Composition
from tribond.data.frame_set import Digest, FrameSet
from tribond.data.frames import Frame, Label
from tribond.errors import DataError


@dataclass(frozen=True, eq=False)
class FrameTable(FrameSet):
    """A sequence of frames; each is made when it is asked for. NaN marks a label that is missing."""

    offsets: NDArray[np.int64]  # (frames + 1,) where the atoms of each frame start
    numbers: NDArray[np.uint8]  # (atoms,) atomic numbers
    positions: NDArray[np.float64]  # (atoms, 3) Å
    forces: NDArray[np.float64]  # (atoms, 3) eV/Å
    cells: NDArray[np.float64]  # (frames, 3, 3) Å
    pbc: NDArray[np.bool_]  # (frames, 3)
    energies: NDArray[np.float64]  # (frames,) eV, of the whole structure
    stresses: NDArray[np.float64]  # (frames, 3, 3) eV/Å³, ASE's sign
    has_forces: NDArray[np.bool_]  # (frames,) a frame without atoms may have them
    sources: NDArray[np.int64]  # (frames,) see `Frame.source`
    files: NDArray[np.int64]  # (frames,) row of `origins`
    indices: NDArray[np.int64]  # (frames,) in the file; -1 where `origins` says all
    origins: tuple[str, ...]  # names of files, for messages

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> Self:
        """The same frames as a table; itself if it is one. Later changes of the frames do not reach it."""
        if isinstance(frames, cls):
            return frames
        sizes = np.array([len(frame.atoms) for frame in frames], dtype=np.int64)
        no_forces = [np.full((size, 3), np.nan) for size in sizes]
        no_stress = np.full((3, 3), np.nan)
        return cls(
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            numbers=_joined([frame.atoms.numbers for frame in frames], (0,)).astype(np.uint8),
            positions=_joined([frame.atoms.positions for frame in frames], (0, 3)),
            forces=_joined(
                [none if frame.forces is None else frame.forces for frame, none in zip(frames, no_forces, strict=True)],
                (0, 3),
            ),
            cells=np.array([frame.atoms.cell.array for frame in frames], dtype=np.float64).reshape(-1, 3, 3),
            pbc=np.array([frame.atoms.pbc for frame in frames], dtype=bool).reshape(-1, 3),
            energies=np.array([np.nan if frame.energy is None else frame.energy for frame in frames]),
            stresses=np.array(
                [no_stress if frame.stress is None else frame.stress for frame in frames], dtype=np.float64
            ).reshape(-1, 3, 3),
            has_forces=np.array([frame.forces is not None for frame in frames], dtype=bool),
            sources=np.array([frame.source for frame in frames], dtype=np.int64),
            files=np.arange(len(frames)),
            indices=np.full(len(frames), -1),
            origins=tuple(frame.origin for frame in frames),
        )

    @classmethod
    def joined(cls, tables: Sequence["FrameTable"]) -> Self:
        """All frames of several tables, in order."""
        if not tables:
            return cls.of([])
        ends = np.cumsum([0, *(table.offsets[-1] for table in tables)])
        names = np.cumsum([0, *(len(table.origins) for table in tables)])
        together: dict[str, Any] = {
            name: np.concatenate([getattr(table, name) for table in tables])
            for name in ARRAYS
            if name not in ("offsets", "files")
        }
        offsets = [table.offsets[:-1] + end for table, end in zip(tables, ends[:-1], strict=True)]
        return cls(
            **together,
            offsets=np.concatenate([*offsets, ends[-1:]]).astype(np.int64),
            files=np.concatenate([table.files + first for table, first in zip(tables, names[:-1], strict=True)]),
            origins=tuple(name for table in tables for name in table.origins),
        )

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Some of the frames, by mask or by index, in that order."""
        rows = np.flatnonzero(which) if which.dtype == np.bool_ else which
        if len(rows) == len(self) and np.array_equal(rows, np.arange(len(self))):
            return self
        sizes = self.sizes[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        atoms = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        per_atom = {name: getattr(self, name)[atoms] for name in ("numbers", "positions", "forces")}
        per_frame = {name: getattr(self, name)[rows] for name in ARRAYS if name not in ("offsets", *per_atom)}
        return replace(self, offsets=offsets, **per_atom, **per_frame)

    def shifted(self, energies: NDArray[np.float64]) -> Self:
        """The same with (frames,) eV added to the energies."""
        return replace(self, energies=self.energies + energies)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(frames,) atoms of each."""
        return np.diff(self.offsets)

    @property
    def frame_of_atom(self) -> NDArray[np.int64]:
        """(atoms,) the frame that each atom belongs to."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def has(self, label: Label) -> NDArray[np.bool_]:
        """(frames,) which of them have this label."""
        known: NDArray[np.bool_] = self.has_forces
        if label != "forces":
            known = ~np.isnan(self.energies if label == "energy" else self.stresses[:, 0, 0])
        return known

    @cached_property
    def composition(self) -> Composition:
        """Elements of each."""
        return Composition.of_atoms(self.numbers, self.offsets)

    @cached_property
    def largest_forces(self) -> NDArray[np.float64]:
        """(frames,) eV/Å, the largest component's size; NaN: no forces."""
        each = np.append(np.abs(self.forces).max(axis=1, initial=0.0), 0.0)
        filled = np.flatnonzero(self.sizes)
        result = np.where(self.has_forces, 0.0, np.nan)
        if len(filled):
            result[filled] = np.maximum.reduceat(each, self.offsets[:-1][filled])
        return result

    @cached_property
    def largest_stresses(self) -> NDArray[np.float64]:
        """(frames,) eV/Å³, the same."""
        return np.asarray(np.abs(self.stresses).max(axis=(1, 2), initial=0.0))

    def structure(self, index: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Numbers (atoms,), positions (atoms, 3) Å, cell (3, 3) Å and pbc (3,) of one."""
        part = slice(self.offsets[index], self.offsets[index + 1])
        return self.numbers[part], self.positions[part], self.cells[index], self.pbc[index]

    def known_edges(self, cutoff: float) -> NDArray[np.int64] | None:  # noqa: ARG002 - of stores
        """Nobody has counted."""
        return None

    def fold(self, folds: int, by: str, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """(rows,) the part that each belongs to, by its reduced formula.

        Raises:
            DataError: if ids shall decide: structures of files have none.
        """
        if by == "id":
            msg = "structures of files have no ids to split by: make a store of them (tribond data build), or split_by: composition"
            raise DataError(msg)
        found = self.composition.folds(folds)
        return found if rows is None else found[rows]

    def loaded(self) -> "FrameTable":
        """Itself."""
        return self

    def update(self, digest: Digest) -> None:
        """Frame by frame, in the form in which checkpoints of tribond have always had it."""
        has_energy, has_stress = ~np.isnan(self.energies), self.has("stress")
        numbers = self.numbers.astype(np.int64)
        ends = self.offsets.tolist()
        rows = zip(has_energy.tolist(), self.has_forces.tolist(), has_stress.tolist(), strict=True)
        for row, (energy, forces, stress) in enumerate(rows):
            part = slice(ends[row], ends[row + 1])
            parts = [self.sources[row : row + 1], numbers[part], self.positions[part], self.cells[row], self.pbc[row]]
            parts += [self.energies[row : row + 1]] if energy else []
            parts += [self.forces[part]] if forces else []
            parts += [self.stresses[row]] if stress else []
            digest.update(b"".join([part.tobytes() for part in parts]) + b"|")

    def origin(self, index: int) -> str:
        """File and index, for messages."""
        name, number = self.origins[self.files[index]], int(self.indices[index])
        return name if number < 0 else f"{name}#{number}"

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.energies)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> "FrameTable": ...
    def __getitem__(self, index: int | slice) -> "Frame | FrameTable":
        """One frame, or a table of some."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]  # counts from the end too; an IndexError where there is none
        energy, stress = float(self.energies[index]), self.stresses[index]
        part = slice(self.offsets[index], self.offsets[index + 1])
        return Frame(
            atoms=self.atoms(index),
            energy=None if np.isnan(energy) else energy,
            forces=self.forces[part] if self.has_forces[index] else None,
            stress=None if np.isnan(stress).any() else stress,
            origin=self.origin(index),
            source=int(self.sources[index]),
        )

    def __iter__(self) -> Iterator[Frame]:
        """One frame after the other."""
        return (self[index] for index in range(len(self)))


ARRAYS = tuple(field.name for field in fields(FrameTable) if field.name != "origins")


def _joined(parts: list[NDArray[Any]], empty: tuple[int, ...]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(empty)
