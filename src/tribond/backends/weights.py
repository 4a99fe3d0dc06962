"""Reading the weights of a model that is what its config describes."""

from typing import cast

from torch import nn


def linears(layers: nn.ModuleList) -> list[nn.Linear]:
    """The layers of a perceptron."""
    return [cast("nn.Linear", layer) for layer in layers]
