"""Which backend computes a model: the fastest that there is for it where it lies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from torch import Tensor

from tribond import compiled
from tribond.backends import chunked, native
from tribond.backends.trainable import trainable
from tribond.backends.triton.availability import triton_runs_on
from tribond.backends.weights import Marks, marked, marks
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.m3gnet import M3GNet

if TYPE_CHECKING:
    from tribond.backends.triton.weights import Weights as TritonWeights

Weights = TypeVar("Weights")

Backend = Literal["compiled", "triton", "chunked", "autograd"]

NAMES: dict[Backend, str] = {
    "triton": "Triton",
    "chunked": "PyTorch, derivatives written out",
    "autograd": "PyTorch, automatic differentiation",
}


def backend(model: M3GNet, num_edges: int = 0) -> Backend:
    """The backend for a batch of so many bonds."""
    return _choose(model, marks(model), num_edges)


def describe(model: M3GNet, num_edges: int = 0) -> str:
    """The backend for a batch of so many bonds in words, such as "C++ for AVX-512"."""
    chosen = backend(model, num_edges)
    loaded = compiled.library()
    if chosen == "compiled" and loaded is not None:
        return f"C++ for {loaded.instruction_set}"
    without = ", for want of compiled kernels: install tribond where there is a C++ compiler"
    return NAMES[chosen] + (without if chosen == "chunked" and loaded is None and _on_cpu(model) else "")


def _on_cpu(model: M3GNet) -> bool:
    return model.row_of_element.device.type == "cpu"


def _choose(model: M3GNet, now: Marks | None, num_edges: int) -> Backend:
    if now is None or not chunked.supports(model.config):
        return "autograd"
    if compiled.library() is not None and native.supports(model):
        return "compiled"
    if triton_runs_on(model.row_of_element.device):
        from tribond.backends.triton import network

        if network.supports(model):
            return "triton"
    return "chunked" if chunked.preferable(model, num_edges) else "autograd"


@dataclass(frozen=True)
class _Packed(Generic[Weights]):
    """A model as a backend wants it, as long as the marks are what they were."""

    model: M3GNet
    marks: Marks | None
    held: list[Tensor]
    weights: Weights

    def holds(self, model: M3GNet, now: Marks | None) -> bool:
        """Whether this is the model as it is."""
        return self.model is model and self.marks == now


class Evaluator:
    """Energy and dE/dr of batches of a model, whose weights are packed once, and again when they have changed."""

    def __init__(self) -> None:
        self._on_cpu: _Packed[native.Engine] | None = None
        self._on_gpu: _Packed[TritonWeights] | None = None

    def __reduce__(self) -> tuple[Callable[[], "Evaluator"], tuple[()]]:
        """A copy, in this process or another, packs for itself."""
        return Evaluator, ()

    def energy_and_gradient(self, model: M3GNet, vectors: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor] | None:
        """Energy of every atom, (atoms,) eV, and dE/dr of every bond, (edges, 3) eV/Å, both float64.

        None where automatic differentiation alone can do it, or is the fastest.
        """
        if graph.state is not None:
            return None  # wanted, or refused elsewhere
        now = marks(model)
        chosen = _choose(model, now, graph.num_edges)
        loaded = compiled.library()
        if chosen == "compiled" and loaded is not None:
            return self._engine(model, now, loaded).energy_and_gradient(vectors, graph)
        if chosen == "triton":
            from tribond.backends.triton import network

            weights = self._triton_weights(model, now)
            return network.energy_and_gradient(model, vectors, graph, weights=weights)
        if chosen == "chunked":
            return chunked.energy_and_gradient(model, vectors, graph)
        return None

    def trainable(self, model: M3GNet, vectors: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor] | None:
        """The same as a step of automatic differentiation: a loss made of them knows its gradient by the weights, once.

        The weights are packed every time: a training changes them all the time, and some of what it does with them
        (averages that change places with them through `.data`) goes unnoticed.
        """
        loaded = compiled.library()
        if graph.state is not None or loaded is None or _choose(model, marks(model), graph.num_edges) != "compiled":
            return None
        engine = native.Engine(model, loaded)
        self._on_cpu = _Packed(model, None, [], engine)
        return trainable(engine, model, vectors, graph)

    # What is packed is returned from a name of its own: another thread may put something else in its place meanwhile.

    def _engine(self, model: M3GNet, now: Marks | None, loaded: compiled.Library) -> native.Engine:
        packed = self._on_cpu
        if packed is None or not packed.holds(model, now):
            packed = _Packed(model, now, marked(model), native.Engine(model, loaded))
            self._on_cpu = packed
        return packed.weights

    def _triton_weights(self, model: M3GNet, now: Marks | None) -> "TritonWeights":
        from tribond.backends.triton.network import PRECISION
        from tribond.backends.triton.weights import Weights

        packed = self._on_gpu
        if packed is None or not packed.holds(model, now):
            packed = _Packed(model, now, marked(model), Weights.of(model, PRECISION))
            self._on_gpu = packed
        return packed.weights
