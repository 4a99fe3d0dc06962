"""M3GNet: Chen & Ong, Nat. Comput. Sci. 2, 718 (2022), arXiv 2202.02450. Equation numbers are the paper's.

The network is a pure function of the bond vectors: forces and stress are linear in its one derivative dE/dr_ij.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.activations import silu
from tribond.nn.basis import SmoothBessel, SphericalBessel
from tribond.nn.block import M3GNetBlock
from tribond.nn.config import M3GNetConfig
from tribond.nn.gated_mlp import MLP
from tribond.nn.readout import AtomicReadout, IntensiveReadout, SumReadout, probabilities
from tribond.nn.reference_energy import ReferenceEnergy
from tribond.nn.repulsion import Repulsion
from tribond.nn.three_body import AngularBasis
from tribond.typing import AtomicEnergies, EdgeFeatures, EdgeVectors, Energies, NodeFeatures, StateFeatures


@dataclass(frozen=True)
class Features:
    """What the last block leaves: v, e and u."""

    nodes: NodeFeatures
    edges: EdgeFeatures
    state: StateFeatures | None


class M3GNet(nn.Module):
    """The network of Fig. 1b with every dialect of `M3GNetConfig`.

    `atomic_energies` gives the energy of every atom (7); `property` gives one value a system (8)-(9). Which of them a
    model has is decided by `config.readout`.

    Args:
        config: the hyperparameters.
        dtype: precision of the weights. Constants are worked out in float64 and rounded to it once: to change the
            precision later, build another model and load the state.
    """

    row_of_element: Tensor

    def __init__(self, config: M3GNetConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.atom_embedding = nn.Embedding(len(config.elements), config.node_features)
        self.edge_basis: nn.Module = (
            SmoothBessel(config.max_n, config.cutoff)
            if config.edge_basis == "smooth"
            else SphericalBessel(config.max_n, config.max_l, config.cutoff)
        )
        self.bond_embedding = MLP([config.num_edge_basis, config.edge_features], bias=config.bond_embedding_bias)
        self.angular_basis = AngularBasis(config)
        self.state_embedding = _state_embedding(config)
        # A continuous u enters the first block as it is, as in the paper's code.
        first_width = config.state_size if self.state_embedding is None else config.state_features
        later_width = config.state_features if config.state != "none" else 0
        self.blocks = nn.ModuleList(
            M3GNetBlock(config, first_width if index == 0 else later_width) for index in range(config.num_blocks)
        )
        self.readout: nn.Module = READOUTS.get(config.readout, IntensiveReadout)(config)
        self.reference_energy = ReferenceEnergy(len(config.elements))
        self.repulsion = Repulsion(config) if config.repulsion == "zbl" else None
        rows = dict(zip(config.atomic_numbers, range(len(config.elements)), strict=True))
        table = torch.tensor([rows.get(number, -1) for number in range(119)])
        self.register_buffer("row_of_element", table, persistent=False)
        self.to(dtype)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network."""
        return self.atom_embedding.weight.dtype

    def features(self, edge_vectors: EdgeVectors, graph: AtomGraph) -> Features:
        """Run all blocks.

        Args:
            edge_vectors: (edges, 3) Å; the positions of the graph are not used.
            graph: gives the elements, the bonds and the state input.

        Raises:
            ConfigError: if the state input is missing or not wanted.
        """
        vectors = edge_vectors.to(self.dtype)
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        edge_basis = self.edge_basis(lengths).flatten(1)  # e⁰_ij
        angular_basis = self.angular_basis(vectors[graph.angle_edges], lengths[graph.angle_edges])
        nodes = self.atom_embedding(self.row_of_element[graph.atomic_numbers])
        edges = self.bond_embedding(edge_basis)
        # Without a bias the gates of e⁰ are zero beyond the cutoff.
        inside = (lengths < self.config.cutoff)[:, None] if self.config.edge_gate_bias else None
        state = self._embed_state(graph)
        for block in self.blocks:
            nodes, edges, state = block(
                nodes,
                edges,
                state,
                edge_basis=edge_basis,
                angular_basis=angular_basis,
                edge_index=graph.edge_index,
                angle_edges=graph.angle_edges,
                system_index=graph.system_index,
                inside=inside,
            )
        return Features(nodes, edges, state)

    def atomic_energies(self, edge_vectors: EdgeVectors, graph: AtomGraph) -> AtomicEnergies:
        """Energy of every atom (7), the pure function that forces and stress are derivatives of.  (atoms,) eV, float64.

        The `offset` of the reference energies is per system and not in here: see `system_energies`.
        """
        network = self.readout(self.features(edge_vectors, graph).nodes)[:, 0]
        element = self.row_of_element[graph.atomic_numbers]
        energies = self.reference_energy(network, element)
        if self.repulsion is None:
            return energies
        return energies + self.repulsion(edge_vectors, graph.edge_index, element)

    def system_energies(self, atomic_energies: AtomicEnergies, graph: AtomGraph) -> Energies:
        """Sum over the atoms of every system, plus the model's constant offset.  (atoms,) eV -> (systems,) eV."""
        total = atomic_energies.new_zeros(graph.num_systems).index_add(0, graph.system_index, atomic_energies)
        return total + self.reference_energy.offset

    def property(self, edge_vectors: EdgeVectors, graph: AtomGraph) -> Tensor:
        """The property of every system (8)-(9), in its unit.  (systems, num_targets), float64."""
        return self.in_units(self.property_network(edge_vectors, graph), graph)

    def property_network(self, edge_vectors: EdgeVectors, graph: AtomGraph) -> Tensor:
        """What the network says of a property: numbers of order one, or logits of classes.  (systems, num_targets)."""
        features = self.features(edge_vectors, graph)
        systems = (graph.system_index, graph.num_systems)
        if self.config.readout == "sum":
            element = self.row_of_element[graph.atomic_numbers]
            return self.readout(features.nodes, features.state, element, *systems)
        return self.readout(features.nodes, features.state, *systems)

    def in_units(self, network: Tensor, graph: AtomGraph) -> Tensor:
        """From the network's numbers to the property in its unit, or probabilities.  (systems, num_targets), float64."""
        config = self.config
        value = (probabilities(network, config.classification) if config.classification else network).double()
        std, mean = (value.new_tensor(number) for number in (config.target_std, config.target_mean))
        if config.readout == "sum":
            mean = mean * graph.atoms_per_system().to(value.dtype)[:, None]
        value = std * value + mean
        if isinstance(config.target_is_log, bool):
            return value.exp() if config.target_is_log else value
        is_log = torch.tensor(config.target_is_log, device=value.device)
        return torch.where(is_log, torch.where(is_log, value, 0.0).exp(), value)

    def _embed_state(self, graph: AtomGraph) -> Tensor | None:
        config, state = self.config, graph.state
        if config.state == "none":
            if state is not None:
                msg = "this model takes no state input"
                raise ConfigError(msg)
            return None
        if config.state == "categorical":
            wanted: tuple[int, ...] = (graph.num_systems,)
            what = f"one category for every system, a whole number from 0 to {config.state_size - 1}"
        else:
            wanted = (graph.num_systems, config.state_size)
            what = f"{config.state_size} numbers for every system"
        if state is None or tuple(state.shape) != wanted:
            given = "none was given" if state is None else f"it was given a tensor of shape {tuple(state.shape)}"
            msg = f"this model needs a state input, {what}; {given}"
            raise ConfigError(msg)
        if self.state_embedding is None:
            return state.to(self.dtype)
        if config.state == "projected":
            return silu(self.state_embedding(state.to(self.dtype)))
        return self.state_embedding(state)


