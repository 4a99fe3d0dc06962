"""A finished store: many labelled structures on a disk, read one by one, whatever their number."""

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from tribond.data.composition import Composition
from tribond.data.frame_set import Digest, FrameSet
from tribond.data.frame_table import FrameTable
from tribond.data.frames import Frame, Label
from tribond.data.joined_frames import JoinedFrames
from tribond.data.split import fold_of_text
from tribond.data.store import columns
from tribond.data.store.columns import ATOM_BYTES, FORCES, HEAD_BYTES, PERIODIC, RECORDS, STRESS, edges_column
from tribond.errors import DataError

MANIFEST = "store.json"
FORMAT = 1  # to be raised whenever the files of a store change


def is_store(path: Path) -> bool:
    """Whether this is the folder of a store, finished or not."""
    return (path / MANIFEST).is_file() or (path / "progress.json").is_file()


class Store(FrameSet):
    """All structures of a store. Threads and processes may read it at the same time.

    Args:
        path: its folder.
        manifest: what it says of itself; read from the folder if left out.

    Raises:
        DataError: if there is none, it is not finished, of another version, or damaged.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any] | None = None) -> None:
        self.path = path.resolve()
        self.manifest = _manifest(path) if manifest is None else manifest
        self.cutoffs: tuple[float, ...] = tuple(self.manifest["cutoffs"])
        self.digest: str = self.manifest["digest"]
        self._columns: dict[str, NDArray[Any]] = {}
        frames, atoms = self.manifest["frames"], self.manifest["atoms"]
        expected = HEAD_BYTES * frames + ATOM_BYTES * atoms
        try:
            size = (path / RECORDS).stat().st_size
            self._handle = os.open(path / RECORDS, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            msg = f"the store {path} is damaged: {RECORDS} cannot be read ({error.strerror}); build it again"
            raise DataError(msg) from error
        if size != expected:
            msg = f"the store {path} is damaged: {RECORDS} has {size} bytes, not {expected}; build it again"
            raise DataError(msg)
        for name in columns.types(self.cutoffs):
            if name not in columns.ENTRIES and len(self.column(name)) != frames:
                msg = f"the store {path} is damaged: {name}.npy has not {frames} entries; build it again"
                raise DataError(msg)
        self.sources = np.zeros(frames, dtype=np.int64)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files itself."""
        return (Store, (self.path,))

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            os.close(handle)

    def column(self, name: str) -> NDArray[Any]:
        """(frames,) one of `columns.COLUMNS`, or `edges_...`; only what is looked at is read."""
        if name not in self._columns:
            try:
                self._columns[name] = columns.mapped(self.path / f"{name}.npy")
            except (OSError, ValueError, EOFError) as error:
                msg = f"the store {self.path} is damaged: {name}.npy cannot be read ({error}); build it again"
                raise DataError(msg) from error
        return self._columns[name]

    def texts(self, name: str) -> list[str]:
        """The lines of one of `columns.TEXTS`."""
        content = (self.path / f"{name}.txt").read_text(encoding="utf-8")
        return [json.loads(line) for line in content.splitlines()]

    @cached_property
    def levels(self) -> list[str]:
        """Names of the levels of theory."""
        return self.texts("levels")

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """(frames + 1,) atoms before each."""
        return np.concatenate([[0], np.cumsum(self.column("size"), dtype=np.int64)])

    @property
    def sizes(self) -> NDArray[np.int32]:
        """(frames,) atoms of each."""
        return self.column("size")

    @cached_property
    def energies(self) -> NDArray[np.float64]:
        """(frames,) eV, of the whole structure; NaN: none."""
        return self.column("energy")

    @property
    def largest_forces(self) -> NDArray[np.float64]:
        """(frames,) eV/Å, the largest component's size; NaN: no forces."""
        return self.column("largest_force")

    @property
    def largest_stresses(self) -> NDArray[np.float64]:
        """(frames,) eV/Å³, the same."""
        return self.column("largest_stress")

    @cached_property
    def composition(self) -> Composition:
        """Elements of each."""
        starts = np.concatenate([[0], np.cumsum(self.column("elements"), dtype=np.int64)])
        return Composition(starts, np.asarray(self.column("element")), self.column("count").astype(np.int64))

    def has(self, label: Label) -> NDArray[np.bool_]:
        """(frames,) which of them have this label."""
        if label == "energy":
            return ~np.isnan(self.energies)
        return (self.column("flags") & (FORCES if label == "forces" else STRESS)) > 0

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> JoinedFrames:
        """Some of the frames, by mask or by index, in that order."""
        return JoinedFrames.of([self]).take(which)

    def shifted(self, energies: NDArray[np.float64]) -> JoinedFrames:
        """The same with (frames,) eV added to the energies."""
        return JoinedFrames.of([self]).shifted(energies)

    def structure(self, index: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Numbers (atoms,), positions (atoms, 3) Å, cell (3, 3) Å and pbc (3,) of one."""
        cell, _, positions, _, numbers = self._record(index)
        return numbers, positions, cell, self._pbc(index)

    def origin(self, index: int) -> str:
        """File, index and id, for messages."""
        row = int(self.column("id")[index])
        return self._place(index) + (f" ({self._ids[row]})" if row >= 0 else "")

    def known_edges(self, cutoff: float) -> NDArray[np.int64] | None:
        """(frames,) bonds of each within this cutoff, Å, if they were counted when the store was made."""
        return self.column(edges_column(cutoff)) if cutoff in self.cutoffs else None

    def fold(self, folds: int, by: str, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """(rows,) the part that each belongs to, if "composition" or "id" decides over it.

        Raises:
            DataError: if some of those that are asked for have no ids.
        """
        lines = self.column("formula" if by == "composition" else "id")
        lines = lines if rows is None else lines[rows]
        if len(lines) and lines.min() < 0:
            first = int(lines.argmin())
            origin = self.origin(first if rows is None else int(rows[first]))
            msg = (
                f"{int((lines < 0).sum())} structures of {self.path} have no id (first {origin}): split_by: composition"
            )
            raise DataError(msg)
        names = self.texts("formulas" if by == "composition" else "ids")
        known = [fold_of_text(name, folds) for name in names]
        return np.array(known, dtype=np.int64)[lines] if len(lines) else np.zeros(0, dtype=np.int64)

    def update(self, digest: Digest) -> None:
        """The digest of all files stands in the store."""
        digest.update(self.digest.encode())

    def loaded(self) -> FrameTable:
        """All in memory: for small ones."""
        return FrameTable.of(list(self))

    def __len__(self) -> int:
        """Number of frames."""
        return int(self.manifest["frames"])

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> JoinedFrames: ...
    def __getitem__(self, index: int | slice) -> Frame | JoinedFrames:
        """One frame, or a set of some."""
        from ase import Atoms

        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        cell, stress, positions, forces, numbers = self._record(index)
        flags, energy = int(self.column("flags")[index]), float(self.energies[index])
        return Frame(
            atoms=Atoms(numbers=numbers, positions=positions, cell=cell, pbc=self._pbc(index)),
            energy=None if np.isnan(energy) else energy,
            forces=forces if flags & FORCES else None,
            stress=stress if flags & STRESS else None,
            origin=self._place(index),
        )

    @cached_property
    def _files(self) -> list[str]:
        return self.texts("files")

    def _place(self, index: int) -> str:
        return f"{self._files[self.column('file')[index]]}#{self.column('number')[index]}"

    @cached_property
    def _ids(self) -> list[str]:
        return self.texts("ids")

    def _pbc(self, index: int) -> NDArray[np.bool_]:
        return (self.column("flags")[index] & np.array(PERIODIC)) > 0

    def _read(self, content: NDArray[np.uint8], start: int) -> bool:
        """Fill an array from a place in the records. No shared position: threads may do it at the same time.

        Piece by piece, not by a mapping of the whole file: as fast, and what was read is not kept.
        """
        if hasattr(os, "preadv"):
            return os.preadv(self._handle, [content.data], start) == len(content)
        part = columns.whole(self.path / RECORDS)[start : start + len(content)]
        content[: len(part)] = part
        return len(part) == len(content)

    def _record(self, index: int) -> tuple[NDArray[Any], ...]:
        """Cell, stress, positions, forces and numbers, in arrays of their own."""
        size = int(self.sizes[index])
        content = np.empty(HEAD_BYTES + ATOM_BYTES * size, dtype=np.uint8)
        start = columns.record_start(index, int(self.offsets[index]))
        if not self._read(content, start):
            msg = f"the store {self.path} is damaged: {RECORDS} ends before {self.origin(index)}; build it again"
            raise DataError(msg)
        numbers = content[len(content) - size :]
        values = content[: len(content) - size].view(np.float64)
        positions, forces = values[18:].reshape(2, size, 3)
        return values[:9].reshape(3, 3), values[9:18].reshape(3, 3), positions, forces, numbers


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        if (path / "progress.json").is_file():
            msg = f"the store {path} is not finished; the same `tribond data build` goes on with it"
            raise DataError(msg)
        msg = f"{path} is no store of structures: there is no {MANIFEST}; `tribond data build` makes stores"
        raise DataError(msg)
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version = content["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{file} is damaged ({error}); build the store again"
        raise DataError(msg) from error
    if version != FORMAT:
        msg = f"the store {path} has version {version}, and this tribond reads {FORMAT}; build it again"
        raise DataError(msg)
    return content
