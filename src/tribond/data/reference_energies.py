"""Reference energies of the elements, fitted to the energies of one data source."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tribond.data.composition import CHUNK, Composition
from tribond.data.frames import Frame
from tribond.data.joined_frames import frame_set

logger = logging.getLogger(__name__)

SMALLEST = 1e-8  # relative | singular values below count as zero


def composition_matrix(frames: Sequence[Frame], atomic_numbers: Sequence[int]) -> NDArray[np.float64]:
    """How many atoms of every element each frame has.  (frames, elements)."""
    return frame_set(frames).composition.matrix(atomic_numbers)


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
    table = frame_set(frames)
    rows = np.flatnonzero(table.has("energy") & (table.sizes > 0))
    if not len(rows):
        return np.zeros(len(atomic_numbers))
    composition = table.composition.take(rows)
    solution, rank = fit_energies(composition, np.asarray(table.energies)[rows], atomic_numbers)
    present = len(composition.elements())
    if rank < present:
        logger.warning(
            "%s: %d elements but only %d independent compositions; their reference energies are not unique",
            name,
            present,
            rank,
        )
    return solution


def fit_energies(
    composition: Composition, energies: NDArray[np.float64], atomic_numbers: Sequence[int]
) -> tuple[NDArray[np.float64], int]:
    """The smallest least-squares solution per atom, and its rank.

    Of many structures, those of one compound are one equation: their mean, with the root of their number as its weight.
    The compounds are taken in chunk by chunk, and the triangle of a QR decomposition is all that is kept of those before.
    Unlike normal equations, this does not square the condition number, so the rank stays what it is.

    Args:
        composition: of structures with atoms.
        energies: (frames,) eV.
        atomic_numbers: the elements, in the order of the result.

    Returns:
        (elements,) eV, and how many of them are independent.
    """
    per_atom, weights = energies / composition.atoms(), np.ones(len(composition))
    if len(composition) > CHUNK:
        first, group = np.unique(composition.compounds(), return_index=True, return_inverse=True)[1:]
        counts = np.bincount(group)
        weights, per_atom = np.sqrt(counts), np.bincount(group, weights=per_atom) / counts
        composition = composition.take(first)
    wide = np.zeros((0, len(atomic_numbers) + 1))
    for part, matrix in composition.chunks(atomic_numbers):
        rows = np.column_stack([matrix / matrix.sum(axis=1)[:, None], per_atom[part]])
        wide = np.concatenate([wide, rows * weights[part, None]])
        if len(composition) > CHUNK:
            wide = np.asarray(np.linalg.qr(wide, mode="r"))
    solution, _, rank, _ = np.linalg.lstsq(wide[:, :-1], wide[:, -1], rcond=SMALLEST)
    return solution.astype(np.float64), int(rank)


def residuals(
    composition: Composition,
    energies: NDArray[np.float64],
    atomic_numbers: Sequence[int],
    references: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(frames,) eV per atom, what is left of energies without those of the elements."""
    values = np.zeros(256)
    values[list(atomic_numbers)] = references
    return np.asarray((energies - composition.total(values)) / composition.atoms())
