r"""Make a potential wider and deeper without changing what it computes: where the training of a larger one starts.

    python recipes/built_in/widen.py MODEL OUT --times 2 --blocks 1

Wider: every feature and every hidden unit is copied, and the weights that it goes out with are divided among the copies
(Net2Net: Chen, Goodfellow, Shlens, arXiv 1511.05641). They are divided at random, so that the copies learn different
things. Deeper: a new block copies the last one, but the gates of its messages are zero, so that it adds nothing yet. All that
lies between linear layers in an M3GNet acts on single features, so both are exact but for rounding.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tribond.checkpoints.native import save_model
from tribond.checkpoints.registry import load_network
from tribond.nn.block import GraphUpdate
from tribond.nn.gated_mlp import GatedMLP
from tribond.nn.m3gnet import M3GNet

EVEN = 0.6  # this part of an outgoing weight is divided evenly among the copies, the rest at random


class Widener:
    """Copies units, and divides the weights that they go out with."""

    def __init__(self, times: int, seed: int = 0) -> None:
        self.times = times
        self.random = torch.Generator().manual_seed(seed)

    def outputs(self, values: Tensor, dim: int = 0) -> Tensor:
        """Copies of every unit, one set behind the other."""
        return torch.cat([values] * self.times, dim=dim)

    def inputs(self, weight: Tensor, parts: list[int] | None = None) -> Tensor:
        """A weight (out, in) for inputs that were copied; `parts` if the input is several vectors in a row."""
        return torch.cat([self._divided(part) for part in weight.split(parts or [weight.shape[1]], dim=1)], dim=1)

    def _divided(self, weight: Tensor) -> Tensor:
        random = torch.rand((self.times, *weight.shape), generator=self.random, dtype=weight.dtype)
        shares = EVEN / self.times + (1 - EVEN) * random / random.sum(0)
        return torch.cat(list(shares * weight), dim=1)

    def linear(
        self, target: nn.Module, source: nn.Module, *, copied: tuple[bool, bool], parts: list[int] | None = None
    ) -> None:
        """Fill a linear layer; `copied` tells whether its inputs and outputs were."""
        weight = self.inputs(source.weight, parts) if copied[0] else source.weight
        target.weight.copy_(self.outputs(weight) if copied[1] else weight)
        if source.bias is not None:
            target.bias.copy_(self.outputs(source.bias) if copied[1] else source.bias)

    def layers(
        self,
        target: nn.ModuleList,
        source: nn.ModuleList,
        *,
        first: bool = True,
        last: bool = True,
        parts: list[int] | None = None,
    ) -> None:
        """Fill layer after layer; `first` and `last` tell whether the first inputs and the last outputs were copied."""
        for depth, (new, old) in enumerate(zip(target, source, strict=True)):
            copied = (first or depth > 0, last or depth < len(source) - 1)
            self.linear(new, old, copied=copied, parts=parts if depth == 0 else None)

    def gated(self, target: GatedMLP, source: GatedMLP, **how: Any) -> None:
        """Fill both branches of a gated MLP."""
        self.layers(target.core, source.core, **how)
        self.layers(target.gate, source.gate, **how)

    def update(self, target: GraphUpdate, source: GraphUpdate) -> None:
        """Fill an update of bonds or atoms."""
        self.gated(target.phi, source.phi, parts=[part for part in source.parts if part])
        self.linear(target.edge_gate, source.edge_gate, copied=(False, True))


def widened(model: M3GNet, times: int, new_blocks: int = 0, seed: int = 0) -> M3GNet:
    """A larger potential with the same energies.

    Args:
        model: a potential without a state input.
        times: how often features and hidden units are copied; 1 leaves the widths.
        new_blocks: that are added behind the last.
        seed: of the division of weights.

    Raises:
        ValueError: for a model of another kind.
    """
    config = model.config
    if config.readout != "extensive" or config.state != "none":
        raise ValueError("only potentials without a state input can be widened")
    larger = M3GNet(
        replace(
            config,
            num_blocks=config.num_blocks + new_blocks,
            node_features=times * config.node_features,
            edge_features=times * config.edge_features,
            update_hidden=tuple(times * width for width in config.update_hidden),
            readout_hidden=tuple(times * width for width in config.readout_hidden),
        ),
        model.dtype,
    )
    widener = Widener(times, seed)
    with torch.no_grad():
        larger.atom_embedding.weight.copy_(widener.outputs(model.atom_embedding.weight, dim=1))
        widener.layers(larger.bond_embedding.layers, model.bond_embedding.layers, first=False)
        for number, block in enumerate(larger.blocks):
            old = model.blocks[min(number, config.num_blocks - 1)]
            widener.linear(block.three_body.atom_gate, old.three_body.atom_gate, copied=(True, False))
            widener.gated(block.three_body.bond_update, old.three_body.bond_update, first=False)
            widener.update(block.bond_update, old.bond_update)
            widener.update(block.atom_update, old.atom_update)
            if number >= config.num_blocks:
                _silence(block)
        widener.gated(larger.readout.phi, model.readout.phi, last=False)
        larger.reference_energy.load_state_dict(model.reference_energy.state_dict())
        if larger.repulsion is not None and model.repulsion is not None:
            larger.repulsion.load_state_dict(model.repulsion.state_dict())
    return larger


def _silence(block: nn.Module) -> None:
    """Let a block add nothing: gates of messages, and one branch of the angles' update, are zero."""
    for layer in (block.bond_update.edge_gate, block.atom_update.edge_gate, block.three_body.bond_update.core[-1]):
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def main() -> None:
    """Read, widen, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=0)
    arguments = parser.parse_args()
    model, metadata = load_network(arguments.model, torch.float64)
    larger = widened(model, arguments.times, arguments.blocks).float()
    save_model(arguments.out, larger, metadata)


if __name__ == "__main__":
    main()
