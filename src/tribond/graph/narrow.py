"""A graph with shorter cutoffs than it was made with."""

from dataclasses import replace

import torch

from tribond.graph.atom_graph import AtomGraph


def narrowed(graph: AtomGraph, cutoff: float, threebody_cutoff: float) -> AtomGraph:
    """The graph without bonds, and angles, beyond shorter cutoffs: the one that `atom_graph` makes with these.

    Args:
        graph: made with cutoffs at least as long.
        cutoff: longest bond, Å.
        threebody_cutoff: longest bond that takes part in angles, Å.
    """
    squared = graph.edge_vectors().square().sum(dim=1)
    bonds = (squared < cutoff**2).nonzero()[:, 0]
    return replace(
        graph,
        edge_index=graph.edge_index[:, bonds],
        cell_shifts=graph.cell_shifts[bonds],
        angle_edges=(squared[bonds] < threebody_cutoff**2).nonzero()[:, 0].to(torch.long),
    )
