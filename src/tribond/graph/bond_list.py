"""Pairs of atoms in the one order that bonds have everywhere in tribond, and their lengths."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tribond import compiled
from tribond.graph.bonds import SMALLEST_DISTANCE, Bonds
from tribond.graph.pairs import select
from tribond.typing import Positions

LARGEST_KEY = 2**62  # of int64, with room to spare
CHUNK = 2**15  # pairs measured at once, so that what is made on the way stays in the cache


@dataclass(frozen=True, eq=False)
class BondList:
    """Directed pairs sorted by centre, then neighbour, then shift along a, b, c; 24 bytes each.

    The order depends on nothing but the pairs: lists that were found in different ways and hold the same pairs are the
    same, and a part of a list is in order, too.
    """

    edge_index: NDArray[np.int64]  # (2, edges) | row 0: centre i, row 1: neighbour j
    image: NDArray[np.int64]  # (edges,) | row of `shifts`
    shifts: NDArray[np.int64]  # (images, 3) | whole cells between i and the image of j, each once and in order

    @staticmethod
    def sorted(pairs: NDArray[np.int64], shifts: NDArray[np.integer], num_atoms: int) -> "BondList":
        """Bring pairs in order.

        Args:
            pairs: (edges, 2), centre and neighbour; none twice with the same shift.
            shifts: (edges, 3), whole cells between the centre and the image of the neighbour.
            num_atoms: more than the largest index in `pairs`.
        """
        table, image = _images(shifts)
        if num_atoms**2 * len(table) > LARGEST_KEY:  # very many atoms, very far apart
            order = np.lexsort((image, pairs[:, 1], pairs[:, 0]))
            return BondList(pairs[order].T.copy(), image[order], table)
        # One number a bond, which sorts as the bond does and from which the bond can be read again.
        key = pairs[:, 0] * num_atoms
        key += pairs[:, 1]
        key *= len(table)
        key += image
        key.sort()
        pair = key // max(len(table), 1)
        key -= pair * len(table)
        edge_index = np.empty((2, len(pair)), dtype=np.int64)
        np.floor_divide(pair, max(num_atoms, 1), out=edge_index[0])
        np.multiply(edge_index[0], num_atoms, out=edge_index[1])
        np.subtract(pair, edge_index[1], out=edge_index[1])
        return BondList(edge_index, key, table)

    @staticmethod
    def in_order(edge_index: NDArray[np.int64], shifts: NDArray[np.integer]) -> "BondList":
        """Of pairs that are in order already.

        Args:
            edge_index: (2, edges), centres and neighbours.
            shifts: (edges, 3), whole cells between the centre and the image of the neighbour.
        """
        table, image = _images(shifts)
        return BondList(edge_index, image, table)

    @property
    def num_edges(self) -> int:
        """Directed pairs: i to j and j to i are two."""
        return self.edge_index.shape[1]

    def offsets(self, cell: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors S·cell of the images, axis by axis.  (3, images), Å.

        Every number is made by single additions and products: a product of matrices rounds as it suits their size.
        """
        along_a, along_b, along_c = self.shifts.T.astype(np.float64)
        vectors = np.multiply.outer(cell[0], along_a)
        vectors += np.multiply.outer(cell[1], along_b)
        vectors += np.multiply.outer(cell[2], along_c)
        return vectors

    def select(
        self, positions: Positions, offsets: NDArray[np.float64], cutoff: float, threebody_cutoff: float
    ) -> Bonds:
        """The pairs that are bonds.

        Args:
            positions: (atoms, 3) float64, Å.
            offsets: (3, images) Å, from `offsets`.
            cutoff: longest bond, Å.
            threebody_cutoff: longest bond that takes part in angles, Å.
        """
        loaded = compiled.library()
        if loaded is not None:
            lists = (self.edge_index, self.image, self.shifts)
            return select(loaded, *lists, positions, offsets, cutoff, threebody_cutoff)
        squared = self.squared_lengths(positions.numpy(), offsets)
        clash = None
        if squared.min(initial=np.inf) < SMALLEST_DISTANCE**2:
            shortest = int(np.argmin(squared))
            i, j = self.edge_index[:, shortest].tolist()
            clash = (i, j, float(np.sqrt(squared[shortest])))
        keep = np.flatnonzero(squared < cutoff**2)
        return Bonds(
            edge_index=torch.from_numpy(self.edge_index.take(keep, axis=1)),
            cell_shifts=torch.from_numpy(self.shifts.astype(np.float64).take(self.image.take(keep), axis=0)),
            angle_edges=torch.from_numpy(np.flatnonzero(squared.take(keep) < threebody_cutoff**2)),
            clash=clash,
        )

    def squared_lengths(self, positions: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared lengths |r_j + S·cell - r_i|² of all pairs, the same for a pair in whichever list it is.

        Args:
            positions: (atoms, 3) Å.
            offsets: (3, images) Å, from `offsets`.

        Returns:
            (edges,) Å².
        """
        squared = np.empty(self.num_edges)
        columns = positions.T.copy()
        for start in range(0, self.num_edges, CHUNK):
            part = slice(start, start + CHUNK)
            ends, image, total = self.edge_index[:, part], self.image[part], squared[part]
            total[:] = 0.0
            # Axis by axis: to gather numbers is several times faster than to gather rows of three.
            for column, offset in zip(columns, offsets, strict=True):
                from_centre, to_neighbour = column.take(ends)
                to_neighbour -= from_centre
                to_neighbour += offset.take(image)
                with np.errstate(over="ignore"):  # of an atom that has flown off: infinitely far is right
                    to_neighbour *= to_neighbour
                    total += to_neighbour
        return squared


def _images(shifts: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different rows among shifts, in order, (images, 3), and which of them each is, (edges,)."""
    if len(shifts) == 0:
        return np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=np.int64)
    lowest = [int(column.min()) for column in shifts.T]
    spans = [int(column.max()) - low + 1 for column, low in zip(shifts.T, lowest, strict=True)]
    boxes = spans[0] * spans[1] * spans[2]
    if boxes > LARGEST_KEY:
        table, image = np.unique(shifts.astype(np.int64), axis=0, return_inverse=True)
        return table, image.reshape(-1)
    code = np.zeros(len(shifts), dtype=np.int64)
    for column, low, span in zip(shifts.T, lowest, spans, strict=True):
        code *= span
        code += column
        code -= low
    if boxes <= max(2 * len(shifts), 1000):  # few: marked in a table instead of sorted
        seen = np.zeros(boxes, dtype=bool)
        seen[code] = True
        codes = np.flatnonzero(seen)
        image = (np.cumsum(seen) - 1).take(code)
    else:
        codes, image = np.unique(code, return_inverse=True)
    return np.stack(np.unravel_index(codes, spans), axis=1) + np.array(lowest), image
