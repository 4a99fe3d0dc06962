"""A trained M3GNet as a potential: energy, forces, stress and hessian of structures."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import as_list, atom_graph
from tribond.nn.config import M3GNetConfig
from tribond.nn.m3gnet import M3GNet
from tribond.typing import AtomicEnergies, Energies, Forces, Stresses, Virials

if TYPE_CHECKING:
    from tribond.graph.build import AnyStructure

BATCH_EDGES = 30_000  # bonds evaluated at once by `predict`: about 100 MB, and enough to keep all cores busy


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a potential says about one structure, as numpy arrays on the CPU."""

    energy: float  # eV
    atomic_energies: NDArray[np.float64]  # (atoms,) eV, summing to the energy but for a constant offset of the model
    forces: NDArray[np.float64]  # (atoms, 3) eV/Å
    stress: NDArray[np.float64] | None  # (3, 3) eV/Å³, ASE's sign: tension positive; None unless fully periodic
    hessian: NDArray[np.float64] | None = None  # (atoms, 3, atoms, 3) eV/Å²


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The same for a batch of systems, as tensors that still know their gradients."""

    energy: Energies  # (systems,) eV
    atomic_energies: AtomicEnergies  # (atoms,) eV
    forces: Forces  # (atoms, 3) eV/Å
    virial: Virials  # (systems, 3, 3) eV | dE/dε, symmetric
    stress: Stresses  # (systems, 3, 3) eV/Å³ | virial / volume; NaN unless fully periodic


def evaluate(model: M3GNet, graph: AtomGraph, *, create_graph: bool = False) -> Evaluation:
    """Energy, forces and stress of a batch from one derivative, that with respect to the bond vectors.

    With g_ij = dE/dr_ij the force on an atom is Σ g over the bonds that start there minus Σ g over those that end
    there, and dE/dε of a strained cell is Σ r_ij ⊗ g_ij, made symmetric because a rotation costs nothing.

    Args:
        model: an M3GNet with an extensive readout.
        graph: the batch.
        create_graph: keep the graph of the derivative, to train on forces and stress.
    """
    vectors = graph.edge_vectors().detach().requires_grad_()
    with torch.enable_grad():
        atomic_energies = model.atomic_energies(vectors, graph)
        (gradient,) = torch.autograd.grad(
            atomic_energies.sum(), vectors, create_graph=create_graph, materialize_grads=True
        )
    centre, neighbour = graph.edge_index
    forces = torch.zeros_like(graph.positions).index_add(0, centre, gradient).index_add(0, neighbour, -gradient)
    outer = vectors.detach()[:, :, None] * gradient[:, None, :]
    virial = torch.zeros_like(graph.cell).index_add(0, graph.system_index[centre], outer)
    virial = (virial + virial.transpose(1, 2)) / 2
    if not create_graph:
        atomic_energies = atomic_energies.detach()
    volumes = graph.volumes()[:, None, None]
    # Not virial / NaN: that would turn the gradient of everything into NaN when a molecule is trained on.
    stress = torch.where(volumes.isnan(), torch.nan, virial / volumes.nan_to_num(nan=1.0))
    return Evaluation(
        energy=model.system_energies(atomic_energies, graph),
        atomic_energies=atomic_energies,
        forces=forces,
        virial=virial,
        stress=stress,
    )


def hessian(model: M3GNet, graph: AtomGraph) -> Tensor:
    """Second derivatives of the energy of one system.  (atoms, 3, atoms, 3) eV/Å²; one backward pass a coordinate.

    Raises:
        ConfigError: if the graph holds more than one system.
    """
    if graph.num_systems != 1:
        msg = f"the hessian is for one system, not for a batch of {graph.num_systems}"
        raise ConfigError(msg)
    positions = graph.positions.detach().requires_grad_()
    centre, neighbour = graph.edge_index
    constant = graph.edge_vectors() - (graph.positions[neighbour] - graph.positions[centre])
    with torch.enable_grad():
        vectors = positions[neighbour] - positions[centre] + constant
        energy = model.atomic_energies(vectors, graph).sum()
        (gradient,) = torch.autograd.grad(energy, positions, create_graph=True, materialize_grads=True)
        if graph.num_edges == 0:  # the energy does not depend on the positions at all
            return torch.zeros(*positions.shape, *positions.shape, dtype=positions.dtype, device=positions.device)
        rows = [
            torch.autograd.grad(component, positions, retain_graph=True, materialize_grads=True)[0]
            for component in gradient.flatten()
        ]
    return torch.stack(rows).reshape(*positions.shape, *positions.shape)


class Potential:
    """An M3GNet with an extensive readout, ready to use; its weights are not trained through this class.

    Attributes:
        model: the network, in evaluation mode.
        metadata: where it comes from: name, licence, training data, level of theory, errors.
    """

    def __init__(self, model: M3GNet, metadata: Mapping[str, Any] | None = None) -> None:
        if model.config.readout != "extensive":
            msg = f"a potential needs an extensive readout; this model has {model.config.readout!r}"
            raise ConfigError(msg)
        self.model = deepcopy(model).eval().requires_grad_(requires_grad=False)  # the model given may be in training
        self.metadata = dict(metadata or {})

    def __repr__(self) -> str:
        """Name, size and where it lives."""
        name = self.metadata.get("name", "unnamed")
        return f"Potential({name!r}, {self.num_parameters:,} parameters, {self.dtype}, {self.device})"

    @property
    def config(self) -> M3GNetConfig:
        """Hyperparameters."""
        return self.model.config

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols the model knows."""
        return self.config.elements

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network."""
        return self.model.dtype

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self.model.atom_embedding.weight.device

    @property
    def num_parameters(self) -> int:
        """Trained numbers, reference energies not counted."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None) -> "Potential":
        """A copy on another device or in another precision; this one stays as it is.

        Raises:
            ConfigError: for a device that is not there or a precision that is not float32 or float64.
        """
        target = resolve_device(device or self.device)
        model = M3GNet(self.config, resolve_dtype(dtype or self.dtype))
        model.load_state_dict(self.model.state_dict())
        return Potential(model.to(target), self.metadata)

    def graph(self, structures: "AnyStructure | Iterable[AnyStructure]") -> AtomGraph:
        """Structures as one batch on the potential's device.

        Raises:
            StructureError: for a structure that makes no sense (see `atom_graph`).
            UnknownElementError: for an element the model was not trained on.
        """
        graph = AtomGraph.batch([self._graph_of_one(structure) for structure in as_list(structures)])
        return graph.to(self.device)

    def evaluate(self, graph: AtomGraph) -> Evaluation:
        """Energy, forces and stress of a batch, as tensors."""
        return evaluate(self.model, graph)

    def predict(
        self, structures: "AnyStructure | Iterable[AnyStructure]", *, with_hessian: bool = False
    ) -> list[Prediction]:
        """Energy, forces and stress of one or many structures, evaluated in batches.

        Args:
            structures: ASE Atoms, pymatgen Structure or Molecule, or an iterable of them; only read.
            with_hessian: second derivatives as well; needs 3 · atoms backward passes a structure.

        Returns:
            One prediction a structure, in order; for one structure, a list of one.

        Raises:
            StructureError: for a structure that makes no sense or holds an unknown element; it says which.
        """
        predictions = []
        for graph in self._batches(as_list(structures)):
            predictions += unbatch(graph, self.evaluate(graph))
            if with_hessian:
                first = len(predictions) - graph.num_systems
                for index, single in enumerate(graph.split(), start=first):
                    second = hessian(self.model, single).cpu().double().numpy()
                    predictions[index] = replace(predictions[index], hessian=second)
        return predictions

    def _batches(self, structures: list["AnyStructure"]) -> Iterator[AtomGraph]:
        """The structures in order, as batches of at most BATCH_EDGES bonds (or one structure, if that has more)."""
        waiting: list[AtomGraph] = []
        edges = 0
        for index, structure in enumerate(structures):
            try:
                graph = self._graph_of_one(structure)
            except ValueError as error:
                if len(structures) > 1:
                    error.args = (f"structure {index}: {error}",)
                raise
            if waiting and edges + graph.num_edges > BATCH_EDGES:
                yield AtomGraph.batch(waiting).to(self.device)
                waiting, edges = [], 0
            waiting.append(graph)
            edges += graph.num_edges
        if waiting:
            yield AtomGraph.batch(waiting).to(self.device)

    def _graph_of_one(self, structure: "AnyStructure") -> AtomGraph:
        graph = atom_graph(structure, self.config.cutoff, self.config.threebody_cutoff)
        self.config.check_elements(graph.atomic_numbers.tolist())
        return graph


