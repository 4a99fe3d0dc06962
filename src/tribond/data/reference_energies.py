"""Reference energies of the elements, fitted to the energies of one data source."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tribond.data.frame_table import FrameTable
from tribond.data.frames import Frame

logger = logging.getLogger(__name__)


def composition_matrix(frames: Sequence[Frame], atomic_numbers: Sequence[int]) -> NDArray[np.float64]:
    """How many atoms of every element each frame has.  (frames, elements)."""
    table = FrameTable.of(frames)
    columns = np.full(119, -1)
    columns[list(atomic_numbers)] = np.arange(len(atomic_numbers))
    cells = table.frame_of_atom * len(atomic_numbers) + columns[table.numbers]
    matrix = np.bincount(cells, minlength=len(table) * len(atomic_numbers)).astype(np.float64)
    return matrix.reshape(len(table), len(atomic_numbers))


def fit_reference_energies(
    frames: Sequence[Frame], atomic_numbers: Sequence[int], name: str = "data"
) -> NDArray[np.float64]:
    """The energies per element that come closest, in least squares per atom, to the energies of the frames.

    Elements that always occur in the same ratio cannot be told apart; the smallest solution is taken and a warning
    says so. Elements that do not occur get zero.

    Args:
        frames: labelled structures of one level of theory; those without energy are skipped.
        atomic_numbers: the elements, in the order of the result.
        name: of the source, for the warning.

    Returns:
        (elements,) eV.
    """
    table = FrameTable.of(frames)
    labelled = table.take(table.has("energy") & (table.sizes > 0))
    if not len(labelled):
        return np.zeros(len(atomic_numbers))
    composition = composition_matrix(labelled, atomic_numbers)
    atoms = composition.sum(axis=1)
    solution, _, rank, _ = np.linalg.lstsq(composition / atoms[:, None], labelled.energies / atoms, rcond=1e-8)
    present = int((composition.sum(axis=0) > 0).sum())
    if rank < present:
        logger.warning(
            "%s: %d elements but only %d independent compositions; their reference energies are not unique",
            name,
            present,
            rank,
        )
    return solution
