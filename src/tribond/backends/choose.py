"""Which backend computes a model: the fastest that there is for it where it lies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from tribond import compiled
from tribond.backends import chunked, native
from tribond.backends.known import difference, refuse_unsafe
from tribond.backends.look import Look
from tribond.backends.trainable import COVERAGE as TRAINABLE
from tribond.backends.trainable import trainable
from tribond.backends.triton.availability import triton_runs_on
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.m3gnet import M3GNet

if TYPE_CHECKING:
    from tribond.backends.triton.weights import Weights as TritonWeights

Backend = Literal["compiled", "triton", "chunked", "autograd"]

NAMES: dict[Backend, str] = {
    "triton": "Triton",
    "chunked": "PyTorch, automatic differentiation part by part",
    "autograd": "PyTorch, automatic differentiation",
}


def backend(model: M3GNet, num_edges: int = 0) -> Backend:
    """The backend for a batch of so many bonds."""
    if difference(model) is not None:
        return "autograd"
    return _packing(model) or _by_pytorch(model, num_edges)


def describe(model: M3GNet, num_edges: int = 0) -> str:
    """The backend for a batch of so many bonds in words, such as "C++ for AVX-512"."""
    chosen = backend(model, num_edges)
    loaded = compiled.library()
    if chosen == "compiled" and loaded is not None:
        return f"C++ for {loaded.instruction_set}"
    if (found := difference(model)) is not None:
        return f"{NAMES[chosen]}, because {found}"
    without = ", for want of compiled kernels: install tribond where there is a C++ compiler"
    return NAMES[chosen] + (without if loaded is None and native.supports(model) else "")


def _packing(model: M3GNet) -> Literal["compiled", "triton"] | None:
    """The backend that packs the weights of a model which is what its config describes; None if there is none here."""
    if compiled.library() is not None and native.supports(model):
        return "compiled"
    if triton_runs_on(model.atom_embedding.weight.device):
        from tribond.backends.triton import network

        if network.supports(model):
            return "triton"
    return None


def _by_pytorch(model: M3GNet, num_edges: int) -> Literal["chunked", "autograd"]:
    return "chunked" if chunked.supports(model.config) and chunked.preferable(model, num_edges) else "autograd"


@dataclass(frozen=True)
class _Packed:
    """A model as a backend wants it, as long as a look at the model finds it as it was."""

    look: Look
    library: compiled.Library | None
    weights: "native.Engine | TritonWeights | None"  # None where PyTorch computes, which packs nothing


class Evaluator:
    """Energy and dE/dr of batches of a model, whose weights are packed once, and again when they have changed."""

    def __init__(self) -> None:
        self._packed: _Packed | None = None
        self._look: Look | None = None  # of the training
        self._trained: native.Engine | None = None

    def __reduce__(self) -> tuple[Callable[[], "Evaluator"], tuple[()]]:
        """A copy, in this process or another, packs for itself."""
        return Evaluator, ()

    def energy_and_gradient(self, model: M3GNet, vectors: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor] | None:
        """Energy of every atom, (atoms,) eV, and dE/dr of every bond, (edges, 3) eV/Å, both float64.

        None where automatic differentiation alone can do it, or is the fastest.

        Raises:
            ConfigError: for a model that not even PyTorch may compute, because weights have lost their memory.
        """
        if graph.state is not None:
            return None  # wanted, or refused elsewhere
        loaded = compiled.library()
        # A name of its own: another thread may put something else in its place meanwhile.
        packed = self._packed
        if packed is None or packed.library is not loaded or not packed.look.still_holds(model):
            look = Look.at(model)
            if look is None:
                refuse_unsafe(model)
                self._packed = None
                return None
            packed = self._packed = _Packed(look, loaded, _pack(model, loaded))
        if isinstance(packed.weights, native.Engine):
            return packed.weights.energy_and_gradient(vectors, graph)
        if packed.weights is not None:
            from tribond.backends.triton import network

            return network.energy_and_gradient(model, vectors, graph, weights=packed.weights)
        if _by_pytorch(model, graph.num_edges) == "chunked":
            return chunked.energy_and_gradient(model, vectors, graph)
        return None

    def trainable(self, model: M3GNet, vectors: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor] | None:
        """The same as a step of automatic differentiation: a loss made of them knows its gradient by the weights, once.

        The weights are packed every time: a training changes them all the time, and some of what it does with them
        (averages that change places with them through `.data`) goes unnoticed.

        Raises:
            ConfigError: as above.
        """
        loaded = compiled.library()
        if graph.state is not None or loaded is None or graph.device.type != "cpu":
            return None
        look = self._look
        if look is None or not look.holds_but_for_weights(model):
            look = self._look = Look.at(model)
        if look is None:
            refuse_unsafe(model)
            return None
        if not (native.supports(model) and TRAINABLE.computes(model.config)):
            return None
        engine = native.Engine(model, loaded, checked=True)
        self._packed, self._trained = None, engine  # kept, so that its memory serves the next step
        return trainable(engine, model, vectors, graph)


def _pack(model: M3GNet, loaded: compiled.Library | None) -> "native.Engine | TritonWeights | None":
    chosen = _packing(model)
    if chosen == "compiled" and loaded is not None:
        return native.Engine(model, loaded, checked=True)
    if chosen == "triton":
        from tribond.backends.triton.network import PRECISION
        from tribond.backends.triton.weights import Weights

        return Weights.of(model, PRECISION)
    return None