def unbatch(graph: AtomGraph, result: Evaluation) -> list[Prediction]:
    """Split the evaluation of a batch into numpy predictions, one a system."""
    sizes = graph.atoms_per_system().tolist()
    atomic = result.atomic_energies.detach().cpu().double().split(sizes)
    forces = result.forces.detach().cpu().double().split(sizes)
    energy = result.energy.detach().cpu().double().tolist()
    stress = result.stress.detach().cpu().double().numpy()
    periodic = graph.pbc.all(dim=1).tolist()
    return [
        Prediction(
            energy=energy[system],
            atomic_energies=atomic[system].numpy().copy(),
            forces=forces[system].numpy().copy(),
            stress=stress[system].copy() if periodic[system] else None,
        )
        for system in range(graph.num_systems)
    ]


def resolve_dtype(dtype: torch.dtype | str) -> torch.dtype:
    """torch.float32 or torch.float64 from their names.

    Raises:
        ConfigError: for anything else.
    """
    known = {"float32": torch.float32, "float64": torch.float64}
    resolved = known.get(dtype) if isinstance(dtype, str) else dtype
    if resolved is None or resolved not in known.values():
        msg = f"dtype must be 'float32' or 'float64', not {dtype!r}"
        raise ConfigError(msg)
    return resolved


def resolve_device(device: torch.device | str) -> torch.device:
    """A torch device that is really there and has float64, which Apple's GPUs have not.

    Raises:
        ConfigError: if it is unknown or cannot be used.
    """
    try:
        resolved = torch.device(device)
        torch.zeros(1, dtype=torch.float64, device=resolved).item()  # positions and energies need float64
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        msg = f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}"
        raise ConfigError(msg) from error
    return resolved
