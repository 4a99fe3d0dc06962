"""From atom features to what was asked: the energy of every atom (7), or one property of a system (8)-(9)."""

from typing import cast

import torch
from torch import Tensor, nn

from tribond.nn.block import system_mean, system_sum
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
    """Σ_i w_i ξ(v_i) / Σ_i w_i with learned weights w_i = σ(...)  (9); or without the division, as MatGL < 3.0.5 has it."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        self.features = MLP([config.node_features, *config.readout_hidden])
        self.weight = MLP([config.node_features, *config.readout_weight_hidden, 1], activate_last=False)
        self.normalised = config.readout == "weighted_atom"
        self.width = config.readout_hidden[-1]

    def forward(self, nodes: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
        """(atoms, node_features) -> (systems, readout_hidden[-1])."""
        weight = torch.sigmoid(self.weight(nodes))
        if self.normalised:
            weight = weight / system_sum(weight, system_index, num_systems)[system_index]
        return system_sum(weight * self.features(nodes), system_index, num_systems)


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
        memory = [(nodes.new_zeros(num_systems, features),) * 2 for _ in range(self.lstm.num_layers)]
        asked = nodes.new_zeros(num_systems, 2 * features)
        for _ in range(self.steps):
            query = asked
            for layer, weights in enumerate(self.lstm.all_weights):
                # Not self.lstm(...): on a GPU that is cuDNN's, which rounds to TF32 by default and lost two digits.
                memory[layer] = torch.lstm_cell(query, memory[layer], *weights)
                query = memory[layer][0]
            attention = _softmax_per_system(self.score(nodes, query[system_index]), system_index, num_systems)
            asked = torch.cat([query, system_sum(attention * nodes, system_index, num_systems)], dim=1)
        return asked

    @staticmethod
    def score(nodes: Tensor, query: Tensor) -> Tensor:
        """How well an atom answers: a scalar product.  (atoms, features), (atoms, features) -> (atoms, 1)."""
        return (nodes * query).sum(1, keepdim=True)


class Set2SetByFeaturePooling(Set2SetPooling):
    """The Set2Set of the paper's TensorFlow code: a linear layer first, and every feature has its own attention."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__(config)
        self.dense = nn.Linear(config.node_features, config.node_features)

    def forward(self, nodes: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
        """(atoms, node_features) -> (systems, 2 · node_features)."""
        return super().forward(self.dense(nodes), system_index, num_systems)

    @staticmethod
    def score(nodes: Tensor, query: Tensor) -> Tensor:
        """(atoms, features), (atoms, features) -> (atoms, features)."""
        return nodes * query


class MeanPooling(nn.Module):
    """Mean of v_i over the atoms of a system."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        self.width = config.node_features

    def forward(self, nodes: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
        """(atoms, node_features) -> (systems, node_features)."""
        return system_mean(nodes, system_index, num_systems)


class IntensiveReadout(nn.Module):
    """One property a system (8): pool the atoms, join u, and an MLP. For classes these are logits: see `probabilities`."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        self.pooling = POOLINGS[config.readout](config)
        pooled_width = cast("int", self.pooling.width)
        state_width = config.state_features if config.state != "none" else 0
        hidden = config.readout_hidden
        self.mlp = MLP([pooled_width + state_width, *hidden, config.num_targets], activate_last=False)

    def forward(self, nodes: Tensor, state: Tensor | None, system_index: Tensor, num_systems: int) -> Tensor:
        """(atoms, node_features), (systems, state_features) -> (systems, num_targets)."""
        pooled = self.pooling(nodes, system_index, num_systems)
        if state is not None:
            pooled = torch.cat([pooled, state], dim=1)
        return self.mlp(pooled)


class SumReadout(nn.Module):
    """An extensive property: Σ_i φ(v_i ⊕ u) + constant[Z_i], with φ as in (7) and a trained constant for every element."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        state_width = config.state_features if config.state != "none" else 0
        self.phi = GatedMLP(
            [config.node_features + state_width, *config.readout_hidden, config.num_targets], activate_last=False
        )
        self.constant = nn.Embedding(len(config.elements), config.num_targets)
        nn.init.zeros_(self.constant.weight)

    def forward(
        self, nodes: Tensor, state: Tensor | None, element: Tensor, system_index: Tensor, num_systems: int
    ) -> Tensor:
        """(atoms, node_features), (systems, state_features), (atoms,) rows of elements -> (systems, num_targets)."""
        if state is not None:
            nodes = torch.cat([nodes, state[system_index]], dim=1)
        return system_sum(self.phi(nodes) + self.constant(element), system_index, num_systems)


def probabilities(logits: Tensor, classification: bool | str) -> Tensor:  # noqa: FBT001 - the config's field
    """What a classifying readout says, as probabilities.  (systems, num_targets) -> (systems, num_targets)."""
    return torch.softmax(logits, dim=1) if classification == "exclusive" else torch.sigmoid(logits)


POOLINGS: dict[str, type[nn.Module]] = {
    "weighted_atom": WeightedAtomPooling,
    "weighted_sum": WeightedAtomPooling,
    "set2set": Set2SetPooling,
    "set2set_by_feature": Set2SetByFeaturePooling,
    "mean": MeanPooling,
}


def _softmax_per_system(score: Tensor, system_index: Tensor, num_systems: int) -> Tensor:
    """Softmax over the atoms of every system, column by column.  (atoms, columns) -> (atoms, columns)."""
    index = system_index[:, None].expand_as(score)
    top = score.new_full((num_systems, score.shape[1]), -torch.inf).scatter_reduce(0, index, score, "amax")
    exponential = torch.exp(score - top[system_index])
    return exponential / system_sum(exponential, system_index, num_systems)[system_index]
