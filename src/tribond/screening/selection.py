"""Which structures of a pool are worth a label: uncertain ones, unlike each other and unlike what is known.

Structures are points in a space of descriptors. Among the most uncertain the one farthest from all that is known or chosen
is chosen, again and again: the greedy solution of the k-centre problem (T. F. Gonzalez, Theor. Comput. Sci. 38, 293 (1985);
for active learning O. Sener and S. Savarese, arXiv 1708.00489). Nothing is drawn at random.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 1024, 8192  # of distances worked out at once: 64 MB
SAME = 1e-5  # of the typical length of a descriptor: closer is a copy
NEAR = 0.1  # of the typical distance between neighbours among what is known: closer is known
MOST_COMPARED = 4096  # known structures that tell the typical distance


@dataclass(frozen=True)
class Selection:
    """What was chosen, in order.

    Attributes:
        chosen: (n,) indices into the pool.
        distances: (n,) to the nearest of what is known or was chosen before; NaN for the first where nothing is known.
        near_known: how many were left out because they are like known ones.
        candidates: how many were looked at, the most uncertain ones where that is known.
        min_distance: closer ones were left out.
    """

    chosen: NDArray[np.int64]
    distances: NDArray[np.float64]
    near_known: int
    candidates: int
    min_distance: float


def select(
    descriptors: NDArray[np.floating],
    number: int,
    *,
    spreads: NDArray[np.float64] | None = None,
    known: NDArray[np.floating] | None = None,
    candidates: int | None = None,
    min_distance: float | None = None,
) -> Selection:
    """Choose structures of a pool.

    Args:
        descriptors: (pool, features) of the pool.
        number: how many, at most: fewer where no others are different.
        spreads: (pool,) how uncertain each is; None: all alike, and only differences count.
        known: (known, features) of structures that have labels already.
        candidates: of how many of the most uncertain, and no others; if left out of ten times the number, and while too few
            of these differ, of as many more.
        min_distance: least distance from what is known or chosen; if left out a tenth of the median distance between neighbours
            among what is known, and without that so little that only copies are left out.
    """
    points = np.asarray(descriptors, dtype=np.float64)
    others = np.zeros((0, points.shape[1])) if known is None else np.asarray(known, dtype=np.float64)
    least = default_distance(points, others) if min_distance is None else min_distance
    nearest = nearest_distances(points, others)
    far = np.flatnonzero(nearest >= least)
    near = len(points) - len(far)
    portion = len(far)
    if spreads is not None:
        far = far[np.argsort(-spreads[far], kind="stable")]
        if candidates is not None:
            far = far[: max(candidates, number)]
        portion = 10 * number if candidates is None else len(far)
    points, from_known = points[far], nearest[far]
    looked = min(portion, len(far))
    nearest = from_known[:looked]  # of those that are looked at, to what is known or chosen
    chosen: list[int] = []
    distances: list[float] = []
    while len(chosen) < min(number, len(far)):
        if chosen or (len(others) and spreads is None):
            following = int(np.argmax(nearest))
        elif spreads is None:  # nothing is known: the strangest
            following = int(np.argmax(((points - points.mean(axis=0)) ** 2).sum(axis=1)))
        else:
            following = 0  # the most uncertain
        distance = float(nearest[following])
        if chosen and distance < least:
            if looked == len(far):
                break
            more = slice(looked, min(looked + portion, len(far)))
            to_chosen = nearest_distances(points[more], points[chosen])
            nearest = np.concatenate([nearest, np.minimum(from_known[more], to_chosen)])
            looked = more.stop
            continue
        chosen.append(following)
        distances.append(distance if np.isfinite(distance) else np.nan)
        nearest = np.minimum(nearest, np.sqrt(((points[:looked] - points[following]) ** 2).sum(axis=1)))
        nearest[chosen] = -1.0
    return Selection(
        chosen=far[chosen] if chosen else np.zeros(0, dtype=np.int64),
        distances=np.array(distances),
        near_known=near,
        candidates=looked,
        min_distance=least,
    )


def default_distance(points: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """A tenth of the median distance between neighbours among what is known; at least so much that copies are known as such."""
    every = known if len(known) else points
    same = SAME * float(np.median(np.sqrt((every**2).sum(axis=1)))) if len(every) else 0.0
    if len(known) < 2:
        return same
    some = known[:: -(-len(known) // MOST_COMPARED)]
    return max(same, NEAR * float(np.median(nearest_distances(some, some, itself=True))))


def nearest_distances(
    points: NDArray[np.float64], others: NDArray[np.float64], *, itself: bool = False
) -> NDArray[np.float64]:
    """The distance of each point to the nearest of others; infinite where there are none.  (points,).

    Args:
        points: (points, features).
        others: (others, features).
        itself: both are the same list, and no point is its own neighbour.
    """
    found = np.full(len(points), np.inf)
    lengths = (others**2).sum(axis=1)
    for row in range(0, len(points), ROWS):
        part = points[row : row + ROWS]
        own = (part**2).sum(axis=1)[:, None]
        for column in range(0, len(others), COLUMNS):
            block = others[column : column + COLUMNS]
            squared = own + lengths[column : column + COLUMNS] - 2 * part @ block.T
            if itself:
                rows = np.arange(row, row + len(part))
                here = (rows >= column) & (rows < column + len(block))
                squared[np.flatnonzero(here), rows[here] - column] = np.inf
            best = np.argmin(squared, axis=1)
            # Again as a difference: the product loses digits of what is close.
            exact = np.sqrt(((part - block[best]) ** 2).sum(axis=1))
            exact[np.isinf(squared[np.arange(len(part)), best])] = np.inf
            np.minimum(found[row : row + ROWS], exact, out=found[row : row + ROWS])
    return found
