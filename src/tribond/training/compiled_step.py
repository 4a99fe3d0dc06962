"""The training step as one compiled function: energy, forces, stress, loss and its gradient by every weight.

The gradient of a force is a double backward pass, which `torch.compile` does not do and which runs eagerly as some
four thousand small operations. Here the step is traced once, derivatives included, into one graph without autograd,
and the inductor turns that into fused C++ for any number of systems, atoms and bonds. The first call takes minutes;
`TORCHINDUCTOR_CACHE_DIR` keeps the compiled kernels for the next run.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.source import ConstantSource
from torch._guards import TracingContext, tracing
from torch._inductor.compile_fx import compile_fx_inner
from torch._inductor.decomposition import select_decomp_table
from torch._subclasses import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from tribond.data.dataset import LabeledGraph
from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.m3gnet import M3GNet
from tribond.potential import evaluate
from tribond.training.loss import Loss, LossTerms

# Sizes of the traced example: primes that are no width of a network, so that no size is taken for another.
SYSTEMS, ATOMS, BONDS, ANGLE_BONDS = EXAMPLE_SIZES = (31, 211, 4999, 2503)
SHAPES = {
    "positions": (ATOMS, 3),
    "atomic_numbers": (ATOMS,),
    "system_index": (ATOMS,),
    "cell": (SYSTEMS, 3, 3),
    "pbc": (SYSTEMS, 3),
    "edge_index": (2, BONDS),
    "cell_shifts": (BONDS, 3),
    "angle_edges": (ANGLE_BONDS,),
    "energy": (SYSTEMS,),
    "forces": (ATOMS, 3),
    "stress": (SYSTEMS, 3, 3),
}
LABELS = ("energy", "forces", "stress")
GRAPH = tuple(name for name in SHAPES if name not in LABELS)
TERMS = tuple(field.name for field in fields(LossTerms))  # all of them tensors; `total` first


class CompiledStep:
    """Call it with a batch to get the loss terms; the total knows its gradient by the weights.

    Args:
        model: an M3GNet with an extensive readout and no state, on the CPU. Its weights may change between calls, also
            by loading a checkpoint; which of them are trained may not.
        loss: made of tensor operations only: it must not look at values or at `len` of a tensor.
    """

    def __init__(self, model: M3GNet, loss: Loss) -> None:
        self._whole = _Step(model, loss)
        self._names = [name for name, weight in self._whole.named_parameters() if weight.requires_grad]
        self._weights = [weight for weight in self._whole.parameters() if weight.requires_grad]
        self._compiled: Callable[[list[Tensor]], Sequence[Tensor]] | None = None

    def __call__(self, batch: LabeledGraph) -> LossTerms:
        """One step.

        Returns:
            The terms. `total.backward()` adds the gradient, which is known already, to the weights.

        Raises:
            ConfigError: for a batch with a state, or if model or loss turn out to depend on sizes.
        """
        graph = batch.graph
        if graph.state is not None:
            msg = "a compiled training step takes no state input; train this model without compiling"
            raise ConfigError(msg)
        if min(graph.num_systems, graph.num_atoms, graph.num_edges, len(graph.angle_edges)) < 2:
            values = self._whole(*_tensors(batch))  # compilers take sizes of 0 and 1 for special cases
            return LossTerms(**dict(zip(TERMS, values, strict=True)))
        inputs = [weight.detach() for weight in self._weights]
        inputs += [value.contiguous() for value in _tensors(batch)]
        if self._compiled is None:
            self._compiled = self._compile(inputs)
        values = self._compiled(inputs)
        total = _KnownGradient.apply(values[0], values[len(TERMS) :], *self._weights)
        return LossTerms(**dict(zip(TERMS, (total, *values[1 : len(TERMS)]), strict=True)))

    def _step(self, *inputs: Tensor) -> list[Tensor]:
        """What is compiled: weights, graph and labels, flat, to loss terms and gradients, flat."""
        count = len(self._weights)
        weights = [weight.detach().requires_grad_() for weight in inputs[:count]]
        with torch.enable_grad():
            named = dict(zip(self._names, weights, strict=True))
            terms = torch.func.functional_call(self._whole, named, inputs[count:])
            gradients = torch.autograd.grad(terms[0], weights, allow_unused=True, materialize_grads=True)
        return [*(term.detach() for term in terms), *gradients]

    def _compile(self, inputs: Sequence[Tensor]) -> Callable[[list[Tensor]], Sequence[Tensor]]:
        environment = ShapeEnv()
        mode = FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)
        shapes = [tuple(weight.shape) for weight in self._weights] + list(SHAPES.values())
        fakes = [
            mode.from_tensor(
                value.new_empty(shape),
                symbolic_context=StatelessSymbolicContext(
                    dynamic_sizes=[DimDynamic.DUCK if n in EXAMPLE_SIZES else DimDynamic.STATIC for n in shape]
                ),
                source=ConstantSource(f"input_{index}"),
            )
            for index, (value, shape) in enumerate(zip(inputs, shapes, strict=True))
        ]
        traced = make_fx(self._step, _allow_non_fake_inputs=True)(*fakes)
        _drop_detach(traced)
        with torch.no_grad(), mode:
            functional = torch.func.functionalize(traced, remove="mutations")
            traced = make_fx(functional, decomposition_table=select_decomp_table(), _allow_non_fake_inputs=True)(*fakes)
        traced.graph.eliminate_dead_code()
        traced.recompile()
        if environment.guards:
            msg = f"the step depends on the sizes of the batch: {[guard.expr for guard in environment.guards]}"
            raise ConfigError(msg)
        with torch.no_grad(), tracing(TracingContext(mode)):
            compiled: Any = compile_fx_inner(traced, fakes)
        return compiled


class _Step(nn.Module):
    """Evaluation and loss as one module, for `functional_call`."""

    def __init__(self, model: M3GNet, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(SHAPES, values, strict=True))
        graph = AtomGraph(**{name: named[name] for name in GRAPH})
        batch = LabeledGraph(graph=graph, **{name: named[name] for name in LABELS})
        terms = self.loss(evaluate(self.model, graph, create_graph=True), batch)
        return tuple(getattr(terms, name) for name in TERMS)


class _KnownGradient(torch.autograd.Function):
    """A loss whose gradient was computed with it, so that optimizers and trainers need not know."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Sequence[Tensor], *_weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (factor,) = outer
        return None, None, *(gradient * factor.to(gradient.dtype) for gradient in ctx.gradients)


def _tensors(batch: LabeledGraph) -> list[Tensor]:
    return [getattr(batch.graph, name) for name in GRAPH] + [getattr(batch, name) for name in LABELS]


def _drop_detach(traced: GraphModule) -> None:
    """Remove what autograd leaves behind: there is nothing to detach from in a graph without autograd."""
    for node in list(traced.graph.nodes):
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.graph.eliminate_dead_code()
    traced.recompile()
