# ruff: noqa: B023, PLW0108 - of the functions in loops each is called before the next is made
"""Whatever is done to the modules of a model, the result is that of the modules, or a sentence: nothing else."""

import copy
import dataclasses
import gc

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond.backends.choose import Evaluator, backend, describe
from tribond.backends.known import check, difference
from tribond.backends.look import Look
from tribond.errors import ConfigError, TribondError
from tribond.graph.build import atom_graph
from tribond.models.potential import evaluate
from tribond.nn import block, gated_mlp, three_body
from tribond.nn.block import GraphUpdate


class _Autograd(Evaluator):
    """Leaves everything to the modules."""

    def energy_and_gradient(self, *_):
        return None

    trainable = energy_and_gradient


class _Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def _attribute(module, name, value):
    setattr(module, name, value)


def _parameter(module, name, tensor):
    module._parameters[name] = None if tensor is None else nn.Parameter(tensor, requires_grad=False)


def _hooked(module, register):
    getattr(module, register)(
        {"register_forward_hook": lambda _, __, out: out, "register_forward_pre_hook": lambda *_: None}.get(
            register, lambda *_: None
        )
    )


def _doubling(module):
    """Another forward on this instance; classes whose forward gives tensors."""
    before = module.forward
    module.forward = lambda *given, **named: 2 * before(*given, **named)


def _subclass(module):
    module.__class__ = type("Own", (type(module),), {})


