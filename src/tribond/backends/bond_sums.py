"""Vectors of the bonds before the network, and the sums over bonds after it: compiled on a CPU, else by PyTorch."""

import torch
from torch import Tensor

from tribond import compiled
from tribond.backends import native
from tribond.graph.atom_graph import AtomGraph


def edge_vectors(graph: AtomGraph) -> Tensor:
    """Vectors r_j + S·cell - r_i of all bonds, which no gradient goes through.  (edges, 3), Å, float64."""
    loaded = compiled.library()
    if loaded is None or graph.device.type != "cpu":
        return graph.edge_vectors().detach()
    vectors = torch.empty(graph.num_edges, 3, dtype=torch.float64, device="cpu")
    given = (
        compiled.plain(graph.positions, torch.float64, graph.num_atoms, 3),
        compiled.plain(graph.cell, torch.float64, graph.num_systems, 3, 3),
        compiled.plain(graph.cell_shifts, torch.float64, graph.num_edges, 3),
    )
    native.over_bonds(loaded.functions.tribond_bond_vectors, graph, given, [vectors])
    return vectors


def forces_virial_stress(vectors: Tensor, gradient: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor, Tensor]:
    """Forces, dE/dε of a strained cell, and the same per volume, from g_ij = dE/dr_ij.

    The force on an atom is Σ g over the bonds that start there minus Σ g over those that end there; dE/dε is
    Σ r_ij ⊗ g_ij, made symmetric because a rotation costs nothing.

    Args:
        vectors: (edges, 3) Å, float64.
        gradient: (edges, 3) eV/Å, float64.
        graph: the batch.

    Returns:
        (atoms, 3) eV/Å, (systems, 3, 3) eV and (systems, 3, 3) eV/Å³, float64; differentiable by what the gradient is.
        The stress is NaN where a system is not fully periodic.
    """
    loaded = compiled.library()
    if loaded is None or graph.device.type != "cpu" or (torch.is_grad_enabled() and gradient.requires_grad):
        return _by_pytorch(vectors, gradient, graph)
    forces = torch.zeros(graph.num_atoms, 3, dtype=torch.float64, device="cpu")
    virial = torch.zeros(graph.num_systems, 3, 3, dtype=torch.float64, device="cpu")
    stress = torch.empty_like(virial)
    given = (
        compiled.plain(graph.cell, torch.float64, graph.num_systems, 3, 3),
        compiled.plain(graph.pbc, torch.bool, graph.num_systems, 3),
        compiled.plain(vectors.detach(), torch.float64, graph.num_edges, 3),
        compiled.plain(gradient.detach(), torch.float64, graph.num_edges, 3),
    )
    native.over_bonds(loaded.functions.tribond_bond_sums, graph, given, [forces, virial, stress])
    return forces, virial, stress


def sum_forces(gradient: Tensor, edge_index: Tensor, zero: Tensor) -> Tensor:
    """Forces on all atoms from g_ij = dE/dr_ij, by PyTorch alone; tracers can follow it.

    Args:
        gradient: (edges, 3) eV/Å.
        edge_index: (2, edges).
        zero: (atoms, 3) zeros.

    Returns:
        (atoms, 3) eV/Å.
    """
    centre, neighbour = edge_index
    # Not with alpha=-1, which PyTorch computes five times slower.
    return zero.index_add(0, centre, gradient).index_add(0, neighbour, -gradient)


def _by_pytorch(vectors: Tensor, gradient: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor, Tensor]:
    forces = sum_forces(gradient, graph.edge_index, torch.zeros_like(graph.positions))
    if graph.num_systems == 1:  # ten times faster than the same sum bond by bond, and without nine numbers a bond
        sums = (vectors.T @ gradient)[None]
    else:
        outer = vectors[:, :, None] * gradient[:, None, :]
        sums = torch.zeros_like(graph.cell).index_add(0, graph.system_index[graph.edge_index[0]], outer)
    virial = (sums + sums.transpose(1, 2)) / 2
    volumes = graph.volumes()[:, None, None]
    # Not virial / NaN: that would turn the gradient of everything into NaN when a molecule is trained on.
    return forces, virial, torch.where(volumes.isnan(), torch.nan, virial / volumes.nan_to_num(nan=1.0))