READOUTS: dict[str, type[nn.Module]] = {"extensive": AtomicReadout, "sum": SumReadout}  # all others: IntensiveReadout


def with_repulsion(model: M3GNet, inner: float = 0.2, outer: float = 0.5) -> M3GNet:
    """The same network with the repulsion of close nuclei added to its energy; the model itself is not changed.

    Args:
        model: a potential without.
        inner: fraction of the sum of covalent radii up to which it is whole.
        outer: fraction from which on it is nothing.

    Raises:
        ConfigError: if it has one already, if it is a model of a property, or its cutoff is too short.
    """
    if model.repulsion is not None:
        raise ConfigError("this potential has the repulsion of nuclei already")
    found = M3GNet(replace(model.config, repulsion="zbl", repulsion_inner=inner, repulsion_outer=outer), model.dtype)
    found.load_state_dict(found.state_dict() | model.state_dict())
    return found.to(model.atom_embedding.weight.device).train(model.training)


def state_shapes(config: M3GNetConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a model, worked out without its memory: a wrong file may ask for any size."""
    with _WeightsWithoutMemory():
        return {name: tuple(tensor.shape) for name, tensor in M3GNet(config).state_dict().items()}


class _WeightsWithoutMemory(TorchFunctionMode):
    """Makes weights on the meta device and gives them no numbers.

    Only weights: with everything on that device PyTorch would import its compiler, which takes 1.5 s.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.empty:
            return function(*args, **(kwargs | {"device": "meta"}))
        if getattr(function, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def _state_embedding(config: M3GNetConfig) -> nn.Module | None:
    """From the state input to the u of the first block; None where it enters as it is, or there is none."""
    if config.state == "categorical":
        return nn.Embedding(config.state_size, config.state_features)
    if config.state == "projected":
        return nn.Linear(config.state_size, config.state_features, bias=False)  # and SiLU
    return None