def _touches_of_a_tensor(module, name, tensor):
    yield "missing", lambda: _parameter(module, name, None)
    yield "scaled", lambda: _parameter(module, name, tensor * 1.5)
    yield "scaled in place", lambda: tensor.mul_(1.25)
    yield "integers", lambda: _parameter_of(module, name, (10 * tensor).long())
    yield "bool", lambda: _parameter_of(module, name, tensor > 0)
    yield "half", lambda: _parameter_of(module, name, tensor.half())
    yield "single", lambda: _parameter_of(module, name, tensor.float())
    yield "complex", lambda: _parameter_of(module, name, tensor.to(torch.complex128))
    yield "one row less", lambda: _parameter(module, name, tensor[:-1].clone())
    yield "one row more", lambda: _parameter(module, name, torch.cat([tensor, tensor[:1]]))
    yield "another dimension", lambda: _parameter(module, name, tensor[None])
    yield "empty", lambda: _parameter(module, name, tensor[:0])
    yield "a scalar", lambda: _parameter(module, name, tensor.flatten()[0].clone())
    yield "sparse", lambda: _parameter_of(module, name, tensor.to_sparse())
    yield "on meta", lambda: _parameter_of(module, name, tensor.to("meta"))
    yield (
        "columns first",
        lambda: _parameter(module, name, tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor.clone()),
    )
    yield "turned by .data", lambda: _data(tensor, tensor.mT if tensor.ndim > 1 else tensor.flip(0))
    yield "halves by .data", lambda: _data(tensor, tensor.view(torch.int64))
    yield "without memory", lambda: tensor.untyped_storage().resize_(0)
    yield "half its memory", lambda: tensor.untyped_storage().resize_(tensor.untyped_storage().nbytes() // 2)
    yield "not a number", lambda: tensor.fill_(torch.nan)


def _parameter_of(module, name, tensor):
    module._parameters[name] = nn.Parameter(tensor, requires_grad=False)


def _data(tensor, other):
    tensor.data = other


def _touches_of_a_module(model, path, module):
    for hook in ("register_forward_hook", "register_forward_pre_hook"):
        yield hook, lambda: _hooked(module, hook)
    yield "forward on the instance", lambda: _doubling(module)
    yield "a subclass", lambda: _subclass(module)
    yield "another flag in training", lambda: module.train()
    yield "an attribute that nobody reads", lambda: _attribute(module, "note", "mine")
    yield (
        "one more parameter",
        lambda: module.register_parameter("more", nn.Parameter(torch.ones(2), requires_grad=False)),
    )
    yield "one more buffer", lambda: module.register_buffer("more", torch.ones(2))
    for name in [name for name in vars(module) if name[:1] != "_" and name != "training"]:
        value = vars(module)[name]
        if isinstance(value, bool):
            yield f"{name} turned round", lambda: _attribute(module, name, not value)
        elif isinstance(value, int | float):
            yield f"{name} another number", lambda: _attribute(module, name, value + 1)
        elif isinstance(value, tuple):
            yield f"{name} the other way round", lambda: _attribute(module, name, value[::-1])
        yield f"{name} gone", lambda: delattr(module, name)
    for name, child in module.named_children():
        yield f"{name} missing", lambda: module._modules.pop(name)
        yield f"{name} None", lambda: _attribute(module, name, None)
        yield f"{name} an Identity", lambda: _attribute(module, name, nn.Identity())
        yield f"{name} itself", lambda: module.add_module(name, module)
        yield f"{name} in a sequence", lambda: _attribute(module, name, nn.Sequential(child))
    children = list(module.named_children())
    if len(children) > 1:
        (one, first), (other, second) = children[0], children[1]
        yield "children exchanged", lambda: (_attribute(module, one, second), _attribute(module, other, first))
        yield "children shared", lambda: _attribute(module, other, first)
    if isinstance(module, nn.ModuleList):
        yield "one shorter", lambda: module._modules.popitem()
        yield "one longer", lambda: module.append(copy.deepcopy(module[-1]))
        yield "the other way round", lambda: _reverse(module)
    if isinstance(module, nn.Linear):
        dtype, (out, into) = module.weight.dtype, module.weight.shape
        yield "parametrized", lambda: parametrize.register_parametrization(module, "weight", _Doubled())
        yield "weight norm", lambda: nn.utils.parametrizations.weight_norm(module)
        yield (
            "a bias or none",
            lambda: _parameter(module, "bias", None if module.bias is not None else torch.ones(out, dtype=dtype)),
        )
        parent, name = model.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]
        for shape in ((into, out), (into + 1, out), (into, out + 1), (into // 2, out), (into, 1)):
            yield (
                f"another of shape {shape}",
                lambda: parent.add_module(name, nn.Linear(*shape, dtype=dtype).requires_grad_(False)),
            )
        yield (
            "another with another bias",
            lambda: parent.add_module(
                name, nn.Linear(into, out, bias=module.bias is None, dtype=dtype).requires_grad_(False)
            ),
        )
        yield "a bilinear layer", lambda: parent.add_module(name, nn.Bilinear(into, into, out))


def _reverse(module):
    module._modules = dict(enumerate_names(reversed(list(module._modules.values()))))


def enumerate_names(modules):
    return ((str(index), module) for index, module in enumerate(modules))


def _touches(model):
    """Names of all that can be done to a model, and what does it."""
    for path, module in model.named_modules():
        for what, touch in _touches_of_a_module(model, path, module):
            yield f"{path}: {what}", touch
        for name, tensor in module.named_parameters(recurse=False):
            for what, touch in _touches_of_a_tensor(module, name, tensor):
                yield f"{path}.{name}: {what}", touch
        for name, tensor in module.named_buffers(recurse=False):
            if tensor.is_floating_point():
                yield f"{path}.{name}: scaled in place", lambda: tensor.mul_(1.01)
                yield f"{path}.{name}: single", lambda: _attribute(module, name, tensor.float())
                yield f"{path}.{name}: shorter", lambda: _attribute(module, name, tensor.flatten()[:-1].clone())
            yield f"{path}.{name}: missing", lambda: _attribute(module, name, None)
            yield f"{path}.{name}: a place less", lambda: _attribute(module, name, tensor.flatten()[:-1])


def _result(model, graph, evaluator):
    try:
        found = evaluate(model, graph, evaluator=evaluator)
    except TribondError as error:
        assert str(error)  # noqa: PT017
        return None
    return found.energy, found.forces


PARTS = 8
GRAPH = atom_graph(STRUCTURES["crystal"](), 5.0, 4.0)


@pytest.mark.filterwarnings("ignore:The use of `x.T` on tensors")
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_touched_the_modules_are_obeyed(part):
    """A model that has been evaluated, touched, and evaluated again: with the weights packed before, and packed anew."""
    base = random_model(
        small_config(
            "m3gnet_pytorch", num_blocks=1, node_features=8, edge_features=8, update_hidden=(8,), readout_hidden=(8,)
        )
    )
    base.requires_grad_(False).eval()
    names = [name for name, _ in _touches(copy.deepcopy(base))]
    assert len(names) > 600
    refused = changed = 0
    before = _result(base, GRAPH, _Autograd())
    for index in range(part, len(names), PARTS):
        model, evaluator = copy.deepcopy(base), Evaluator()
        _result(model, GRAPH, evaluator)
        name, touch = next(pair for number, pair in enumerate(_touches(model)) if number == index)
        touch()
        found = _result(model, GRAPH, evaluator)
        if "memory" in name or "on meta" in name:  # PyTorch itself would read what is not there
            assert found is None, name
            refused += 1
            continue
        wanted = _result(model, GRAPH, _Autograd())
        assert (found is None) == (wanted is None), name
        if found is None or wanted is None:
            refused += 1
            continue
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(
                one, other, rtol=1e-10, atol=1e-11, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}"
            )
        changed += found[0].shape != before[0].shape or bool((found[0] != before[0]).any())
    assert refused > 5
    assert changed > 5
    gc.collect()


def test_attributes_of_modules_cannot_be_changed_in_place():
    """Or a look at them would not notice."""
    for module in random_model(small_config()).modules():
        for name, value in vars(module).items():
            if name[:1] != "_":
                hash(value)
                assert not dataclasses.is_dataclass(value) or value.__dataclass_params__.frozen


@pytest.fixture
def model():
    return random_model(small_config()).requires_grad_(requires_grad=False)


def test_a_model_that_nobody_touched_is_known(model):
    assert difference(model) is None
    check(model)
    look = Look.at(model)
    assert look.still_holds(model)
    assert not look.still_holds(copy.deepcopy(model))


def test_a_training_looks_at_everything_but_the_numbers_of_the_weights(model):
    look = Look.at(model)
    model.readout.phi.core[0].weight.mul_(1.1)
    assert look.holds_but_for_weights(model)
    assert not look.still_holds(model)
    model.edge_basis.wave_numbers.data.mul_(1.01)  # past PyTorch's notice
    assert not look.holds_but_for_weights(model)
    model.edge_basis.wave_numbers.data.div_(1.01)
    look = Look.at(random_model(small_config()))
    look.model.blocks[0].register_forward_hook(lambda *_: None)
    assert not look.holds_but_for_weights(look.model)


def test_a_method_put_into_a_class_is_obeyed(model, monkeypatch):
    evaluator = Evaluator()
    before = evaluate(model, GRAPH, evaluator=evaluator).energy
    original = GraphUpdate.forward
    monkeypatch.setattr(GraphUpdate, "forward", lambda self, *given: 2 * original(self, *given))
    assert describe(model).endswith("because GraphUpdate.forward was replaced")
    after = evaluate(model, GRAPH, evaluator=evaluator).energy
    assert after != before
    monkeypatch.undo()
    assert evaluate(model, GRAPH, evaluator=evaluator).energy == before


@pytest.mark.parametrize(
    ("place", "name", "other"),
    [
        (gated_mlp, "silu", torch.relu),
        (gated_mlp, "gated", lambda core, gate: core * torch.sigmoid(gate)),
        (block, "silu", torch.tanh),
        (three_body, "polynomial_cutoff", lambda lengths, cutoff: (lengths < cutoff) / (1 + lengths)),
    ],
)
def test_a_function_put_into_a_module_of_python_is_obeyed(place, name, other, monkeypatch):
    model = random_model(small_config("mattersim")).requires_grad_(requires_grad=False)
    evaluator = Evaluator()
    before = evaluate(model, GRAPH, evaluator=evaluator).energy
    monkeypatch.setattr(place, name, other)
    found = evaluate(model, GRAPH, evaluator=evaluator).energy
    assert found != before
    assert found == evaluate(model, GRAPH, evaluator=_Autograd()).energy
    assert describe(model).endswith(f"because {place.__name__}.{name} was replaced")
    monkeypatch.undo()
    assert evaluate(model, GRAPH, evaluator=evaluator).energy == before


def test_hooks_for_all_modules_are_obeyed(model):
    evaluator, calls = Evaluator(), []
    evaluate(model, GRAPH, evaluator=evaluator)
    handle = nn.modules.module.register_module_forward_hook(lambda *_: calls.append(1))
    evaluate(model, GRAPH, evaluator=evaluator)
    handle.remove()
    assert calls
    assert difference(model) is None


def test_a_config_that_says_something_else_does_not_change_the_modules(model):
    evaluator = Evaluator()
    before = evaluate(model, GRAPH, evaluator=evaluator).energy
    model.config = dataclasses.replace(model.config, block_order="atom_first")
    assert evaluate(model, GRAPH, evaluator=evaluator).energy.item() == pytest.approx(before.item(), abs=1e-10)
    assert backend(model) == "autograd"


def test_the_error_says_what_was_changed(model):
    model.blocks[0].bond_update.phi.core[0] = nn.Linear(7, 16, dtype=torch.float64)
    with pytest.raises(
        ConfigError,
        match=r"blocks.0.bond_update.phi.core.0.in_features is 7, not 48; then: Sizes of tensors must match",
    ):
        evaluate(model, GRAPH)
    with pytest.raises(ConfigError, match="no backend computes this model as it is"):
        check(model)


def test_weights_without_memory_are_refused(model):
    model.blocks[0].bond_update.phi.core[1].weight.untyped_storage().resize_(0)
    for create_graph in (False, True):
        with pytest.raises(ConfigError, match="has lost its numbers"):
            evaluate(model, GRAPH, create_graph=create_graph)
