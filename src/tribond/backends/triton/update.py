"""The bond update (4) and the messages of the atom update (5) as one Triton kernel.

A program takes a tile of bonds through a whole gated multilayer perceptron: what the angles add to e_ij, (3), the parts
of the first layer that both atoms bring, all layers, the gate W⁰ e⁰_ij. Symbols as in `nn`; ∂x stands for dE/dx. Weights come from
`weights.UpdateWeights`, in one array; every program reads them anew. Few programs that keep them on the chip and
take one tile after the other were no faster on an H100.
"""

import triton
import triton.language as tl

from tribond.backends.triton.math import columns_of, rows_of, set_rows, sigmoid, silu, times


@triton.jit
def first_layer(
    edges, table, stride, i, j, inside, weights, OFFSET: tl.constexpr, BRANCH: tl.constexpr,
    H: tl.constexpr, BH: tl.constexpr, BE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """W₁ v_i + W₂ v_j + W₃ e_ij + b of the core (branch 0) or the gate (1); the table holds what atoms bring."""
    column = tl.arange(0, BH)[None, :]
    mask = inside[:, None] & (column < H)
    atoms = tl.load(table + i[:, None] * stride + BRANCH * H + column, mask=mask, other=0.0)
    atoms += tl.load(table + j[:, None] * stride + (2 + BRANCH) * H + column, mask=mask, other=0.0)
    return times(edges, weights, OFFSET, BH, BE, PRECISION) + atoms


@triton.jit
def layer(
    x, weights, biases, OFFSET: tl.constexpr, BIAS: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Give x Wᵀ + b."""
    bias = tl.load(biases + BIAS + tl.arange(0, R))[None, :]
    return times(x, weights, OFFSET, R, C, PRECISION) + bias


@triton.jit
def after_angles(edges, angles, weights, ANGLE_CORE: tl.constexpr, ANGLE_GATE: tl.constexpr, BE: tl.constexpr, BT: tl.constexpr,
                 PRECISION: tl.constexpr):  # fmt: skip
    """e_ij after (3)."""
    core = times(angles, weights, ANGLE_CORE, BE, BT, PRECISION)
    gate = times(angles, weights, ANGLE_GATE, BE, BT, PRECISION)
    return edges + silu(core) * sigmoid(gate)


@triton.jit(do_not_specialize=["num_atoms"])
def message_kernel(
    edges_ptr, out_ptr, e0_ptr, capacity, angles_ptr, angle_weights,
    table_ptr, table_stride, centre_ptr, neighbour_ptr, start_ptr, num_atoms, weights, biases,
    E: tl.constexpr, H1: tl.constexpr, O: tl.constexpr, N: tl.constexpr, T: tl.constexpr,
    BE: tl.constexpr, BH1: tl.constexpr, BH2: tl.constexpr, BO: tl.constexpr, BN: tl.constexpr, BT: tl.constexpr,
    CORE0: tl.constexpr, GATE0: tl.constexpr, CORE1: tl.constexpr, GATE1: tl.constexpr, CORE2: tl.constexpr,
    GATE2: tl.constexpr, SCALE: tl.constexpr, ANGLE_CORE: tl.constexpr, ANGLE_GATE: tl.constexpr,
    WITH_ANGLES: tl.constexpr, ONTO_BONDS: tl.constexpr, SILU: tl.constexpr, TWO_HIDDEN: tl.constexpr,
    PRECISION: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """e_ij + φ(v_i ⊕ v_j ⊕ e_ij) ⊙ W⁰ e⁰_ij of (4), or without the e_ij in front for (5)."""
    count = tl.load(start_ptr + num_atoms)
    if tl.program_id(0) * B >= count:
        return
    capacity = capacity.to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = row < count
    i = tl.load(centre_ptr + row, mask=inside, other=0).to(tl.int64)
    j = tl.load(neighbour_ptr + row, mask=inside, other=0).to(tl.int64)
    edges = rows_of(edges_ptr, row, inside, E, BE)
    if WITH_ANGLES:
        angles = columns_of(angles_ptr, capacity, row, inside, T, BT)
        edges = after_angles(edges, angles, angle_weights, ANGLE_CORE, ANGLE_GATE, BE, BT, PRECISION)
    core = first_layer(edges, table_ptr, table_stride, i, j, inside, weights, CORE0, 0, H1, BH1, BE, PRECISION)
    core = layer(silu(core), weights, biases, CORE1, 0, BH2, BH1, PRECISION)
    if TWO_HIDDEN:
        core = layer(silu(core), weights, biases, CORE2, 2 * BH2, BO, BH2, PRECISION)
    gate = first_layer(edges, table_ptr, table_stride, i, j, inside, weights, GATE0, 1, H1, BH1, BE, PRECISION)
    gate = layer(silu(gate), weights, biases, GATE1, BH2, BH2, BH1, PRECISION)
    if TWO_HIDDEN:
        gate = layer(silu(gate), weights, biases, GATE2, 2 * BH2 + BO, BO, BH2, PRECISION)
    e0 = columns_of(e0_ptr, capacity, row, inside, N, BN)
    scale = times(e0, weights, SCALE, BO, BN, PRECISION)
    if SILU:
        scale = silu(scale)
    message = silu(core) * sigmoid(gate) * scale
    if ONTO_BONDS:
        message += edges
    set_rows(out_ptr, row, inside, message, O, O, BO)
