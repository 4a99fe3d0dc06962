"""One block of M3GNet: three-body to bond, then bond, atom and state updates, equations (2)-(6)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from tribond.nn.activations import silu
from tribond.nn.config import M3GNetConfig
from tribond.nn.gated_mlp import MLP, GatedMLP
from tribond.nn.three_body import ThreeBodyToBond
from tribond.typing import AngleEdges, EdgeBasis, EdgeFeatures, EdgeIndex, NodeFeatures, StateFeatures, SystemIndex


class GraphUpdate(nn.Module):
    """φ(v_i ⊕ v_j ⊕ e_ij ⊕ u) ⊙ W⁰ e⁰_ij: what (4) adds to a bond and (5) sums onto an atom."""

    def __init__(self, config: M3GNetConfig, out_features: int, state_width: int, *, activate_gate: bool) -> None:
        super().__init__()
        self.parts = (config.node_features, config.node_features, config.edge_features, state_width)
        self.phi = GatedMLP([sum(self.parts), *config.update_hidden, out_features])
        self.edge_gate = nn.Linear(config.num_edge_basis, out_features, bias=config.edge_gate_bias)
        self.activate_gate = activate_gate

    def forward(
        self,
        nodes: NodeFeatures,
        edges: EdgeFeatures,
        state_of_atom: Tensor | None,
        edge_basis: EdgeBasis,
        edge_index: EdgeIndex,
        inside: Tensor | None = None,
    ) -> Tensor:
        """The message of every bond.

        Args:
            nodes: (atoms, node_features) v.
            edges: (edges, edge_features) e.
            state_of_atom: (atoms, state_width) u of the system of every atom, or None.
            edge_basis: (edges, num_edge_basis) e⁰.
            edge_index: (2, edges).
            inside: (edges, 1) bool, bonds shorter than the cutoff: those that are not have no message. None where e⁰ alone
                sees to that, because its gate has no bias.

        Returns:
            (edges, out_features), zero with two derivatives at the cutoff if e⁰ is.
        """
        weight, bias = self.phi.first_layer()
        of_centre, of_neighbour, of_edge, of_state = weight.split(self.parts, dim=1)
        # W (v_i ⊕ v_j ⊕ e_ij ⊕ u) = W₁ v_i + W₂ v_j + W₃ e_ij + W₄ u: all but the third once per atom, not per bond.
        centre_part = linear(nodes, of_centre, bias)
        if state_of_atom is not None:
            centre_part = centre_part + linear(state_of_atom, of_state)
        centre, neighbour = edge_index
        first = linear(edges, of_edge) + centre_part[centre] + linear(nodes, of_neighbour)[neighbour]
        gate = self.edge_gate(edge_basis)
        if inside is not None:
            gate = torch.where(inside, gate, 0.0)
        return self.phi.after_first(first) * (silu(gate) if self.activate_gate else gate)


class M3GNetBlock(nn.Module):
    """Equations (2)-(6), in the order of the config."""

    def __init__(self, config: M3GNetConfig, state_width: int) -> None:
        super().__init__()
        self.three_body = ThreeBodyToBond(config)
        self.bond_update = GraphUpdate(config, config.edge_features, state_width, activate_gate=False)
        self.atom_update = GraphUpdate(
            config, config.node_features, state_width, activate_gate=config.atom_gate_activation == "silu"
        )
        self.state_update = (
            MLP([state_width + config.node_features, *config.state_hidden, config.state_features])
            if config.state != "none"
            else None
        )
        self.atom_first = config.block_order == "atom_first"
        self.onto = 0 if config.message_target == "centre" else 1  # the row of edge_index that (5) sums onto

    def forward(
        self,
        nodes: NodeFeatures,
        edges: EdgeFeatures,
        state: Float[Tensor, "systems state_width"] | None,
        *,
        edge_basis: EdgeBasis,
        angular_basis: tuple[Tensor, Tensor, Tensor],
        edge_index: EdgeIndex,
        angle_edges: AngleEdges,
        system_index: SystemIndex,
        inside: Tensor | None = None,
    ) -> tuple[NodeFeatures, EdgeFeatures, StateFeatures | None]:
        """v, e and u after this block."""
        edges = self.three_body(nodes, edges, angular_basis, edge_index, angle_edges)  # (2), (3)
        state_of_atom = None if state is None else state[system_index]
        if self.atom_first:
            nodes = self._update_atoms(nodes, edges, state_of_atom, edge_basis, edge_index, inside)
        edges = edges + self.bond_update(nodes, edges, state_of_atom, edge_basis, edge_index, inside)  # (4)
        if not self.atom_first:
            nodes = self._update_atoms(nodes, edges, state_of_atom, edge_basis, edge_index, inside)
        if self.state_update is not None and state is not None:
            mean = system_mean(nodes, system_index, state.shape[0])
            state = self.state_update(torch.cat([state, mean], dim=1))  # (6)
        return nodes, edges, state

    def _update_atoms(
        self,
        nodes: Tensor,
        edges: Tensor,
        state_of_atom: Tensor | None,
        edge_basis: Tensor,
        edge_index: Tensor,
        inside: Tensor | None,
    ) -> Tensor:
        messages = self.atom_update(nodes, edges, state_of_atom, edge_basis, edge_index, inside)
        return nodes.index_add(0, edge_index[self.onto], messages)  # (5)


def system_sum(nodes: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
    """Sum of v over the atoms of every system.  (atoms, columns) -> (systems, columns)."""
    return nodes.new_zeros(num_systems, nodes.shape[1]).index_add(0, system_index, nodes)


def system_mean(nodes: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
    """Mean of v over the atoms of every system; zero for a system without atoms.  (systems, columns)."""
    count = system_sum(torch.ones_like(nodes[:, :1]), system_index, num_systems)
    return system_sum(nodes, system_index, num_systems) / count.clamp(min=1)
