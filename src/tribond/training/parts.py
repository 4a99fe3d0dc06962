"""Parts of a model by the names that a training file has for them, and leaving some of them as they are."""

from collections.abc import Sequence
from typing import Literal

from tribond.errors import ConfigError
from tribond.nn.m3gnet import M3GNet

Part = Literal["embedding", "block1", "block2", "block3", "block4", "block5", "block6", "readout"]
EMBEDDING = ("atom_embedding.", "bond_embedding.", "state_embedding.")


def part_of(name: str) -> str:
    """The part that a weight belongs to: embedding, block1, block2, ..., readout."""
    if name.startswith(EMBEDDING):
        return "embedding"
    if name.startswith("blocks."):
        return f"block{int(name.split('.')[1]) + 1}"
    return "readout"


def parts_of(model: M3GNet) -> list[str]:
    """All parts of a model, from the atoms to the result."""
    return ["embedding", *(f"block{number + 1}" for number in range(model.config.num_blocks)), "readout"]


def freeze(model: M3GNet, parts: Sequence[str]) -> None:
    """Leave some parts as they are: their weights have no gradients.

    Raises:
        ConfigError: if the model has no such part, or nothing would be left to train.
    """
    known = parts_of(model)
    if unknown := [part for part in parts if part not in known]:
        msg = f"freeze: this model has no {', '.join(unknown)}; its parts are {', '.join(known)}"
        raise ConfigError(msg)
    if set(parts) == set(known):
        msg = "freeze: all parts of the model are frozen, and nothing is left to train"
        raise ConfigError(msg)
    for name, weight in model.named_parameters():
        weight.requires_grad_(part_of(name) not in parts)
