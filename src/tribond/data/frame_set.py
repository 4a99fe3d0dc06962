"""What every collection of labelled structures offers, whether it lies in memory or on a disk."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.data.frames import Frame, Label

if TYPE_CHECKING:
    from tribond.data.frame_table import FrameTable


class Digest(Protocol):
    """What hashlib's functions make."""

    def update(self, content: bytes, /) -> None:
        """Take in more."""


class FrameSet(Sequence[Frame]):
    """Labelled structures of which little is in memory: what concerns each as a whole, never its atoms.

    Attributes:
        sizes: (frames,) int64 | atoms of each.
        energies: (frames,) float64 | eV, of the whole structure; NaN: none.
        sources: (frames,) int64 | see `Frame.source`.
        composition: elements of each.
        largest_forces: (frames,) float64 | eV/Å, the largest component's size; NaN: no forces.
        largest_stresses: (frames,) float64 | eV/Å³, the same.
    """

    sizes: Any
    energies: Any
    sources: NDArray[np.int64]
    composition: Any
    largest_forces: Any
    largest_stresses: Any

    @abstractmethod
    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "FrameSet":
        """Some of the frames, by mask or by index, in that order."""

    @abstractmethod
    def shifted(self, energies: NDArray[np.float64]) -> "FrameSet":
        """The same with (frames,) eV added to the energies."""

    @abstractmethod
    def has(self, label: Label) -> NDArray[np.bool_]:
        """(frames,) which of them have this label."""

    @abstractmethod
    def structure(self, index: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Numbers (atoms,), positions (atoms, 3) Å, cell (3, 3) Å and pbc (3,) of one."""

    @abstractmethod
    def origin(self, index: int) -> str:
        """File and index, for messages."""

    @abstractmethod
    def known_edges(self, cutoff: float) -> NDArray[np.int64] | None:
        """(frames,) bonds of each within this cutoff, Å, if they were ever counted."""

    @abstractmethod
    def fold(self, folds: int, by: str, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The part that each belongs to, if "composition" or "id" decides over it.

        Args:
            folds: how many parts there are.
            by: "composition" or "id".
            rows: which frames are asked for; None: all.

        Returns:
            (rows,) numbers from 0 to folds - 1.

        Raises:
            DataError: if they have no ids.
        """

    @abstractmethod
    def update(self, digest: Digest) -> None:
        """Put all structures and labels into a hash."""

    @abstractmethod
    def loaded(self) -> "FrameTable":
        """All in memory: for a few."""

    def atoms(self, index: int) -> Atoms:
        """The structure alone."""
        numbers, positions, cell, pbc = self.structure(index)
        return Atoms(numbers=numbers, positions=positions, cell=cell, pbc=pbc)
