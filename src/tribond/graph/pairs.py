"""The compiled search for bonds (search.cpp in native/src/graph), and the compiled look through a list (pairs.cpp).

What they give is, to the last bit, what `bond_list` and `neighbors` give by numpy.
"""

import ctypes
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tribond import compiled
from tribond.graph.bonds import SMALLEST_DISTANCE, Bonds
from tribond.typing import Positions

# Pairs and images that may be tried for an atom, before cells flat or far apart make the search hopeless: an ordinary crystal
# has some ten times as many as bonds.
MOST_TRIED = 40_000


def search(positions: Positions, cell: Tensor, pbc: Tensor, cutoff: float, threebody_cutoff: float) -> Bonds | None:
    """All bonds, on as many threads as PyTorch has.

    Args:
        positions: (atoms, 3) Å, on the CPU; atoms may lie outside the cell.
        cell: (3, 3) Å, rows are lattice vectors; rows of axes that are not periodic are ignored.
        pbc: (3,) periodic along a, b, c.
        cutoff: longest bond, Å.
        threebody_cutoff: longest bond that takes part in angles, Å.

    Returns:
        None without the compiled library, or if there is too much to try or atoms are too far away.

    Raises:
        ValueError: for tensors of another shape.
        MemoryError: if there is no memory for the bonds.
        RuntimeError: if the system refuses something else, such as threads.
    """
    loaded = compiled.library()
    if loaded is None:
        return None
    atoms = len(positions)
    positions, cell = compiled.plain(positions, torch.float64, atoms, 3), compiled.plain(cell, torch.float64, 3, 3)
    pbc = compiled.plain(pbc, torch.bool, 3)
    found, counts, least = ctypes.c_void_p(), (ctypes.c_int64 * 3)(), ctypes.c_double()
    try:
        outcome = loaded.functions.tribond_search(
            *(atoms, positions.data_ptr(), cell.data_ptr(), pbc.data_ptr()),
            *(cutoff, cutoff**2, threebody_cutoff**2, MOST_TRIED * max(atoms, 1), torch.get_num_threads()),
            *(ctypes.byref(found), counts, ctypes.byref(least)),
        )
        if outcome == compiled.BAD_GRAPH:
            return None
        _check(outcome, atoms, cutoff)
        bonds, angle_bonds, shortest = counts
        ends, shifts, angles = np.empty((2, bonds), np.int64), np.empty((bonds, 3)), np.empty(angle_bonds, np.int64)
        _check(
            loaded.functions.tribond_search_write(found, bonds, *map(_address, (ends, shifts, angles))), atoms, cutoff
        )
    finally:
        loaded.functions.tribond_search_delete(found)
    return Bonds(
        edge_index=torch.from_numpy(ends),
        cell_shifts=torch.from_numpy(shifts),
        angle_edges=torch.from_numpy(angles),
        clash=_clash(ends, shortest, least.value),
    )


def _check(outcome: int, atoms: int, cutoff: float) -> None:
    if outcome == compiled.NO_MEMORY:
        msg = f"no memory for the bonds of {atoms} atoms within {cutoff} Å"
        raise MemoryError(msg)
    if outcome != 0:
        msg = f"the search for the bonds of {atoms} atoms within {cutoff} Å failed"
        raise RuntimeError(msg)


def select(
    loaded: compiled.Library,
    ends: NDArray[np.int64],
    image: NDArray[np.int64],
    shifts: NDArray[np.int64],
    positions: Positions,
    offsets: NDArray[np.float64],
    cutoff: float,
    threebody_cutoff: float,
) -> Bonds:
    """Those of the pairs in a list that are bonds.

    Args:
        loaded: the library.
        ends: (2, pairs), centres and neighbours in the order of bonds.
        image: (pairs,) rows of `shifts`.
        shifts: (images, 3) whole cells.
        positions: (atoms, 3) Å, on the CPU.
        offsets: (3, images) Å, the images' vectors in the cell.
        cutoff: longest bond, Å.
        threebody_cutoff: longest bond that takes part in angles, Å.

    Raises:
        IndexError: if the list names an atom or an image that does not exist.
        ValueError: if it has not the shape it should have, or the positions.
        RuntimeError: if another thread changes it meanwhile.
    """
    pairs, images = ends.shape[1], len(shifts)
    shapes = (ends.shape, image.shape, shifts.shape, offsets.shape)
    if shapes != ((2, pairs), (pairs,), (images, 3), (3, images)):
        msg = f"a list of {pairs} pairs and {images} images has parts of shapes {shapes}"
        raise ValueError(msg)
    lists = [np.ascontiguousarray(array, dtype=np.int64) for array in (ends, image, shifts)]
    lists.append(np.ascontiguousarray(offsets, dtype=np.float64))
    at_ends, at_image, at_shifts, at_offsets = map(_address, lists)
    positions = compiled.plain(positions, torch.float64, len(positions), 3)
    kind = np.empty(pairs, np.uint8)
    counts, least = (ctypes.c_int64 * 3)(), ctypes.c_double()
    outcome = loaded.functions.tribond_pairs_measure(
        len(positions),
        pairs,
        images,
        *(positions.data_ptr(), at_ends, at_image, at_offsets),
        cutoff**2,
        threebody_cutoff**2,
        _address(kind),
        counts,
        ctypes.byref(least),
    )
    if outcome == compiled.BAD_GRAPH:
        msg = f"a list of pairs of {len(positions)} atoms and {images} images names others"
        raise IndexError(msg)
    bonds, angle_bonds, shortest = counts
    taken, cell_shifts, angles = np.empty((2, bonds), np.int64), np.empty((bonds, 3)), np.empty(angle_bonds, np.int64)
    outcome = loaded.functions.tribond_pairs_take(
        *(pairs, images, at_ends, at_image, at_shifts, _address(kind)),
        *(bonds, angle_bonds),
        *map(_address, (taken, cell_shifts, angles)),
    )
    if outcome == compiled.BAD_GRAPH:
        msg = "a list of pairs was changed while it was read"
        raise RuntimeError(msg)
    return Bonds(
        edge_index=torch.from_numpy(taken),
        cell_shifts=torch.from_numpy(cell_shifts),
        angle_edges=torch.from_numpy(angles),
        clash=_clash(ends, shortest, least.value),
    )


def _clash(ends: NDArray[np.int64], shortest: int, squared: float) -> tuple[int, int, float] | None:
    if squared >= SMALLEST_DISTANCE**2:
        return None
    i, j = ends[:, shortest].tolist()
    return i, j, math.sqrt(squared)


def _address(array: NDArray[Any]) -> int:
    if not array.flags.writeable:
        return array.ctypes.data
    return torch.from_numpy(array).data_ptr()  # half the time that numpy takes to say it
