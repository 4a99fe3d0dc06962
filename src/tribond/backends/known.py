"""Whether a model is what `nn` makes of its config: only then may a backend compute in the place of the modules.

A backend reads weights and never calls a module. What somebody has done to a module, from a block left out to a hook or
another `forward`, it would ignore, or read past the end of a weight. So the model is compared, module by module, with
the one that its config describes; where they differ, `nn` computes, which does whatever the modules do now.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import TorchFunctionMode

from tribond.errors import ConfigError
from tribond.nn import (
    activations,
    basis,
    block,
    cutoff,
    four_body,
    gated_mlp,
    m3gnet,
    readout,
    reference_energy,
    repulsion,
    three_body,
)
from tribond.nn.basis import SmoothBessel, SmoothBesselPerL, SphericalBessel
from tribond.nn.block import GraphUpdate, M3GNetBlock
from tribond.nn.config import M3GNetConfig
from tribond.nn.four_body import FourBodyProducts
from tribond.nn.gated_mlp import MLP, GatedMLP
from tribond.nn.m3gnet import M3GNet
from tribond.nn.readout import AtomicReadout
from tribond.nn.reference_energy import DoublePrecisionTables, ReferenceEnergy
from tribond.nn.repulsion import Repulsion
from tribond.nn.three_body import AngularBasis, ThreeBodyToBond

OURS: tuple[type[nn.Module], ...] = (
    *(SmoothBessel, SmoothBesselPerL, SphericalBessel, AngularBasis),
    *(M3GNet, M3GNetBlock, ThreeBodyToBond, FourBodyProducts, GraphUpdate, MLP, GatedMLP, AtomicReadout),
    *(DoublePrecisionTables, ReferenceEnergy, Repulsion),
)
# The layers whose equations the backends write out. One of another make, a subclass too, only `nn` can compute.
KNOWN: frozenset[type[nn.Module]] = frozenset({nn.Embedding, nn.Linear, nn.ModuleList, *OURS})
# Where the code of a model stands: classes, and the modules of Python with the functions that they call.
CODE: tuple[type | ModuleType, ...] = (
    nn.Module,
    *KNOWN,
    activations,
    basis,
    block,
    cutoff,
    four_body,
    gated_mlp,
    m3gnet,
    readout,
    reference_energy,
    repulsion,
    three_body,
)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
PRECISIONS = (torch.float32, torch.float64)


def _behaviour(place: type | ModuleType) -> dict[str, Any]:
    """What a class or a module of Python does: its attributes, but not those that Python keeps books in."""
    special = {"__call__", "__getattr__", "__getattribute__"}
    return {name: value for name, value in vars(place).items() if not name.startswith("__") or name in special}


# As they were when tribond was loaded; who puts something else there wants it to be computed.
_ORIGINAL = {place: _behaviour(place) for place in CODE}
# A function that somebody had put into a class even before has the name of another place.
_FOREIGN = [
    f"{kind.__name__}.{name}"
    for kind in OURS
    for name, value in _ORIGINAL[kind].items()
    if isinstance(value, FunctionType) and value.__qualname__ != f"{kind.__qualname__}.{name}"
]


@dataclass(frozen=True)
class Difference:
    """Where a model is not what its config describes."""

    where: str  # such as blocks.0.bond_update; empty for the model itself
    what: str

    def __str__(self) -> str:
        """As part of a sentence."""
        return f"{self.where or 'the model'} {self.what}"


@dataclass(frozen=True)
class _Plan:
    """A module as `nn` makes it."""

    kind: type[nn.Module]
    children: dict[str, "_Plan"]
    attributes: dict[str, Any]
    parameters: dict[str, torch.Size | None]
    buffers: dict[str, Tensor]  # those that depend on the config have the values that they must have


def check(model: M3GNet) -> None:
    """Raise ConfigError, naming the first difference, if the model is not what its config describes."""
    if (found := difference(model)) is not None:
        msg = f"no backend computes this model as it is: {found}"
        raise ConfigError(msg)


def difference(model: M3GNet) -> Difference | None:
    """The first difference between a model and what its config describes; None if there is none."""
    return next(iter(_differences(model)), None)


def _differences(model: M3GNet) -> Iterator[Difference]:
    if type(model) is not M3GNet or type(getattr(model, "config", None)) is not M3GNetConfig:
        yield Difference("", f"is of type {type(model).__name__}, not an M3GNet with a config")
        return
    yield from _of_code()
    weight = getattr(model._modules.get("atom_embedding"), "weight", None)  # noqa: SLF001
    if not isinstance(weight, Tensor):
        yield Difference("atom_embedding", "has no weight")
    elif weight.dtype not in PRECISIONS:
        yield Difference("atom_embedding.weight", f"is stored as {weight.dtype}, neither float32 nor float64")
    else:
        yield from _of_module(model, _plan(model.config), "", weight)


def _of_code() -> Iterator[Difference]:
    if _FOREIGN:
        yield Difference(_FOREIGN[0], "was replaced")
    if torch_module._has_any_global_hook():  # noqa: SLF001
        yield Difference("", "is run with hooks for all modules of PyTorch")
    for place, original in _ORIGINAL.items():
        now = _behaviour(place)
        for name in original.keys() | now.keys():
            if now.get(name) is not original.get(name):
                yield Difference(f"{place.__name__}.{name}", "was replaced")


def _of_module(module: nn.Module | None, plan: _Plan, path: str, like: Tensor) -> Iterator[Difference]:
    if type(module) is not plan.kind or module is None:
        yield Difference(path, f"is of type {type(module).__name__}, not {plan.kind.__name__}")
        return
    of = vars(module)
    if any(of[name] for name in HOOKS):
        yield Difference(path, "has hooks")
    for name, value in plan.attributes.items():
        found = of.get(name, plan)
        if found is not value and (type(found) is not type(value) or found != value):
            yield Difference(_join(path, name), f"is {'gone' if found is plan else repr(found)}, not {value!r}")
    for name in of.keys() - plan.attributes.keys():
        if name[:1] != "_" and name != "training" and hasattr(plan.kind, name):
            yield Difference(_join(path, name), "was replaced")
        elif name in {"_call_impl", "_wrapped_call_impl", "_compiled_call_impl", "__call__"}:
            yield Difference(path, "is called by other means than PyTorch's, such as torch.compile")
    yield from _of_tensors(of, plan, path, like)
    children = of["_modules"]
    if list(children) != list(plan.children):
        yield Difference(path, f"holds {_names(children)} where the config asks for {_names(plan.children)}")
        return
    for name, child in plan.children.items():
        yield from _of_module(children[name], child, _join(path, name), like)


def _of_tensors(of: dict[str, Any], plan: _Plan, path: str, like: Tensor) -> Iterator[Difference]:
    for kind, found, wanted in (
        ("parameters", of["_parameters"], plan.parameters),
        ("buffers", of["_buffers"], plan.buffers),
    ):
        if found.keys() != wanted.keys():
            yield Difference(path, f"has {kind} {_names(found)} where the config asks for {_names(wanted)}")
            return
    for name, shape in plan.parameters.items():
        tensor = of["_parameters"][name]
        if tensor is None or shape is None:
            if tensor is not None or shape is not None:
                yield Difference(_join(path, name), "is there" if shape is None else "is missing")
        elif what := _wrong(tensor, shape, like.dtype, like.device):
            yield Difference(_join(path, name), what)
    for name, wanted_values in plan.buffers.items():
        tensor = of["_buffers"][name]
        # Basis functions have the precision of the model; tables of energies stay in float64, indices are integers.
        follows = wanted_values.is_floating_point() and not issubclass(plan.kind, DoublePrecisionTables)
        is_free = plan.kind is ReferenceEnergy or (
            plan.kind is Repulsion and name == "radius"
        )  # of the model, not of its config
        dtype = like.dtype if follows else wanted_values.dtype
        if tensor is None:
            yield Difference(_join(path, name), "is missing")
        elif what := _wrong(tensor, wanted_values.shape, dtype, like.device):
            yield Difference(_join(path, name), what)
        elif not is_free and not torch.equal(tensor, wanted_values.to(like.device, dtype)):
            yield Difference(_join(path, name), "holds other numbers than the config asks for")


def _wrong(tensor: Tensor, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> str:
    """What is wrong with a tensor, in words; empty if nothing is."""
    if type(tensor) not in {Tensor, nn.Parameter}:
        return f"is a {type(tensor).__name__}, no plain tensor"
    if tensor.shape != shape:
        return f"has shape {tuple(tensor.shape)}, not {tuple(shape)}"
    if tensor.dtype != dtype:
        return f"is stored as {tensor.dtype}, not {dtype}"
    if tensor.device != device:
        return f"lies on {tensor.device}, not on {device}"
    if tensor.layout != torch.strided or tensor.is_neg():
        return "is not stored number by number"
    return "has lost its numbers" if _is_cut_short(tensor) else ""


def _is_cut_short(tensor: Tensor) -> bool:
    """Whether the memory of a tensor ends before its last number."""
    if tensor.layout != torch.strided or tensor.numel() == 0 or tensor.device.type == "meta":
        return False
    last = tensor.storage_offset() + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size() > tensor.untyped_storage().nbytes()


def refuse_unsafe(model: M3GNet) -> None:
    """Refuse what not even PyTorch may compute: it would read what is not there, or leave a GPU unusable.

    Raises:
        ConfigError: if a weight has lost its memory; on a GPU, if a table has fewer rows than there are elements.
    """
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if _is_cut_short(tensor):
            msg = f"{name} of the model has lost its numbers: its memory was given back; load the model again"
            raise ConfigError(msg)
        if tensor.device.type == "meta":
            msg = f"{name} of the model is on PyTorch's meta device, without numbers; load the model again"
            raise ConfigError(msg)
        tables = {"atom_embedding.weight", "reference_energy.scale", "reference_energy.reference"}
        if tensor.is_cuda and name in tables and len(tensor) < len(model.config.elements):
            msg = f"{name} of the model has {len(tensor)} rows for {len(model.config.elements)} elements"
            raise ConfigError(msg)


def explained(model: M3GNet, error: Exception) -> Exception:
    """The error to raise where evaluating a model failed: one that names what was changed in it, if anything was."""
    found = difference(model)
    if found is None or isinstance(error, (ConfigError, torch.OutOfMemoryError)):
        return error
    said = (str(error) or type(error).__name__).splitlines()[0]
    return ConfigError(f"this model cannot be computed: {found}; then: {said}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _names(of: dict[str, Any]) -> str:
    return ", ".join(of) or "none"


class _WithoutInitialising(TorchFunctionMode):
    """Leaves weights as memory has them: no time for random numbers, and none taken from the user's sequence."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


@lru_cache(maxsize=16)
def _plan(config: M3GNetConfig) -> _Plan:
    with torch.device("cpu"), torch.inference_mode(mode=False), _WithoutInitialising():  # whatever is the default
        return _plan_of(M3GNet(config, torch.float64))


def _plan_of(module: nn.Module) -> _Plan:
    of = vars(module)
    attributes = {name: value for name, value in of.items() if name[:1] != "_" and name != "training"}
    return _Plan(
        kind=type(module),
        children={name: _plan_of(child) for name, child in module.named_children()},
        attributes=attributes,
        parameters={name: None if it is None else it.shape for name, it in of["_parameters"].items()},
        buffers=dict(of["_buffers"]),
    )
