"""Lists of bonds with a skin: what lies beyond the cutoff counts nothing in any model.

Where e⁰ has no bias in its gates, e⁰ = 0 sees to that. Where it has one, every bond that is listed would send messages,
so those beyond the cutoff are left out before a backend sees them.
"""

from dataclasses import replace

import torch
from torch import Tensor

from tribond.graph.atom_graph import AtomGraph


def without_skin(vectors: Tensor, graph: AtomGraph, cutoff: float) -> tuple[Tensor, AtomGraph, Tensor | None]:
    """Bonds and batch without those that are not shorter than the cutoff.

    Args:
        vectors: (edges, 3) Å.
        graph: the batch.
        cutoff: Å; infinite where nothing is to be left out.

    Returns:
        The vectors and the batch that are left, and which bonds those are, (edges,) bool; None if all are.
    """
    if cutoff == torch.inf:
        return vectors, graph, None
    kept = ~(torch.linalg.vector_norm(vectors, dim=1) >= cutoff)  # what is not a number stays and is seen
    angles = graph.angle_edges
    outside = len(angles) and not 0 <= int(angles.min()) <= int(angles.max()) < graph.num_edges
    if kept.all() or outside:  # a list that names what does not exist is refused later, as ever
        return vectors, graph, None
    number = kept.cumsum(0) - 1  # of a bond among those that stay
    left = replace(
        graph,
        edge_index=graph.edge_index[:, kept],
        cell_shifts=graph.cell_shifts[kept],
        angle_edges=number[angles[kept[angles]]],
    )
    return vectors[kept], left, kept
