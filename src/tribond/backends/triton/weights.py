"""The weights of an M3GNet as the Triton kernels take them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from tribond.backends.weights import linears
from tribond.nn.basis import SmoothBessel, SmoothBesselPerL, SphericalBessel
from tribond.nn.block import GraphUpdate, M3GNetBlock
from tribond.nn.m3gnet import M3GNet
from tribond.nn.three_body import ThreeBodyToBond

Precision = Literal["fp16x3", "tf32x3", "tf32"]
SPLIT = 2048.0  # as in math.py


def padded(width: int) -> int:
    """The power of two that a tile has for a width; matrix units take no less than 16."""
    return max(16, 1 << (width - 1).bit_length())


@dataclass(frozen=True)
class Packed:
    """Matrices in one array, each padded with zeros to (powers of two)², split as the precision wants it."""

    values: Tensor  # float32 or float16
    offsets: Mapping[str, int]  # where each starts

    @staticmethod
    def of(matrices: Mapping[str, Tensor], precision: Precision) -> "Packed":
        """Pack them. The kernels read rows in one go, so W and Wᵀ are two matrices."""
        shapes = [(padded(matrix.shape[0]), padded(matrix.shape[1])) for matrix in matrices.values()]
        sizes = [rows * columns for rows, columns in shapes]
        whole = next(iter(matrices.values())).new_zeros(sum(sizes))
        for matrix, shape, place in zip(matrices.values(), shapes, whole.split(sizes), strict=True):
            place.view(shape)[: matrix.shape[0], : matrix.shape[1]].copy_(matrix.detach())
        parts = [part.split(sizes) for part in _split(whole, precision)]
        starts = accumulate((len(parts) * size for size in sizes), initial=0)
        values = torch.cat([part for of_matrix in zip(*parts, strict=True) for part in of_matrix])
        return Packed(values, dict(zip(matrices, starts, strict=False)))


def _split(numbers: Tensor, precision: Precision) -> list[Tensor]:
    """The first bits of every number, then the rest, as `math.times` takes them."""
    if precision == "tf32x3":
        high = ((numbers.view(torch.int32) + 4096) & -8192).view(torch.float32)
        return [high, numbers - high]
    if precision == "fp16x3":
        high16 = numbers.half()
        return [high16, ((numbers - high16.float()) * SPLIT).half()]
    return [numbers]


@dataclass(frozen=True)
class UpdateWeights:
    """φ and W⁰ of (4) or (5)."""

    of_atoms: Tensor  # (4 H, node_features) what centre and neighbour bring to the first layer, core and gate each
    bias: Tensor  # (4 H,)
    matrices: (
        Packed  # CORE0, GATE0 (of e_ij), CORE1, GATE1, perhaps CORE2, GATE2, and SCALE; the same with _BACK, turned
    )
    biases: Tensor  # of the layers from the second on, core and gate in turn, padded
    hidden: tuple[int, ...]
    out_features: int
    functions: int  # columns of W⁰; the last one is its bias, if there is one
    silu: bool  # around W⁰ e⁰

    @staticmethod
    def of(update: GraphUpdate, precision: Precision) -> "UpdateWeights":
        """Read a module."""
        core, gate = linears(update.phi.core), linears(update.phi.gate)
        nodes = update.parts[0]
        first = [layer.weight.detach() for layer in (core[0], gate[0])]
        scale = update.edge_gate.weight.detach()
        if update.edge_gate.bias is not None:
            scale = torch.cat([scale, update.edge_gate.bias.detach()[:, None]], dim=1)
        matrices = {"SCALE": scale}
        for depth, layers in enumerate(zip(core, gate, strict=True)):
            for branch, layer in zip(("CORE", "GATE"), layers, strict=True):
                matrices[f"{branch}{depth}"] = layer.weight if depth > 0 else layer.weight[:, 2 * nodes :]
        matrices |= {f"{name}_BACK": weight.T for name, weight in matrices.items()}
        later = [layer.bias.detach() for layers in zip(core[1:], gate[1:], strict=True) for layer in layers]
        biases = [layer.bias.detach() for layer in (core[0], gate[0])]
        return UpdateWeights(
            of_atoms=torch.cat([weight[:, at : at + nodes] for at in (0, nodes) for weight in first]),
            bias=torch.cat([*biases, *(torch.zeros_like(bias) for bias in biases)]),
            matrices=Packed.of(matrices, precision),
            biases=torch.cat([pad(bias, (0, padded(len(bias)) - len(bias))) for bias in later]),
            hidden=tuple(layer.out_features for layer in core[:-1]),
            out_features=scale.shape[0],
            functions=scale.shape[1],
            silu=update.activate_gate,
        )


@dataclass(frozen=True)
class Table:
    """Linear maps of v_i that are computed together: one matrix product an atom."""

    weight: Tensor  # (columns, node_features)
    bias: Tensor  # (columns,)
    columns: dict[str, slice]  # of each map; behind the last are some of zeros, so that rows start where 16 numbers do

    @staticmethod
    def of(parts: Mapping[str, tuple[Tensor, Tensor]]) -> "Table":
        """Put maps side by side."""
        columns, end = {}, 0
        for name, (weight, _) in parts.items():
            columns[name] = slice(end, end + weight.shape[0])
            end += weight.shape[0]
        weights, biases = zip(*parts.values(), strict=True)
        rest = -end % 16
        return Table(pad(torch.cat(weights), (0, 0, 0, rest)), pad(torch.cat(biases), (0, rest)), columns)


@dataclass(frozen=True)
class BlockWeights:
    """One block. `late` is for (4) where atoms come first and v_i has moved before it."""

    bond: UpdateWeights
    atom: UpdateWeights
    angles: Packed  # ANGLE_CORE, W̃₂ of (3), and ANGLE_GATE, W̃₁; the same with _BACK, turned
    early: Table
    late: Table | None

    @staticmethod
    def of(block: M3GNetBlock, precision: Precision) -> "BlockWeights":
        """Read a module."""
        bond, atom = UpdateWeights.of(block.bond_update, precision), UpdateWeights.of(block.atom_update, precision)
        gate = block.three_body.atom_gate
        early = {"atom": (atom.of_atoms, atom.bias), "gate": (gate.weight.detach(), gate.bias.detach())}
        of_bond = {"bond": (bond.of_atoms, bond.bias)}
        return BlockWeights(
            bond=bond,
            atom=atom,
            angles=_angle_layers(block.three_body, precision),
            early=Table.of(early if block.atom_first else of_bond | early),
            late=Table.of(of_bond) if block.atom_first else None,
        )


@dataclass(frozen=True)
class Weights:
    """A whole model, copied where that is needed: make this anew after a change."""

    model: M3GNet
    precision: Precision
    embedding: Tensor  # (edge_features, functions)
    embedding_bias: Tensor | None
    edge_functions: Tensor  # from `radial_constants`
    angle_functions: Tensor
    blocks: tuple[BlockWeights, ...]

    @staticmethod
    def of(model: M3GNet, precision: Precision) -> "Weights":
        """Read a model, for matrix products of one precision."""
        layer = linears(model.bond_embedding.layers)[0]
        bias = cast("Tensor | None", layer.bias)
        return Weights(
            model=model,
            precision=precision,
            embedding=layer.weight.detach(),
            embedding_bias=None if bias is None else bias.detach(),
            edge_functions=radial_constants(model.edge_basis),
            angle_functions=radial_constants(model.angular_basis.radial),
            blocks=tuple(BlockWeights.of(cast("M3GNetBlock", block), precision) for block in model.blocks),
        )


def _angle_layers(layer: ThreeBodyToBond, precision: Precision) -> Packed:
    core, gate = (linears(layers)[0].weight for layers in (layer.bond_update.core, layer.bond_update.gate))
    return Packed.of(
        {"ANGLE_CORE": core, "ANGLE_GATE": gate, "ANGLE_CORE_BACK": core.T, "ANGLE_GATE_BACK": gate.T}, precision
    )


def radial_constants(basis: nn.Module) -> Tensor:
    """What `radial` reads of radial functions, one after the other, float64.

    Of smooth functions the wave numbers, 1/Å, their inverses and the coefficients of (10)-(15), row by row; of spherical
    Bessel functions the norms, the wave numbers and their inverses, l by l.
    """
    functions = basis.smooth if isinstance(basis, SmoothBesselPerL) else basis
    if isinstance(functions, SmoothBessel):
        waves = functions.wave_numbers.double()
        return torch.cat([waves, 1 / waves, functions.coefficients.double().flatten()])
    waves = cast("SphericalBessel", functions).wave_numbers.double().flatten()
    return torch.cat([cast("SphericalBessel", functions).norms.double().flatten(), waves, 1 / waves])
