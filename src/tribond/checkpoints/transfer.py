"""Moving the tensors of another code's file into a tribond model: every one of them is used, or the import fails."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tribond.errors import CheckpointError, ConfigError, TribondError
from tribond.nn.config import M3GNetConfig
from tribond.nn.m3gnet import M3GNet, state_shapes

SHOWN = 5  # shapes in one message
CONSTANT_TOLERANCE = 2e-6  # relative; constants are stored in float32 and ours are worked out in float64


@dataclass(frozen=True)
class Naming:
    """How a code names the two tensors of a linear layer, and whether it multiplies from the other side."""

    weight: str
    bias: str
    transposed: bool


PYTORCH = Naming(weight=".weight", bias=".bias", transposed=False)
KERAS = Naming(weight="/kernel", bias="/bias", transposed=True)


class Transfer:
    """The tensors of a file, taken one by one to their place in tribond's state dict.

    Args:
        path: the file, for messages.
        tensors: its tensors by name.
        naming: of linear layers.
    """

    def __init__(self, path: Path, tensors: Mapping[str, Tensor], naming: Naming = PYTORCH) -> None:
        if not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            msg = f"{path} does not hold weights where its format has them; download or copy it again"
            raise CheckpointError(msg)
        self.path = path
        self.naming = naming
        self.state: dict[str, Tensor] = {}
        self._left = dict(tensors)

    def __contains__(self, name: str) -> bool:
        """Whether the file has a tensor of this name that was not taken yet."""
        return name in self._left

    def left(self, prefix: str = "") -> list[str]:
        """Names of the tensors that were not taken yet and start like this."""
        return sorted(name for name in self._left if name.startswith(prefix))

    def take(self, source: str) -> Tensor:
        """A tensor of the file; each can be taken once.

        Raises:
            CheckpointError: if it is not there, is not of float32 or float64, or holds numbers that are not finite.
        """
        if source not in self._left:
            msg = f"{self.path} lacks the tensor {source!r} that its settings ask for; the file is not whole"
            raise CheckpointError(msg)
        tensor = self._left.pop(source)
        if tensor.dtype not in {torch.float32, torch.float64}:
            msg = f"{self.path}: the tensor {source!r} is stored as {tensor.dtype}; tribond reads float32 and float64"
            raise CheckpointError(msg)
        if tensor.layout != torch.strided or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            msg = f"{self.path}: the tensor {source!r} is stored in a way that no code of M3GNet uses"
            raise CheckpointError(msg)
        if not torch.isfinite(tensor).all():
            msg = f"{self.path}: the tensor {source!r} holds numbers that are not finite; the file is damaged"
            raise CheckpointError(msg)
        return tensor

    def tensor(self, target: str, source: str) -> None:
        """Move one tensor as it is."""
        self.state[target] = self.take(source)

    def linear(self, target: str, source: str, *, bias: bool = True) -> None:
        """Move a linear layer."""
        weight = self.take(source + self.naming.weight)
        if self.naming.transposed:
            weight = weight.T
        self.state[f"{target}.weight"] = weight
        if bias:
            self.tensor(f"{target}.bias", source + self.naming.bias)

    def mlp(self, target: str, sources: Sequence[str], *, bias: bool = True) -> None:
        """Move the linear layers of an `MLP`, in order."""
        for depth, source in enumerate(sources):
            self.linear(f"{target}.layers.{depth}", source, bias=bias)

    def gated_mlp(self, target: str, core: Sequence[str], gate: Sequence[str], *, bias: bool = True) -> None:
        """Move the linear layers of both branches of a `GatedMLP`, in order."""
        for branch, sources in (("core", core), ("gate", gate)):
            for depth, source in enumerate(sources):
                self.linear(f"{target}.{branch}.{depth}", source, bias=bias)

    def constant(self, source: str, expected: Tensor | float) -> None:
        """Take a tensor that is no weight but a constant of the equations, and see that it is the one that we use.

        Raises:
            CheckpointError: if it is another one: the model would not be computed as its home code does.
        """
        found = self.take(source).double()
        wanted = torch.as_tensor(expected, dtype=torch.float64)
        if found.numel() != wanted.numel():
            what = f"has {found.numel()} numbers where the settings in the file ask for {wanted.numel()}"
        else:
            found, wanted = found.flatten(), wanted.flatten()
            if torch.allclose(found, wanted, rtol=CONSTANT_TOLERANCE, atol=1e-7):
                return
            worst = int((found - wanted).abs().argmax())
            what = f"is {found[worst].item():g} where the settings in the file make it {wanted[worst].item():g}"
        msg = f"{self.path}: {source!r} {what}; a model with other constants cannot be computed by tribond"
        raise CheckpointError(msg)

    def into(self, config: M3GNetConfig, dtype: torch.dtype | None = None) -> M3GNet:
        """The model, after every tensor has been taken.

        Args:
            config: of the model.
            dtype: precision; None takes that of the file's weights.

        Raises:
            CheckpointError: if tensors of the file are left over, or the model's are missing or of another shape.
        """
        if self._left:
            msg = f"{self.path} holds tensors that tribond has no place for, so it is another kind of model: {self.left()}"
            raise CheckpointError(msg)
        wanted = state_shapes(config)
        found = {name: tuple(tensor.shape) for name, tensor in self.state.items()}
        if config.readout != "extensive":  # scale and reference are of energies alone
            found |= {name: shape for name, shape in wanted.items() if name.startswith("reference_energy.")}
        if wanted != found:
            names = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            details = [f"{name} is {found.get(name)}, must be {wanted.get(name)}" for name in names[:SHOWN]]
            more = f"; and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            msg = f"{self.path}: shapes do not fit the settings in the file: {'; '.join(details)}{more}"
            raise CheckpointError(msg)
        if wrong := sorted(name for name, tensor in self.state.items() if not torch.isfinite(tensor).all()):
            msg = f"{self.path}: the settings in the file give numbers that are not finite: {', '.join(wrong)}"
            raise CheckpointError(msg)
        precise = any(tensor.dtype == torch.float64 for name, tensor in self.state.items() if "reference" not in name)
        model = M3GNet(config, dtype or (torch.float64 if precise else torch.float32))
        model.load_state_dict(model.state_dict() | self.state)
        return model


def with_elements(model: M3GNet, elements: Sequence[str]) -> M3GNet:
    """The same model for some of its elements; it refuses the others."""
    rows = [model.config.elements.index(symbol) for symbol in elements]
    smaller = M3GNet(replace(model.config, elements=tuple(elements)), model.dtype)
    tables = {"atom_embedding.weight", "reference_energy.scale", "reference_energy.reference", "repulsion.radius"}
    state = {name: tensor[rows] if name in tables else tensor for name, tensor in model.state_dict().items()}
    smaller.load_state_dict(state)
    return smaller


@contextmanager
def nonsense_refused(path: Path, code: str) -> Iterator[None]:
    """Turn what nonsense in a file makes Python raise, a text where a number should be, into an error for people.

    Raises:
        CheckpointError: naming the file and the code whose format it does not follow.
    """
    try:
        yield
    except TribondError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        msg = (
            f"{path} does not follow the format of {code} ({type(error).__name__}: {error}); download or copy it again"
        )
        raise CheckpointError(msg) from error


def check_settings(
    path: Path, settings: Mapping[str, Any], required: AbstractSet[str], optional: AbstractSet[str] = frozenset()
) -> None:
    """Raise CheckpointError, with their names, if settings are missing or not known."""
    if unknown := sorted(map(str, settings.keys() - required - optional)):
        msg = f"{path} has settings that tribond does not know: {', '.join(unknown)}"
        raise CheckpointError(msg)
    if missing := sorted(required - settings.keys()):
        msg = f"{path} lacks the settings {', '.join(missing)}"
        raise CheckpointError(msg)


def foreign_config(path: Path, **settings: object) -> M3GNetConfig:
    """The config of an imported model.

    Raises:
        CheckpointError: if a value makes no sense, naming the file and the setting.
    """
    try:
        return M3GNetConfig.from_dict(settings)
    except (ConfigError, TypeError) as error:
        msg = f"{path} has settings that make no sense: {error}"
        raise CheckpointError(msg) from error
