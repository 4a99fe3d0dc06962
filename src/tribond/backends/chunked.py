"""Energy and dE/dr of every bond in one pass there and one back, bond by bond in chunks that stay in the cache.

The same equations as `nn`, with their derivatives written out. PyTorch's automatic differentiation keeps every
intermediate of every bond, some 10 kB each, and streams them through memory; here a chunk of bonds goes through an
update while it is in the cache, and only e_ij before every block is kept. What else the way back needs is computed
again. Symbols and equation numbers are those of the paper; ∂x stands for dE/dx.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from tribond.backends.weights import linears
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.activations import sigmoid_backward, silu_backward
from tribond.nn.block import GraphUpdate, M3GNetBlock
from tribond.nn.config import M3GNetConfig
from tribond.nn.m3gnet import M3GNet
from tribond.nn.three_body import ThreeBodyToBond

# Of a chunk of hidden features, core and gate. On a CPU half the second-level cache of a core or less; on a GPU, where
# every chunk costs the start of some hundred kernels, as much as memory comfortably has.
CHUNK_BYTES = 2**20
GPU_CHUNK_BYTES = 2**28
GPU_BONDS = 200_000  # up to here, 5 GB, a GPU is faster by automatic differentiation


def supports(config: M3GNetConfig) -> bool:
    """Whether this file computes such a model: an energy, without a state input, and with hidden layers."""
    return config.readout == "extensive" and config.state == "none" and len(config.update_hidden) > 0


def preferable(model: M3GNet, num_edges: int) -> bool:
    """Whether this is faster than automatic differentiation for so many bonds; it always takes less memory."""
    return model.row_of_element.device.type == "cpu" or num_edges > GPU_BONDS


def energy_and_gradient(model: M3GNet, vectors: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor]:
    """Energy of every atom, and dE/dr of every bond.

    Args:
        model: of a config that `supports` accepts; its weights are only read.
        vectors: (edges, 3) Å, float64.
        graph: the batch.

    Returns:
        (atoms,) eV and (edges, 3) eV/Å, both float64.
    """
    with torch.no_grad():
        beyond = torch.linalg.vector_norm(vectors, dim=1) >= model.config.cutoff
        if not model.config.edge_gate_bias or not beyond.any():
            return Pass(model, vectors, graph).run()
        # A bias in the gates of e⁰ would give messages to bonds that count nothing.
        gradient = torch.zeros_like(vectors)
        energies, gradient[~beyond] = Pass(model, vectors[~beyond], _without(graph, beyond)).run()
        return energies, gradient


def _without(graph: AtomGraph, beyond: Tensor) -> AtomGraph:
    """The graph without some of its bonds, (edges,) bool."""
    number = (~beyond).cumsum(0) - 1  # of a bond among those that stay
    angles = graph.angle_edges[~beyond[graph.angle_edges]]
    return replace(
        graph,
        edge_index=graph.edge_index[:, ~beyond],
        cell_shifts=graph.cell_shifts[~beyond],
        angle_edges=number[angles],
    )


@dataclass(frozen=True)
class Bases:
    """What depends on the bond vectors alone, with the way back to them."""

    vectors: Tensor  # (edges, 3)
    edge: Tensor  # (edges, num_edge_basis) e⁰
    radial: Tensor  # (angle_edges, max_l, max_n)
    envelope: Tensor  # (angle_edges,)
    harmonics: Tensor  # (angle_edges, max_l²)

    @staticmethod
    def of(model: M3GNet, vectors: Tensor, angle_edges: Tensor) -> "Bases":
        """Few numbers a bond: automatic differentiation does them well."""
        with torch.enable_grad():
            leaf = vectors.to(model.dtype).detach().requires_grad_()
            lengths = torch.linalg.vector_norm(leaf, dim=1)
            edge = model.edge_basis(lengths).flatten(1)
            radial, envelope, harmonics = model.angular_basis(leaf[angle_edges], lengths[angle_edges])
        return Bases(leaf, edge, radial, envelope, harmonics)

    def gradient(self, edge: Tensor, radial: Tensor, envelope: Tensor, harmonics: Tensor) -> Tensor:
        """∂r_ij from the derivatives by all bases.  (edges, 3)."""
        outputs = (self.edge, self.radial, self.envelope, self.harmonics)
        derivatives = (edge, radial, envelope, harmonics)
        live = [(o, d) for o, d in zip(outputs, derivatives, strict=True) if o.requires_grad]  # Y_00 alone is constant
        (result,) = torch.autograd.grad(
            [output for output, _ in live], self.vectors, [d for _, d in live], materialize_grads=True
        )
        return result


class Pass:
    """One evaluation: the bases, e and v before every block, and the derivatives by the bases as they add up."""

    def __init__(self, model: M3GNet, vectors: Tensor, graph: AtomGraph) -> None:
        self.model, self.graph = model, graph
        self.centre, self.neighbour = graph.edge_index
        self.bases = Bases.of(model, vectors, graph.angle_edges)
        self.e0 = self.bases.edge.detach()
        self.angles = Angles(self.bases, graph)
        self.d_e0 = torch.zeros_like(self.e0)
        width = 2 * model.config.update_hidden[0] * self.e0.element_size()
        self.chunk = max((GPU_CHUNK_BYTES if vectors.is_cuda else CHUNK_BYTES) // width, 1)

    def run(self) -> tuple[Tensor, Tensor]:
        """There and back."""
        model = self.model
        element = model.row_of_element[self.graph.atomic_numbers]
        nodes = model.atom_embedding(element)
        edges, first = self._embed_bonds()
        kept = []
        for block in model.blocks:
            kept.append((nodes, edges))
            nodes, edges = self.forward(cast("M3GNetBlock", block), nodes, edges.clone())
        energies, d_nodes = self._read_out(nodes, element)
        d_edges = torch.zeros_like(edges)
        for block, (nodes, edges) in zip(reversed(model.blocks), reversed(kept), strict=True):
            d_nodes, d_edges = self.backward(cast("M3GNetBlock", block), nodes, edges, d_nodes, d_edges)
        self.d_e0.addmm_(silu_backward(d_edges, first), linears(model.bond_embedding.layers)[0].weight)
        return energies, self.bases.gradient(self.d_e0, *self.angles.derivatives()).double()

    def _embed_bonds(self) -> tuple[Tensor, Tensor]:
        """e_ij = g(L e⁰_ij), and the argument of g."""
        layer = linears(self.model.bond_embedding.layers)[0]
        first = linear(self.e0, layer.weight, layer.bias)
        return silu(first), first

    def _read_out(self, nodes: Tensor, element: Tensor) -> tuple[Tensor, Tensor]:
        """Energy of every atom (7), and its derivative by v_i: per atom, so automatic differentiation will do."""
        with torch.enable_grad():
            leaf = nodes.detach().requires_grad_()
            energies = self.model.reference_energy(self.model.readout(leaf)[:, 0], element)
            (gradient,) = torch.autograd.grad(energies.sum(), leaf)
        return energies.detach(), gradient

    def chunks(self) -> Iterator[slice]:
        """Bonds in order, a chunk at a time."""
        for start in range(0, self.graph.num_edges, self.chunk):
            yield slice(start, min(start + self.chunk, self.graph.num_edges))

    # ------------------------------------------------------------------------------------ one block

    def forward(self, block: M3GNetBlock, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """V and e after a block; `edges` is written over."""
        edges.index_add_(0, self.graph.angle_edges, self.angles.forward(block.three_body, nodes))
        if block.atom_first:
            nodes = self._sum_messages(block, nodes, edges)
        update = Update(block.bond_update, nodes)
        for part in self.chunks():
            edges[part] += update.message(edges[part], self.e0[part], self.centre[part], self.neighbour[part])
        if not block.atom_first:
            nodes = self._sum_messages(block, nodes, edges)
        return nodes, edges

    def _sum_messages(self, block: M3GNetBlock, nodes: Tensor, edges: Tensor) -> Tensor:
        update, after = Update(block.atom_update, nodes), nodes.clone()
        for part in self.chunks():
            message = update.message(edges[part], self.e0[part], self.centre[part], self.neighbour[part])
            after.index_add_(0, self.graph.edge_index[block.onto, part], message)
        return after

    def backward(
        self, block: M3GNetBlock, nodes: Tensor, edges: Tensor, d_nodes: Tensor, d_edges: Tensor
    ) -> tuple[Tensor, Tensor]:
        """∂v and ∂e before a block from those after it."""
        # e after (3): both updates read it. Where bonds come first, (5) reads e after (4), made again chunk by chunk.
        between = edges.index_add(0, self.graph.angle_edges, self.angles.forward(block.three_body, nodes))
        if block.atom_first:
            moved = self._sum_messages(block, nodes, between)
            bond = Update(block.bond_update, moved)
            atom = Update(block.atom_update, nodes)
        else:
            bond = Update(block.bond_update, nodes)
            atom = Update(block.atom_update, nodes)
        d_edges = d_edges.clone()
        if block.atom_first:
            self._back_through_bonds(bond, between, d_edges)
            d_nodes = d_nodes + bond.d_nodes()
            self._back_through_atoms(block, atom, between, None, d_nodes, d_edges)
            d_nodes = d_nodes + atom.d_nodes()
        else:
            self._back_through_atoms(block, atom, between, bond, d_nodes, d_edges)
            d_nodes = d_nodes + atom.d_nodes()
            self._back_through_bonds(bond, between, d_edges)
            d_nodes = d_nodes + bond.d_nodes()
        d_nodes = d_nodes + self.angles.backward(
            block.three_body, nodes, d_edges.index_select(0, self.graph.angle_edges)
        )
        return d_nodes, d_edges

    def _back_through_atoms(
        self,
        block: M3GNetBlock,
        atom: "Update",
        between: Tensor,
        bond: "Update | None",
        d_nodes: Tensor,
        d_edges: Tensor,
    ) -> None:
        """(5): ∂e += ..., in place; if `bond` is given, e is first taken through (4)."""
        for part in self.chunks():
            ends = self.centre[part], self.neighbour[part]
            edges = between[part]
            if bond is not None:
                edges = edges + bond.message(edges, self.e0[part], *ends)
            d_message = d_nodes.index_select(0, self.graph.edge_index[block.onto, part])
            d_edges[part] += atom.backward(edges, self.e0[part], *ends, d_message, self.d_e0[part])

    def _back_through_bonds(self, bond: "Update", between: Tensor, d_edges: Tensor) -> None:
        """(4): ∂e += ..., in place."""
        for part in self.chunks():
            ends = self.centre[part], self.neighbour[part]
            d_edges[part] += bond.backward(between[part], self.e0[part], *ends, d_edges[part], self.d_e0[part])


class Update:
    """φ(v_i ⊕ v_j ⊕ e_ij) ⊙ W⁰ e⁰_ij of (4) or (5) for chunks of bonds, given v of all atoms."""

    def __init__(self, update: GraphUpdate, nodes: Tensor) -> None:
        weight, bias = update.phi.first_layer()
        self.of_centre, self.of_neighbour, self.of_edge, _ = weight.split(update.parts, dim=1)
        self.centre_part = linear(nodes, self.of_centre, bias)  # W₁ v_i + b
        self.neighbour_part = linear(nodes, self.of_neighbour)  # W₂ v_j
        self.layers = list(zip(linears(update.phi.core), linears(update.phi.gate), strict=True))[1:]
        self.edge_gate, self.activate_gate = update.edge_gate, update.activate_gate
        self.d_centre_part: Tensor | None = None
        self.d_neighbour_part: Tensor | None = None

    def _first(self, edges: Tensor, centre: Tensor, neighbour: Tensor) -> Tensor:
        first = self.centre_part.index_select(0, centre)
        first += self.neighbour_part.index_select(0, neighbour)
        return first.addmm_(edges, self.of_edge.T)

    def _gate(self, e0: Tensor) -> Tensor:
        return linear(e0, self.edge_gate.weight, self.edge_gate.bias)

    def message(self, edges: Tensor, e0: Tensor, centre: Tensor, neighbour: Tensor) -> Tensor:
        """(chunk, edge_features), (chunk, num_edge_basis), atoms at both ends -> (chunk, out_features)."""
        hidden = silu(self._first(edges, centre, neighbour), inplace=True)
        core, gate = hidden.chunk(2, dim=1)
        for depth, (of_core, of_gate) in enumerate(self.layers):
            if depth > 0:
                core = silu(core, inplace=True)
                gate = silu(gate, inplace=True)
            core, gate = linear(core, of_core.weight, of_core.bias), linear(gate, of_gate.weight, of_gate.bias)
        scale = self._gate(e0)
        if self.activate_gate:
            scale = silu(scale, inplace=True)
        return silu(core, inplace=True).mul_(gate.sigmoid_()).mul_(scale)

    def backward(
        self, edges: Tensor, e0: Tensor, centre: Tensor, neighbour: Tensor, d_message: Tensor, d_e0: Tensor
    ) -> Tensor:
        """∂e of a chunk from ∂message; adds to `d_e0` in place, and to what becomes ∂v.  (chunk, edge_features)."""
        first = self._first(edges, centre, neighbour)
        hidden = silu(first)
        core, gate = hidden.chunk(2, dim=1)
        arguments = []  # of the activations between the layers, core and gate
        for depth, (of_core, of_gate) in enumerate(self.layers):
            if depth > 0:
                arguments.append((core, gate))
                core, gate = silu(core), silu(gate)
            core, gate = linear(core, of_core.weight, of_core.bias), linear(gate, of_gate.weight, of_gate.bias)
        said, share = silu(core), gate.sigmoid_()
        argument = self._gate(e0)
        scale = silu(argument) if self.activate_gate else argument
        d_scale = (said * share).mul_(d_message)
        if self.activate_gate:
            d_scale = silu_backward(d_scale, argument)
        d_e0.addmm_(d_scale, self.edge_gate.weight)
        d_out = d_message * scale
        d_gate = sigmoid_backward(d_out * said, share)
        d_core = silu_backward(d_out.mul_(share), core)
        for (of_core, of_gate), (core, gate) in zip(self.layers[:0:-1], arguments[::-1], strict=True):
            d_core = silu_backward(d_core @ of_core.weight, core)
            d_gate = silu_backward(d_gate @ of_gate.weight, gate)
        of_core, of_gate = self.layers[0]
        d_hidden = torch.empty_like(hidden)
        half = hidden.shape[1] // 2
        torch.mm(d_core, of_core.weight, out=d_hidden[:, :half])
        torch.mm(d_gate, of_gate.weight, out=d_hidden[:, half:])
        d_first = silu_backward(d_hidden, first)
        if self.d_centre_part is None or self.d_neighbour_part is None:
            self.d_centre_part = torch.zeros_like(self.centre_part)
            self.d_neighbour_part = torch.zeros_like(self.neighbour_part)
        self.d_centre_part.index_add_(0, centre, d_first)
        self.d_neighbour_part.index_add_(0, neighbour, d_first)
        return d_first @ self.of_edge

    def d_nodes(self) -> Tensor:
        """∂v through both ends of all chunks that went back.  (atoms, node_features)."""
        if self.d_centre_part is None or self.d_neighbour_part is None:
            return self.centre_part.new_zeros(self.centre_part.shape[0], self.of_centre.shape[1])
        return self.d_centre_part @ self.of_centre + self.d_neighbour_part @ self.of_neighbour


class Angles:
    """(2) and (3) for the bonds within the three-body cutoff, and the derivatives by their bases as they add up.

    Arrays of all l together have columns (l,m) as the harmonics have, each with max_n numbers.
    """

    def __init__(self, bases: Bases, graph: AtomGraph) -> None:
        self.radial, self.envelope, self.harmonics = (
            it.detach() for it in (bases.radial, bases.envelope, bases.harmonics)
        )
        self.centre, self.neighbour = (row.index_select(0, graph.angle_edges) for row in graph.edge_index)
        self.num_atoms = graph.num_atoms
        max_l = self.radial.shape[1]
        self.columns = [slice(l * l, (l + 1) ** 2) for l in range(max_l)]
        l_of_column = [l for l in range(max_l) for _ in range(2 * l + 1)]
        self.l_of_column = torch.tensor(l_of_column, device=self.radial.device)
        poles = [math.sqrt((2 * l + 1) / (4 * math.pi)) for l in range(max_l)]  # Y_l0(0)
        self.poles = self.radial.new_tensor(poles)[:, None]
        self.of_density = self.harmonics / self.poles[self.l_of_column, 0]  # Y_lm / Y_l0(0), to read a density back
        self.enveloped = self.envelope[:, None, None] * self.radial
        self.d_enveloped = torch.zeros_like(self.radial)
        self.d_envelope = torch.zeros_like(self.envelope)
        self.d_harmonics = torch.zeros_like(self.harmonics)

    def derivatives(self) -> tuple[Tensor, Tensor, Tensor]:
        """∂radial, ∂envelope, ∂harmonics."""
        d_envelope = self.d_envelope + (self.d_enveloped * self.radial).sum((1, 2))
        return self.envelope[:, None, None] * self.d_enveloped, d_envelope, self.d_harmonics

    def _gate(self, layer: ThreeBodyToBond, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """σ(W_v v + b_v) of every atom, and the atom that gates each bond."""
        gated_by = self.neighbour if layer.gated_atom == "end" else self.centre
        return torch.sigmoid(layer.atom_gate(nodes)).unflatten(1, layer.shape), gated_by

    def _gathered(self, contributions: Tensor) -> Tensor:
        """The sum over the bonds of an atom, seen from each of them.  (angle_edges, columns, max_n) -> the same."""
        flat = contributions.flatten(1)
        total = flat.new_zeros(self.num_atoms, flat.shape[1]).index_add_(0, self.centre, flat)
        return total.index_select(0, self.centre).view_as(contributions)

    def _by_l(self, values: Tensor) -> Tensor:
        """The sum over m.  (angle_edges, columns, max_n) -> (angle_edges, max_l, max_n)."""
        return torch.stack([values[:, columns].sum(1) for columns in self.columns], dim=1)

    def _messages(self, weighted: Tensor) -> tuple[Tensor, Tensor]:
        """ẽ_ij / f_c(r_ij), (angle_edges, max_l, max_n), and the density A_i, (angle_edges, columns, max_n)."""
        density = self._gathered(self.harmonics[:, :, None] * weighted.index_select(1, self.l_of_column))
        return self._by_l(self.of_density[:, :, None] * density) - self.poles * weighted, density

    def forward(self, layer: ThreeBodyToBond, nodes: Tensor) -> Tensor:
        """What (3) adds to every bond.  (angle_edges, edge_features)."""
        gate, gated_by = self._gate(layer, nodes)
        bare, _ = self._messages(self.enveloped * gate.index_select(0, gated_by))
        return layer.bond_update((self.envelope[:, None, None] * bare).flatten(1))

    def backward(self, layer: ThreeBodyToBond, nodes: Tensor, d_edges: Tensor) -> Tensor:
        """∂v from ∂e; adds to the derivatives by the bases.  (atoms, node_features)."""
        gate, gated_by = self._gate(layer, nodes)
        of_bond = gate.index_select(0, gated_by)
        weighted = self.enveloped * of_bond
        bare, density = self._messages(weighted)
        (core_layer,), (gate_layer,) = linears(layer.bond_update.core), linears(layer.bond_update.gate)
        messages = (self.envelope[:, None, None] * bare).flatten(1)
        core, share = linear(messages, core_layer.weight), torch.sigmoid(linear(messages, gate_layer.weight))
        d_core = silu_backward(d_edges * share, core)
        d_share = sigmoid_backward(d_edges * silu(core), share)
        d_messages = (d_core @ core_layer.weight + d_share @ gate_layer.weight).unflatten(1, layer.shape)
        self.d_envelope += (d_messages * bare).sum((1, 2))
        d_bare = self.envelope[:, None, None] * d_messages
        d_seen = (d_bare / self.poles).index_select(1, self.l_of_column)
        back = self._gathered(self.harmonics[:, :, None] * d_seen)
        d_weighted = self._by_l(self.harmonics[:, :, None] * back) - self.poles * d_bare
        self.d_harmonics += (density * d_seen + back * weighted.index_select(1, self.l_of_column)).sum(2)
        self.d_enveloped += d_weighted * of_bond
        d_gate = torch.zeros_like(gate).index_add_(0, gated_by, d_weighted * self.enveloped)
        return sigmoid_backward(d_gate, gate).flatten(1) @ layer.atom_gate.weight
