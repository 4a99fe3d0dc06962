"""The weights of an M3GNet as the Triton kernels take them."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tribond.nn.block import GraphUpdate, M3GNetBlock
from tribond.nn.m3gnet import M3GNet


def padded(width: int) -> int:
    """The power of two that a tile has for a width; matrix units take no less than 16."""
    return max(16, 1 << (width - 1).bit_length())


@dataclass(frozen=True)
class UpdateWeights:
    """φ and W⁰ of (4) or (5)."""

    of_atoms: Tensor  # (4 H, node_features) what centre and neighbour bring to the first layer, core and gate each
    bias: Tensor  # (4 H,)
    of_edge: tuple[Tensor, Tensor]  # (H, edge_features) each: core and gate; rows may lie apart
    layers: tuple[Tensor, ...]  # weight and bias of the core, of the gate, and so on for the next layer
    scale: Tensor  # (out_features, functions) W⁰, with its bias as the last column if there is one
    hidden: tuple[int, ...]
    silu: bool  # around W⁰ e⁰

    @staticmethod
    def of(update: GraphUpdate) -> "UpdateWeights":
        """Read a module; what need not be copied is not."""
        core, gate = _linears(update.phi.core), _linears(update.phi.gate)
        nodes = update.parts[0]
        first = [layer.weight.detach() for layer in (core[0], gate[0])]
        biases = [layer.bias.detach() for layer in (core[0], gate[0])]
        of_edge = tuple(weight[:, 2 * nodes : 2 * nodes + update.parts[2]] for weight in first)
        later = [t.detach() for pair in zip(core[1:], gate[1:], strict=True) for it in pair for t in (it.weight, it.bias)]
        scale = update.edge_gate.weight.detach()
        if update.edge_gate.bias is not None:
            scale = torch.cat([scale, update.edge_gate.bias.detach()[:, None]], dim=1)
        return UpdateWeights(
            of_atoms=torch.cat([weight[:, at : at + nodes] for at in (0, nodes) for weight in first]),
            bias=torch.cat([*biases, *(torch.zeros_like(bias) for bias in biases)]),
            of_edge=(of_edge[0], of_edge[1]),
            layers=tuple(later),
            scale=scale.contiguous(),
            hidden=tuple(layer.out_features for layer in core[:-1]),
            silu=update.activate_gate,
        )


@dataclass(frozen=True)
class Table:
    """Linear maps of v_i that are computed together: one matrix product an atom."""

    weight: Tensor  # (columns, node_features)
    bias: Tensor  # (columns,)
    columns: dict[str, slice]  # of each map

    @staticmethod
    def of(parts: dict[str, tuple[Tensor, Tensor]]) -> "Table":
        """Put maps side by side."""
        columns, end = {}, 0
        for name, (weight, _) in parts.items():
            columns[name] = slice(end, end + weight.shape[0])
            end += weight.shape[0]
        weights, biases = zip(*parts.values(), strict=True)
        return Table(torch.cat(weights), torch.cat(biases), columns)


@dataclass(frozen=True)
class BlockWeights:
    """One block. `late` is for (4) where atoms come first and v_i has moved before it."""

    bond: UpdateWeights
    atom: UpdateWeights
    said: Tensor  # (edge_features, max_l · max_n) W̃₂ of (3)
    share: Tensor  # W̃₁
    early: Table
    late: Table | None

    @staticmethod
    def of(block: M3GNetBlock) -> "BlockWeights":
        """Read a module."""
        bond, atom = UpdateWeights.of(block.bond_update), UpdateWeights.of(block.atom_update)
        gate = block.three_body.atom_gate
        early = {"atom": (atom.of_atoms, atom.bias), "gate": (gate.weight.detach(), gate.bias.detach())}
        of_bond = {"bond": (bond.of_atoms, bond.bias)}
        said, share = (
            _linears(layers)[0].weight.detach()
            for layers in (block.three_body.bond_update.core, block.three_body.bond_update.gate)
        )
        return BlockWeights(
            bond=bond,
            atom=atom,
            said=said,
            share=share,
            early=Table.of(early if block.atom_first else of_bond | early),
            late=Table.of(of_bond) if block.atom_first else None,
        )


@dataclass(frozen=True)
class Weights:
    """A whole model; parameters are seen, not copied, where that is possible, so make this anew after a change."""

    model: M3GNet
    embedding: Tensor  # (edge_features, functions)
    embedding_bias: Tensor | None
    edge_functions: tuple[Tensor, Tensor]  # as `triton_radial.set_radial` takes them
    angle_functions: tuple[Tensor, Tensor]
    blocks: tuple[BlockWeights, ...]

    @staticmethod
    def of(model: M3GNet) -> "Weights":
        """Read a model."""
        layer = _linears(model.bond_embedding.layers)[0]
        return Weights(
            model=model,
            embedding=layer.weight.detach(),
            embedding_bias=None if layer.bias is None else layer.bias.detach(),
            edge_functions=_functions(model.edge_basis),
            angle_functions=_functions(model.angular_basis.radial),
            blocks=tuple(BlockWeights.of(cast("M3GNetBlock", block)) for block in model.blocks),
        )


def _functions(basis: nn.Module) -> tuple[Tensor, Tensor]:
    """Coefficients and wave numbers of smooth functions, norms and wave numbers of spherical Bessel functions."""
    inner = getattr(basis, "smooth", basis)
    first = inner.coefficients if hasattr(inner, "coefficients") else inner.norms
    return cast("Tensor", first), cast("Tensor", inner.wave_numbers)


def _linears(layers: nn.ModuleList) -> list[nn.Linear]:
    return [cast("nn.Linear", layer) for layer in layers]
