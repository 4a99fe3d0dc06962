"""From atom features to what was asked: the energy of every atom (7), or one property of a system (8)-(9)."""

from typing import cast

import torch
from torch import Tensor, nn

from tribond.nn.block import system_mean
from tribond.nn.config import M3GNetConfig
from tribond.nn.gated_mlp import MLP, GatedMLP


class AtomicReadout(nn.Module):
    """φ₃(v_i): a gated MLP without activation at its end, one number an atom (7)."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        self.phi = GatedMLP([config.node_features, *config.readout_hidden, config.num_targets], activate_last=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """(atoms, node_features) -> (atoms, num_targets)."""
        return self.phi(nodes)


class WeightedAtomPooling(nn.Module):
    """Σ_i w_i ξ(v_i) / Σ_i w_i with learned weights w_i = σ(...)  (9)."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        width = config.readout_hidden[-1]
        self.features = MLP([config.node_features, *config.readout_hidden])
        self.weight = MLP([config.node_features, *config.readout_weight_hidden, 1], activate_last=False)
        self.width = width

    def forward(self, nodes: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
        """(atoms, node_features) -> (systems, readout_hidden[-1])."""
        weight = torch.sigmoid(self.weight(nodes))
        total = weight.new_zeros(num_systems, 1).index_add(0, system_index, weight)
        return nodes.new_zeros(num_systems, self.width).index_add(
            0, system_index, weight / total[system_index] * self.features(nodes)
        )


class Set2SetPooling(nn.Module):
    """Set2Set (Vinyals et al., arXiv 1511.06391): an LSTM that asks the atoms the same number of questions each time."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        features = config.node_features
        self.lstm = nn.LSTM(2 * features, features, num_layers=config.set2set_layers)
        self.steps = config.set2set_steps
        self.width = 2 * features

    def forward(self, nodes: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
        """(atoms, node_features) -> (systems, 2 · node_features)."""
        features = nodes.shape[1]
        memory = nodes.new_zeros(2, self.lstm.num_layers, num_systems, features)
        hidden, cell = memory.unbind(0)
        asked = nodes.new_zeros(num_systems, 2 * features)
        for _ in range(self.steps):
            query, (hidden, cell) = self.lstm(asked[None], (hidden, cell))
            query = query[0]
            score = (nodes * query[system_index]).sum(1)
            attention = _softmax_per_system(score, system_index, num_systems)
            answer = nodes.new_zeros(num_systems, features).index_add(0, system_index, attention[:, None] * nodes)
            asked = torch.cat([query, answer], dim=1)
        return asked


class MeanPooling(nn.Module):
    """Mean of v_i over the atoms of a system."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        self.width = config.node_features

    def forward(self, nodes: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
        """(atoms, node_features) -> (systems, node_features)."""
        return system_mean(nodes, system_index, num_systems)


class IntensiveReadout(nn.Module):
    """One property a system (8): pool the atoms, join u, and an MLP; a sigmoid at the end for classes."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        poolings = {"weighted_atom": WeightedAtomPooling, "set2set": Set2SetPooling, "mean": MeanPooling}
        self.pooling = poolings[config.readout](config)
        pooled_width = cast("int", self.pooling.width)
        state_width = config.state_features if config.state != "none" else 0
        hidden = config.readout_hidden
        self.mlp = MLP([pooled_width + state_width, *hidden, config.num_targets], activate_last=False)
        self.classification = config.classification

    def forward(self, nodes: Tensor, state: Tensor | None, system_index: Tensor, num_systems: int) -> Tensor:
        """(atoms, node_features), (systems, state_features) -> (systems, num_targets)."""
        pooled = self.pooling(nodes, system_index, num_systems)
        if state is not None:
            pooled = torch.cat([pooled, state], dim=1)
        value = self.mlp(pooled)
        return torch.sigmoid(value) if self.classification else value


def _softmax_per_system(score: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
    """Softmax over the atoms of every system.  (atoms,) -> (atoms,)."""
    top = score.new_full((num_systems,), -torch.inf).scatter_reduce(0, system_index, score, "amax")
    exponential = torch.exp(score - top[system_index])
    total = score.new_zeros(num_systems).index_add(0, system_index, exponential)
    return exponential / total[system_index]
