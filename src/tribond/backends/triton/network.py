"""Energy and dE/dr of every bond on a GPU: the equations of `nn`, the loops over bonds as Triton kernels.

Hidden features of bonds never leave the chip in the forward pass; e_ij before every block is kept, and the backward pass
computes the rest again. What belongs to atoms, not to bonds, is left to PyTorch. The host never waits for the device,
so that a pass can be captured in a CUDA graph.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tribond.backends.coverage import ANY, NOT_READ, Coverage, at_most, one_of, widths
from tribond.backends.coverage import Table as CoverageTable
from tribond.backends.known import check
from tribond.backends.triton.bonds import Bonds
from tribond.backends.triton.launch import Angles, Bases, Launcher, Tile, Tiles
from tribond.backends.triton.weights import BlockWeights, Precision, Table, Weights
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.activations import sigmoid_backward
from tribond.nn.m3gnet import M3GNet

WIDEST = 128  # features: the weights of a wider layer do not fit on the chip
MOST_FUNCTIONS = 32  # radial functions of any kind
PRECISION: Precision = "fp16x3"  # the fastest that is as close to float64 as float32 is

# What is computed, field by field: see coverage.py.
TABLE: CoverageTable = {
    "elements": ANY,
    "cutoff": ANY,
    "threebody_cutoff": ANY,
    "max_n": ANY,
    "max_l": at_most(4),  # harmonics are written out up to l = 3
    "bodies": one_of(3),
    "num_blocks": ANY,
    "node_features": at_most(WIDEST),
    "edge_features": at_most(WIDEST),
    "update_hidden": widths(1, 2, WIDEST),
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
COVERAGE = Coverage(
    "Triton",
    TABLE,
    together=((f"max_n · max_l below {MOST_FUNCTIONS}", lambda config: config.max_l * config.max_n < MOST_FUNCTIONS),),
)


def supports(model: M3GNet) -> bool:
    """Whether the model's config is one that is computed, in float32; `known` says whether the model is its config's."""
    return COVERAGE.computes(model.config) and model.dtype == torch.float32


def energy_and_gradient(
    model: M3GNet,
    vectors: Tensor,
    graph: AtomGraph,
    *,
    precision: Precision = PRECISION,
    weights: Weights | None = None,
) -> tuple[Tensor, Tensor]:
    """Energy of every atom, and dE/dr of every bond.

    Args:
        model: one that `supports` accepts, on the device of the graph; its weights are only read.
        vectors: (edges, 3) Å, float64.
        graph: the batch, on a GPU.
        precision: of the matrix products in the updates: "fp16x3" and "tf32x3" are float32 but for the last bit or
            two, "tf32x3" for numbers beyond 65504, too; "tf32" is off by some meV.
        weights: `Weights.of(model, precision)`, if it was called already.

    Returns:
        (atoms,) eV and (edges, 3) eV/Å, both float64.
    """
    if weights is None:
        check(model)
    with torch.no_grad():
        element = model.row_of_element[graph.atomic_numbers]
        bonds = Bonds.of(graph.edge_index, graph.num_atoms)
        return Pass(weights or Weights.of(model, precision), bonds).run(vectors.contiguous(), element)


def tiles(weights: Weights) -> Tiles:
    """Those that were found to be quick on an H100."""
    config = weights.model.config
    if max(config.node_features, config.edge_features, *config.update_hidden) > 64:
        return Tiles(
            *[Tile(32, 4, 255)] * 3
        )  # without a bound the compiler once took 32 registers, and memory for all else
    forward = Tile(64, 4, 168) if weights.precision == "fp16x3" else Tile(64, 4)
    return Tiles(forward, Tile(64, 4), Tile(64, 4))


@dataclass(frozen=True)
class Kept:
    """What the backward pass through a block needs."""

    nodes: Tensor  # (atoms, node_features) v before the block
    moved: Tensor  # the same after it
    edges: Tensor  # (capacity, edge_features) e before the block
    after: Tensor  # the same after it
    angles: Angles


class Pass:
    """One evaluation after the other of one model on the bonds of one batch.

    Args:
        weights: of the model.
        bonds: of the batch.
        chosen: tiles of the kernels; None for those that were found to be quick.
    """

    def __init__(self, weights: Weights, bonds: Bonds, chosen: Tiles | None = None) -> None:
        self.weights, self.bonds = weights, bonds
        self.on = Launcher(weights, bonds, chosen or tiles(weights))
        config = weights.model.config
        self.atom_first = config.block_order == "atom_first"
        self.messages_at_neighbour = config.message_target == "neighbour"
        self.gates_at_neighbour = config.angle_gate == "end"

    def run(self, vectors: Tensor, element: Tensor) -> tuple[Tensor, Tensor]:
        """Forward and backward.

        Args:
            vectors: (capacity, 3) Å, float64 or float32.
            element: (atoms,) rows of the embedding.

        Returns:
            (atoms,) eV and (capacity, 3) eV/Å, float64.
        """
        if self.bonds.num_atoms == 0:
            return vectors.new_zeros(0, dtype=torch.float64), torch.zeros_like(vectors, dtype=torch.float64)
        with torch.cuda.device_of(vectors):  # Triton starts kernels on the current device
            energies, gradient = self._run(vectors, element)
            if self.weights.model.repulsion is None:
                return energies, gradient
            more_energy, more_gradient = self._repulsion(vectors, element)
            return energies + more_energy, gradient + more_gradient

    def _repulsion(self, vectors: Tensor, element: Tensor) -> tuple[Tensor, Tensor]:
        """By PyTorch; places without a bond are filled with bonds that are too long for it."""
        repulsion, atoms = self.weights.model.repulsion, self.bonds.num_atoms
        if repulsion is None:
            raise AssertionError("asked of models that have it")
        filler = (self.bonds.centre == atoms)[:, None]
        far = torch.where(filler, self.weights.model.config.cutoff, vectors)
        ends = torch.stack([self.bonds.centre, self.bonds.neighbour]).long().clamp(max=atoms - 1)
        return repulsion.energy_and_gradient(far, ends, element)

    def _run(self, vectors: Tensor, element: Tensor) -> tuple[Tensor, Tensor]:
        bases = self.on.bases(vectors)
        nodes, edges = self.weights.model.atom_embedding(element), self.on.embed(bases.e0)
        last = len(self.weights.blocks) - 1
        kept = []
        for index, block in enumerate(self.weights.blocks):
            kept.append(self._forward(block, bases, nodes, edges, last=index == last))
            nodes, edges = kept[-1].moved, kept[-1].after
        energies, d_nodes = self._read_out(nodes, element)
        d, d_edges = self.on.zero_bases(), torch.zeros_like(edges)
        del edges
        for index in range(last, -1, -1):
            block = self.weights.blocks[index]
            d_nodes = self._backward(block, bases, kept.pop(), d_nodes, d_edges, d, last=index == last)
        self.on.embed_back(bases.e0, d_edges, d.e0)
        return energies, self.on.bases_back(vectors, d)

    def _forward(self, block: BlockWeights, bases: Bases, nodes: Tensor, edges: Tensor, *, last: bool) -> Kept:
        """V and e after a block."""
        early = _table(block.early, nodes)
        angles = self.on.angles(bases, torch.sigmoid(_part(block.early, early, "gate")))
        of_atom = _part(block.early, early, "atom")
        if not self.atom_first:
            of_bond = _part(block.early, early, "bond")
            after = self.on.message(block, block.bond, of_bond, edges, bases.e0, angles, onto_bonds=True)
            messages = self.on.message(block, block.atom, of_atom, after, bases.e0, None, onto_bonds=False)
            return Kept(nodes, self._moved(nodes, messages), edges, after, angles)
        messages = self.on.message(block, block.atom, of_atom, edges, bases.e0, angles, onto_bonds=False)
        moved, after = self._moved(nodes, messages), edges
        if block.late is not None and not last:  # nobody reads the last e
            of_bond = _table(block.late, moved)
            after = self.on.message(block, block.bond, of_bond, edges, bases.e0, angles, onto_bonds=True)
        return Kept(nodes, moved, edges, after, angles)

    def _moved(self, nodes: Tensor, messages: Tensor) -> Tensor:
        moved = torch.empty_like(nodes)
        self.on.sums(messages, moved, by_neighbour=self.messages_at_neighbour, before=nodes)
        return moved

    def _backward(
        self, block: BlockWeights, bases: Bases, kept: Kept, d_nodes: Tensor, d_edges: Tensor, d: Bases, *, last: bool
    ) -> Tensor:
        """∂v before a block from that after it; `d_edges` is written over, the derivatives by the bases are added to."""
        early = _table(block.early, kept.nodes)
        of_atom = _part(block.early, early, "atom")
        d_early = torch.zeros_like(early)
        if self.atom_first:
            if block.late is not None and not last:
                of_bond = _table(block.late, kept.moved)
                d_first = self.on.message_back(
                    block, block.bond, of_bond, kept.edges, d_edges, bases.e0, d.e0, kept.angles, d_nodes=None
                )
                d_late = torch.zeros_like(of_bond)
                self._sum_ends(d_first, d_late)
                del d_first  # the largest array there is
                d_nodes = torch.addmm(d_nodes, d_late, block.late.weight)
            d_first = self.on.message_back(
                block, block.atom, of_atom, kept.edges, d_edges, bases.e0, d.e0, kept.angles, d_nodes=d_nodes
            )
            self._sum_ends(d_first, _part(block.early, d_early, "atom"))
        else:
            d_first = self.on.message_back(
                block, block.atom, of_atom, kept.after, d_edges, bases.e0, d.e0, None, d_nodes=d_nodes
            )
            self._sum_ends(d_first, _part(block.early, d_early, "atom"))
            del d_first
            of_bond = _part(block.early, early, "bond")
            d_first = self.on.message_back(
                block, block.bond, of_bond, kept.edges, d_edges, bases.e0, d.e0, kept.angles, d_nodes=None
            )
            self._sum_ends(d_first, _part(block.early, d_early, "bond"))
        del d_first
        d_messages = self.on.angle_layers_back(block, d_edges, kept.angles)
        d_of_bonds = self.on.angles_back(bases, kept.angles, d_messages, d)
        d_gate = torch.empty_like(kept.angles.gate)
        self.on.sums(d_of_bonds, d_gate, by_neighbour=self.gates_at_neighbour)
        _part(block.early, d_early, "gate").copy_(sigmoid_backward(d_gate, kept.angles.gate))
        return torch.addmm(d_nodes, d_early, block.early.weight)

    def _sum_ends(self, d_first: Tensor, d_table: Tensor) -> None:
        """The derivative by what both ends of a bond bring to the first layer, in the order of the table."""
        half = d_first.shape[1]
        self.on.sums(d_first, d_table[:, :half], by_neighbour=False)
        self.on.sums(d_first, d_table[:, half:], by_neighbour=True)

    def _read_out(self, nodes: Tensor, element: Tensor) -> tuple[Tensor, Tensor]:
        """Energy of every atom (7), and its derivative by v_i."""
        with torch.enable_grad():
            leaf = nodes.detach().requires_grad_()
            energies = self.weights.model.reference_energy(self.weights.model.readout(leaf)[:, 0], element)
            (gradient,) = torch.autograd.grad(energies.sum(), leaf)
        return energies.detach(), gradient


def _table(table: Table, nodes: Tensor) -> Tensor:
    """All maps of a table.  (atoms, node_features) -> (atoms, columns)."""
    return torch.addmm(table.bias, nodes, table.weight.T)


def _part(table: Table, values: Tensor, name: str) -> Tensor:
    """The columns of one map, seen."""
    return values[:, table.columns[name]]
