"""The bonds of one system, as a search or a list that is kept gives them."""

from dataclasses import dataclass

from tribond.typing import AngleEdges, CellShifts, EdgeIndex

# Closer than this two atoms are one atom twice, whatever the elements: H2 has 0.74 Å, nothing real is below 0.3 Å.
SMALLEST_DISTANCE = 0.1  # Å


@dataclass(frozen=True, eq=False)
class Bonds:
    """All pairs of atoms that are bonds, sorted by centre, then neighbour, then shift along a, b, c."""

    edge_index: EdgeIndex  # (2, edges) int64 | row 0: centre i, row 1: neighbour j
    cell_shifts: CellShifts  # (edges, 3) float64
    angle_edges: AngleEdges  # (angle_edges,) int64 | those that take part in angles, ascending
    clash: tuple[int, int, float] | None  # two atoms closer than SMALLEST_DISTANCE, and their distance, Å
