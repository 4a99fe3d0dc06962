"""A trained M3GNet with what every use of it needs: structures in, batches out, a device and a precision."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import as_list, graphs_of
from tribond.nn.config import M3GNetConfig, Readout
from tribond.nn.m3gnet import M3GNet

if TYPE_CHECKING:
    from tribond.graph.build import AnyStructure

BATCH_EDGES = 30_000  # bonds evaluated at once by `predict`: about 100 MB, and enough to keep all cores busy

# The state input u: one for all structures, or one for each. A category is a whole number, other states are vectors.
State = int | float | Sequence[int] | Sequence[float] | Sequence[Sequence[float]] | np.ndarray


class TrainedModel:
    """An M3GNet that is used, not trained: the base of `Potential` and `PropertyModel`.

    Attributes:
        model: the network, in evaluation mode.
        metadata: where it comes from: name, licence, training data, level of theory, errors.

    Raises:
        ConfigError: if the model's readout is not one of `readouts`.
    """

    readouts: ClassVar[tuple[Readout, ...]]
    needs: ClassVar[str]  # the readout in words

    def __init__(self, model: M3GNet, metadata: Mapping[str, Any] | None = None) -> None:
        if model.config.readout not in self.readouts:
            msg = f"a {type(self).__name__} needs {self.needs} readout; this model has {model.config.readout!r}"
            raise ConfigError(msg)
        self.model = deepcopy(model).eval().requires_grad_(requires_grad=False)  # the model given may be in training
        self.metadata = dict(metadata or {})

    def __repr__(self) -> str:
        """Name, size and where it lives."""
        name = self.metadata.get("name", "unnamed")
        size = f"{self.num_parameters:,} parameters"
        return f"{type(self).__name__}({name!r}, {size}, {self.dtype}, {self.device})"

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

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None) -> Self:
        """A copy on another device or in another precision; this one stays as it is.

        Raises:
            ConfigError: for a device that is not there or a precision that is not float32 or float64.
        """
        target = resolve_device(device or self.device)
        model = M3GNet(self.config, resolve_dtype(dtype or self.dtype))
        model.load_state_dict(self.model.state_dict())
        return type(self)(model.to(target), self.metadata)

    def graph(self, structures: "AnyStructure | Iterable[AnyStructure]", *, state: State | None = None) -> AtomGraph:
        """Structures as one batch on the model's device.

        Args:
            structures: one or many.
            state: the state input of models that have one, as in `predict`.

        Raises:
            StructureError: for a structure that makes no sense (see `atom_graph`).
            UnknownElementError: for an element the model was not trained on.
            ConfigError: for a state that does not fit.
        """
        graphs = self._graphs(as_list(structures), state)
        return AtomGraph.batch(list(graphs)).to(self.device)

    def with_state(self, graph: AtomGraph, state: State | None = None) -> AtomGraph:
        """The graph of one structure with its state input, as the network takes it, on the model's device.

        Args:
            graph: of one system.
            state: for models with a state input, as in `predict`; None for the others.

        Raises:
            ConfigError: for a state that is missing, not wanted or does not fit.
        """
        states = self._state_of_each(state, 1)
        return (graph if states is None else replace(graph, state=states.to(graph.device))).to(self.device)

    def _batches(self, structures: list["AnyStructure"], state: State | None) -> Iterator[AtomGraph]:
        """The structures in order, as batches of at most BATCH_EDGES bonds (or one structure, if that has more)."""
        return in_batches(self._graphs(structures, state), self.device)

    def _graphs(self, structures: list["AnyStructure"], state: State | None) -> Iterator[AtomGraph]:
        states = self._state_of_each(state, len(structures))
        graphs = graphs_of(structures, self.config.cutoff, self.config.threebody_cutoff, self.elements)
        for index, graph in enumerate(graphs):
            yield graph if states is None else replace(graph, state=states[index : index + 1])

    def _state_of_each(self, state: State | None, count: int) -> Tensor | None:
        """(structures, state_size) float64, or (structures,) int64 for categories; None without a state input."""
        config = self.config
        if config.state == "none" or state is None:
            if config.state == "none" and state is None:
                return None
            wanted = (
                f"needs a state input, such as {self._example_state()}" if state is None else "takes no state input"
            )
            msg = f"this model {wanted}; in Python: predict(structures, state=...)"
            raise ConfigError(msg)
        msg = f"the state input must be like {self._example_state()}, or one such for each structure; not {state!r}"
        try:
            values = np.asarray(state)
        except ValueError as error:  # ragged
            raise ConfigError(msg) from error
        categorical = config.state == "categorical"
        if not categorical and values.shape == () and config.state_size == 1:
            values = values[None]
        one = () if categorical else (config.state_size,)
        if values.dtype.kind not in ("iu" if categorical else "iuf") or values.shape not in {one, (count, *one)}:
            raise ConfigError(msg)
        if categorical and ((values < 0).any() or (values >= config.state_size).any()):
            msg = f"the state input must be a whole number from 0 to {config.state_size - 1}; not {state!r}"
            raise ConfigError(msg)
        if not np.isfinite(values).all():
            msg = f"the state input must be finite; not {state!r}"
            raise ConfigError(msg)
        return torch.from_numpy(values.astype(np.int64 if categorical else np.float64)).expand(count, *one)

    def _example_state(self) -> str:
        return "0" if self.config.state == "categorical" else str([0.0] * self.config.state_size)


def in_batches(graphs: Iterable[AtomGraph], device: torch.device) -> Iterator[AtomGraph]:
    """Graphs in order, as batches of at most BATCH_EDGES bonds (or one graph, if that has more), on a device."""
    waiting: list[AtomGraph] = []
    edges = 0
    for graph in graphs:
        if waiting and edges + graph.num_edges > BATCH_EDGES:
            yield AtomGraph.batch(waiting).to(device)
            waiting, edges = [], 0
        waiting.append(graph)
        edges += graph.num_edges
    if waiting:
        yield AtomGraph.batch(waiting).to(device)


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
