"""Moving the tensors of another code's file into a tribond model: every one of them is used, or the import fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tribond.errors import CheckpointError, ConfigError
from tribond.nn.config import M3GNetConfig
from tribond.nn.m3gnet import M3GNet

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
            CheckpointError: if it is not there, or holds numbers that are not finite.
        """
        if source not in self._left:
            msg = f"{self.path} lacks the tensor {source!r} that its settings ask for; the file is not whole"
            raise CheckpointError(msg)
        tensor = self._left.pop(source)
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
        same = found.numel() == wanted.numel() and torch.allclose(
            found.flatten(), wanted.flatten(), rtol=CONSTANT_TOLERANCE, atol=1e-7
        )
        if not same:
            msg = (
                f"{self.path}: {source!r} is {_shown(found)}, but the settings in the file make it {_shown(wanted)}; "
                "a model with other constants cannot be computed by tribond"
            )
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
        model = M3GNet(config, dtype or self.state["atom_embedding.weight"].dtype)
        wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in self.state.items()}
        for name in ("scale", "reference", "offset"):  # of energies alone, and at their neutral values if not given
            found.setdefault(f"reference_energy.{name}", wanted[f"reference_energy.{name}"])
        if wanted != found:
            names = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            details = [f"{name} is {found.get(name)}, must be {wanted.get(name)}" for name in names]
            msg = f"{self.path}: shapes do not fit the settings in the file: {'; '.join(details)}"
            raise CheckpointError(msg)
        model.load_state_dict(model.state_dict() | self.state)
        return model


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


def _shown(tensor: Tensor) -> str:
    return str(tensor.item()) if tensor.numel() == 1 else f"a tensor of shape {tuple(tensor.shape)}"
