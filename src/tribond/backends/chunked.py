"""Energy and dE/dr of every bond in little memory: the modules of `nn`, differentiated a part of the bonds at a time.

PyTorch's automatic differentiation of the whole keeps every intermediate of every bond, some 10 kB each. Here v and e_ij
before every block are kept and nothing else; the backward pass runs a block once more, part by part, and differentiates that.
No derivative is written out, so what `nn` learns is computed here too. ∂x stands for dE/dx.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from tribond.backends.coverage import ANY, NOT_READ, Coverage, Table, at_most, one_of
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.block import M3GNetBlock
from tribond.nn.config import M3GNetConfig
from tribond.nn.m3gnet import M3GNet

# What the intermediates of a part may take. Fewer bonds cost more calls of PyTorch, more of them no less time.
PART_BYTES = 2**24
GPU_PART_BYTES = 2**30
# Up to so many bonds, 0.5 and 5 GB, the whole fits easily, and automatic differentiation of it is faster.
CPU_BONDS = 20_000
GPU_BONDS = 200_000

# What is computed, field by field: see coverage.py.
TABLE: Table = {
    "elements": ANY,
    "cutoff": ANY,
    "threebody_cutoff": ANY,
    "max_n": ANY,
    "max_l": at_most(4),  # harmonics are written out up to l = 3
    "bodies": one_of(3),
    "num_blocks": ANY,
    "node_features": ANY,
    "edge_features": ANY,
    "update_hidden": ANY,
    "readout_hidden": ANY,
    "edge_basis": one_of("smooth", "spherical_bessel"),
    "angle_radial_basis": one_of("smooth", "spherical_bessel"),
    "angle_gate": one_of("end", "centre"),
    "message_target": one_of("centre", "neighbour"),
    "block_order": one_of("bond_first", "atom_first"),
    "atom_gate_activation": one_of("silu", "linear"),
    "edge_gate_bias": one_of(False, True),
    "bond_embedding_bias": one_of(False, True),
    "repulsion": one_of("none", "zbl"),
    "repulsion_inner": ANY,
    "repulsion_outer": ANY,
    "readout": one_of("extensive"),
    "readout_weight_hidden": NOT_READ,
    "set2set_steps": NOT_READ,
    "set2set_layers": NOT_READ,
    "classification": one_of(False),
    "num_targets": at_most(1),
    "target_mean": NOT_READ,
    "target_std": NOT_READ,
    "target_is_log": one_of(False),
    "state": one_of("none"),
    "state_size": NOT_READ,
    "state_features": NOT_READ,
    "state_hidden": NOT_READ,
}
COVERAGE = Coverage("chunked", TABLE)


def supports(config: M3GNetConfig) -> bool:
    """Whether this file computes such a model: any energy without a state input."""
    return COVERAGE.computes(config)


def preferable(model: M3GNet, num_edges: int) -> bool:
    """Whether this is better than automatic differentiation for so many bonds; it always takes less memory."""
    return num_edges > (CPU_BONDS if model.atom_embedding.weight.device.type == "cpu" else GPU_BONDS)


def energy_and_gradient(model: M3GNet, vectors: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor]:
    """Energy of every atom, and dE/dr of every bond.

    Args:
        model: of a config that `supports` accepts; its weights are only read.
        vectors: (edges, 3) Å, float64.
        graph: the batch. If its bonds are not sorted by centre, they are all one part.

    Returns:
        (atoms,) eV and (edges, 3) eV/Å, both float64.
    """
    energies, gradient = Pass(model, vectors, graph).run()
    if model.repulsion is None:
        return energies, gradient
    element = model.row_of_element[graph.atomic_numbers]
    more_energy, more_gradient = model.repulsion.energy_and_gradient(vectors, graph.edge_index, element)
    return energies + more_energy, gradient + more_gradient


@dataclass(frozen=True)
class Part:
    """The bonds of some atoms, as a graph of its own."""

    bonds: slice
    angles: slice  # of `angle_edges` of the batch
    atoms: Tensor  # (own atoms,) those at either end of a bond
    edge_index: Tensor  # (2, own bonds) rows of `atoms`
    angle_edges: Tensor  # (own angle_edges,) counted within the part
    onto: Tensor  # (own bonds,) the atom of the batch that (5) adds a bond's message to


def parts(graph: AtomGraph, bonds: int, onto: int) -> list[Part]:
    """The batch in parts.

    Args:
        graph: the batch.
        bonds: of a part, about: atoms are not divided.
        onto: row of `edge_index` that messages go to.
    """
    centre, angles = graph.edge_index[0], graph.angle_edges
    cuts = [0]
    if bool((centre[1:] >= centre[:-1]).all() & (angles[1:] >= angles[:-1]).all()):
        for end in torch.bincount(centre).cumsum(0).tolist():
            if end - cuts[-1] >= bonds:
                cuts.append(end)
    if graph.num_edges > cuts[-1]:
        cuts.append(graph.num_edges)
    if len(cuts) == 2:  # in any order
        starts = [0, len(angles)]
    else:
        starts = torch.searchsorted(angles.contiguous(), torch.tensor(cuts, device=angles.device)).tolist()
    found = []
    for (first, last), (first_angle, last_angle) in zip(pairwise(cuts), pairwise(starts), strict=True):
        ends = graph.edge_index[:, first:last]
        atoms, own = ends.unique(return_inverse=True)
        of_angles = slice(first_angle, last_angle)
        found.append(Part(slice(first, last), of_angles, atoms, own, angles[of_angles] - first, ends[onto]))
    return found


class Pass:
    """One evaluation."""

    def __init__(self, model: M3GNet, vectors: Tensor, graph: AtomGraph) -> None:
        self.model, self.graph = model, graph
        config = model.config
        with torch.enable_grad():
            self.vectors = vectors.to(model.dtype).detach().requires_grad_()
            lengths = torch.linalg.vector_norm(self.vectors, dim=1)
            edge_basis = model.edge_basis(lengths).flatten(1)
            of_angles = model.angular_basis(self.vectors[graph.angle_edges], lengths[graph.angle_edges])
        self.bases: list[Tensor] = [
            edge_basis,
            *of_angles,
        ]  # e⁰, then what (2) needs: they know their way to the vectors
        self.values = [it.detach() for it in self.bases]
        self.derivatives = [torch.zeros_like(it) for it in self.values]
        self.inside = (lengths.detach() < config.cutoff)[:, None] if config.edge_gate_bias else None
        # Some twelve arrays as wide as the layers of a gated perceptron live at once.
        width = max(config.edge_features, config.node_features, *config.update_hidden)
        room = GPU_PART_BYTES if vectors.is_cuda else PART_BYTES
        bonds = max(room // (12 * width * vectors.new_empty(0, dtype=model.dtype).element_size()), 1)
        self.parts = parts(graph, bonds, 0 if config.message_target == "centre" else 1)

    def run(self) -> tuple[Tensor, Tensor]:
        """Forward and backward."""
        model = self.model
        element = model.row_of_element[self.graph.atomic_numbers]
        blocks = [cast("M3GNetBlock", block) for block in model.blocks]
        with torch.no_grad():
            nodes, edges = model.atom_embedding(element), model.bond_embedding(self.values[0])
            kept = []
            for block in blocks:
                kept.append((nodes, edges))
                nodes, edges = self._forward(block, nodes, edges)
        with torch.enable_grad():
            leaf = nodes.detach().requires_grad_()
            energies = model.reference_energy(model.readout(leaf)[:, 0], element)  # (7)
            (d_nodes,) = torch.autograd.grad(energies.sum(), leaf)
        d_edges = torch.zeros_like(edges)
        for block in reversed(blocks):
            d_nodes = self._backward(block, *kept.pop(), d_nodes, d_edges)
        for part in self.parts:
            with torch.enable_grad():
                e0 = self.values[0][part.bonds].requires_grad_()
                (d_e0,) = torch.autograd.grad(model.bond_embedding(e0), e0, d_edges[part.bonds])
            self.derivatives[0][part.bonds] += d_e0
        live = [(it, d) for it, d in zip(self.bases, self.derivatives, strict=True) if it.requires_grad]  # not Y_00
        outputs, derivatives = [it for it, _ in live], [d for _, d in live]
        (gradient,) = torch.autograd.grad(outputs, self.vectors, derivatives, materialize_grads=True)
        return energies.detach(), gradient.double()

    def _leaves(self, part: Part) -> list[Tensor]:
        """The bases of a part, as arrays of which derivatives can be asked."""
        e0, *of_angles = self.values
        return [it.requires_grad_() for it in (e0[part.bonds], *(values[part.angles] for values in of_angles))]

    def _inside(self, part: Part) -> Tensor | None:
        return None if self.inside is None else self.inside[part.bonds]

    def _add(self, part: Part, derivatives: Sequence[Tensor]) -> None:
        """Derivatives by the bases, (edges of the part, ...), onto what there is."""
        self.derivatives[0][part.bonds] += derivatives[0]
        for total, one in zip(self.derivatives[1:], derivatives[1:], strict=True):
            total[part.angles] += one

    def _angles_and_messages(
        self, block: M3GNetBlock, part: Part, nodes: Tensor, edges: Tensor, bases: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """e_ij after (3), and where bonds come first after (4); and what (5) adds up.  Of a part alone."""
        e0, radial, envelope, harmonics = bases
        ends, inside = part.edge_index, self._inside(part)
        edges = block.three_body(nodes, edges, (radial, envelope, harmonics), ends, part.angle_edges)
        if not block.atom_first:
            edges = edges + block.bond_update(nodes, edges, None, e0, ends, inside)
        return edges, block.atom_update(nodes, edges, None, e0, ends, inside)

    def _forward(self, block: M3GNetBlock, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """V and e after a block."""
        after, edges_after = nodes.clone(), torch.empty_like(edges)
        for part in self.parts:
            own, messages = self._angles_and_messages(
                block, part, nodes[part.atoms], edges[part.bonds], self._leaves(part)
            )
            edges_after[part.bonds] = own
            after.index_add_(0, part.onto, messages)
        if block.atom_first:
            for part in self.parts:
                own, e0 = edges_after[part.bonds], self.values[0][part.bonds]
                own += block.bond_update(after[part.atoms], own, None, e0, part.edge_index, self._inside(part))
        return after, edges_after

    def _backward(self, block: M3GNetBlock, nodes: Tensor, edges: Tensor, d_nodes: Tensor, d_edges: Tensor) -> Tensor:
        """∂v before a block from that after it; ∂e is written over."""
        if block.atom_first:
            d_nodes = self._back_through_late_bonds(block, nodes, edges, d_nodes, d_edges)
        result = d_nodes.clone()
        for part in self.parts:
            with torch.enable_grad():
                before = nodes[part.atoms].requires_grad_(), edges[part.bonds].detach().requires_grad_()
                bases = self._leaves(part)
                after = self._angles_and_messages(block, part, *before, bases)
                d_after = d_edges[part.bonds], d_nodes[part.onto]
                d_own, d_bonds, *d_bases = torch.autograd.grad(
                    after, [*before, *bases], d_after, materialize_grads=True
                )
            result.index_add_(0, part.atoms, d_own)
            d_edges[part.bonds] = d_bonds
            self._add(part, d_bases)
        return result

    def _back_through_late_bonds(
        self, block: M3GNetBlock, nodes: Tensor, edges: Tensor, d_nodes: Tensor, d_edges: Tensor
    ) -> Tensor:
        """Through (4) where it comes last and reads v after (5): ∂v between them; ∂e is written over."""
        moved, between = nodes.clone(), torch.empty_like(edges)
        with torch.no_grad():
            for part in self.parts:
                own, messages = self._angles_and_messages(
                    block, part, nodes[part.atoms], edges[part.bonds], self._leaves(part)
                )
                between[part.bonds] = own
                moved.index_add_(0, part.onto, messages)
        result = d_nodes.clone()
        for part in self.parts:
            with torch.enable_grad():
                of_atoms, own = moved[part.atoms].requires_grad_(), between[part.bonds].requires_grad_()
                e0 = self.values[0][part.bonds].requires_grad_()
                after = own + block.bond_update(of_atoms, own, None, e0, part.edge_index, self._inside(part))
                d_atoms, d_own, d_e0 = torch.autograd.grad(after, (of_atoms, own, e0), d_edges[part.bonds])
            result.index_add_(0, part.atoms, d_atoms)
            d_edges[part.bonds] = d_own
            self.derivatives[0][part.bonds] += d_e0
        return result
