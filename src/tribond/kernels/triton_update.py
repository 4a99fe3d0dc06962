"""The bond update (4) and the messages of the atom update (5), and their derivatives, as one Triton kernel each.

A program takes a tile of bonds through a whole gated multilayer perceptron: what the angles add to e_ij, (3), the parts
of the first layer that both atoms bring, all layers, the gate W⁰ e⁰_ij. The way back computes that again. Nothing of
a bond is kept but e_ij. Symbols as in chunked.py.
"""

import triton
import triton.language as tl

from tribond.kernels.triton_math import columns_of, product, silu, silu_back, transposed, vector, weight


@triton.jit
def rows_of(pointer, row, inside, WIDTH: tl.constexpr, B: tl.constexpr):
    """Rows of an array (·, WIDTH) as a tile (bonds, B)."""
    column = tl.arange(0, B)[None, :]
    return tl.load(pointer + row[:, None] * WIDTH + column, mask=inside[:, None] & (column < WIDTH), other=0.0)


@triton.jit
def set_rows(pointer, row, inside, values, WIDTH: tl.constexpr, STRIDE: tl.constexpr, B: tl.constexpr):
    """Write a tile (bonds, B) to the first WIDTH columns of an array (·, STRIDE)."""
    column = tl.arange(0, B)[None, :]
    tl.store(pointer + row[:, None] * STRIDE + column, values, mask=inside[:, None] & (column < WIDTH))


@triton.jit
def first_layer(
    edges, table, stride, i, j, inside, of_edge, edge_stride,
    BRANCH: tl.constexpr, H: tl.constexpr, BH: tl.constexpr, E: tl.constexpr, BE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """W₁ v_i + W₂ v_j + W₃ e_ij + b of the core (branch 0) or the gate (1); the table holds what atoms bring."""
    column = tl.arange(0, BH)[None, :]
    mask = inside[:, None] & (column < H)
    atoms = tl.load(table + i[:, None] * stride + BRANCH * H + column, mask=mask, other=0.0)
    atoms += tl.load(table + j[:, None] * stride + (2 + BRANCH) * H + column, mask=mask, other=0.0)
    return product(edges, transposed(of_edge, edge_stride, H, E, BH, BE), PRECISION) + atoms


@triton.jit
def layer(
    x, weights, bias, ROWS: tl.constexpr, COLUMNS: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """x Wᵀ + b."""
    return product(x, transposed(weights, COLUMNS, ROWS, COLUMNS, R, C), PRECISION) + vector(bias, ROWS, R)


@triton.jit
def angle_layers(angles, said, share, T: tl.constexpr, BT: tl.constexpr, E: tl.constexpr, BE: tl.constexpr,
                 PRECISION: tl.constexpr):  # fmt: skip
    """W̃₂ ẽ_ij and W̃₁ ẽ_ij of (3)."""
    core = product(angles, transposed(said, T, E, T, BE, BT), PRECISION)
    gate = product(angles, transposed(share, T, E, T, BE, BT), PRECISION)
    return core, gate


@triton.jit
def message_kernel(
    edges_ptr, out_ptr, e0_ptr, capacity, angles_ptr, said_ptr, share_ptr,
    table_ptr, table_stride, centre_ptr, neighbour_ptr, start_ptr, num_atoms,
    core0, gate0, stride0, core1, core1_bias, gate1, gate1_bias, core2, core2_bias, gate2, gate2_bias, scale_ptr,
    E: tl.constexpr, H1: tl.constexpr, H2: tl.constexpr, O: tl.constexpr, N: tl.constexpr, T: tl.constexpr,
    BE: tl.constexpr, BH1: tl.constexpr, BH2: tl.constexpr, BO: tl.constexpr, BN: tl.constexpr, BT: tl.constexpr,
    WITH_ANGLES: tl.constexpr, ONTO_BONDS: tl.constexpr, SILU: tl.constexpr, TWO_HIDDEN: tl.constexpr,
    PRECISION: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """e_ij + φ(v_i ⊕ v_j ⊕ e_ij) ⊙ W⁰ e⁰_ij of (4), or without the e_ij in front for (5)."""
    count = tl.load(start_ptr + num_atoms)
    if tl.program_id(0) * B >= count:
        return
    row = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = row < count
    i = tl.load(centre_ptr + row, mask=inside, other=0).to(tl.int64)
    j = tl.load(neighbour_ptr + row, mask=inside, other=0).to(tl.int64)
    edges = rows_of(edges_ptr, row, inside, E, BE)
    if WITH_ANGLES:
        angles = columns_of(angles_ptr, capacity, row, inside, T, BT)
        said, share = angle_layers(angles, said_ptr, share_ptr, T, BT, E, BE, PRECISION)
        edges += silu(said) * tl.sigmoid(share)
    core = first_layer(edges, table_ptr, table_stride, i, j, inside, core0, stride0, 0, H1, BH1, E, BE, PRECISION)
    if TWO_HIDDEN:
        core = layer(silu(core), core1, core1_bias, H2, H1, BH2, BH1, PRECISION)
        core = layer(silu(core), core2, core2_bias, O, H2, BO, BH2, PRECISION)
    else:
        core = layer(silu(core), core1, core1_bias, O, H1, BO, BH1, PRECISION)
    gate = first_layer(edges, table_ptr, table_stride, i, j, inside, gate0, stride0, 1, H1, BH1, E, BE, PRECISION)
    if TWO_HIDDEN:
        gate = layer(silu(gate), gate1, gate1_bias, H2, H1, BH2, BH1, PRECISION)
        gate = layer(silu(gate), gate2, gate2_bias, O, H2, BO, BH2, PRECISION)
    else:
        gate = layer(silu(gate), gate1, gate1_bias, O, H1, BO, BH1, PRECISION)
    e0 = columns_of(e0_ptr, capacity, row, inside, N, BN)
    scale = product(e0, transposed(scale_ptr, N, O, N, BO, BN), PRECISION)
    if SILU:
        scale = silu(scale)
    message = silu(core) * tl.sigmoid(gate) * scale
    if ONTO_BONDS:
        message += edges
    set_rows(out_ptr, row, inside, message, O, O, BO)


@triton.jit
def message_back_kernel(
    edges_ptr, d_edges_ptr, d_nodes_ptr, target_ptr, e0_ptr, d_e0_ptr, d_first_ptr, capacity,
    angles_ptr, d_angles_ptr, said_ptr, share_ptr,
    table_ptr, table_stride, centre_ptr, neighbour_ptr, start_ptr, num_atoms,
    core0, gate0, stride0, core1, core1_bias, gate1, gate1_bias, core2, core2_bias, gate2, gate2_bias, scale_ptr,
    E: tl.constexpr, H1: tl.constexpr, H2: tl.constexpr, O: tl.constexpr, N: tl.constexpr, T: tl.constexpr,
    BE: tl.constexpr, BH1: tl.constexpr, BH2: tl.constexpr, BO: tl.constexpr, BN: tl.constexpr, BT: tl.constexpr,
    WITH_ANGLES: tl.constexpr, BACK_TO_ANGLES: tl.constexpr, ONTO_BONDS: tl.constexpr, SILU: tl.constexpr,
    TWO_HIDDEN: tl.constexpr, PRECISION: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """∂e, ∂e⁰ (both added to), ∂ẽ and the derivative by the sums of the first layer, ∂first, from ∂message."""
    count = tl.load(start_ptr + num_atoms)
    if tl.program_id(0) * B >= count:
        return
    row = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = row < count
    i = tl.load(centre_ptr + row, mask=inside, other=0).to(tl.int64)
    j = tl.load(neighbour_ptr + row, mask=inside, other=0).to(tl.int64)
    edges = rows_of(edges_ptr, row, inside, E, BE)
    if WITH_ANGLES:
        angles = columns_of(angles_ptr, capacity, row, inside, T, BT)
        said, share = angle_layers(angles, said_ptr, share_ptr, T, BT, E, BE, PRECISION)
        edges += silu(said) * tl.sigmoid(share)
    # Forward again, keeping the arguments of all activations.
    core = first_layer(edges, table_ptr, table_stride, i, j, inside, core0, stride0, 0, H1, BH1, E, BE, PRECISION)
    gate = first_layer(edges, table_ptr, table_stride, i, j, inside, gate0, stride0, 1, H1, BH1, E, BE, PRECISION)
    if TWO_HIDDEN:
        core_between = layer(silu(core), core1, core1_bias, H2, H1, BH2, BH1, PRECISION)
        gate_between = layer(silu(gate), gate1, gate1_bias, H2, H1, BH2, BH1, PRECISION)
        core_last = layer(silu(core_between), core2, core2_bias, O, H2, BO, BH2, PRECISION)
        gate_last = layer(silu(gate_between), gate2, gate2_bias, O, H2, BO, BH2, PRECISION)
    else:
        core_last = layer(silu(core), core1, core1_bias, O, H1, BO, BH1, PRECISION)
        gate_last = layer(silu(gate), gate1, gate1_bias, O, H1, BO, BH1, PRECISION)
    # Back through the product of the three factors.
    if ONTO_BONDS:
        d_message = rows_of(d_edges_ptr, row, inside, O, BO)
    else:
        target = tl.load(target_ptr + row, mask=inside, other=0).to(tl.int64)
        d_message = rows_of(d_nodes_ptr, target, inside, O, BO)
    open_ = tl.sigmoid(gate_last)
    e0 = columns_of(e0_ptr, capacity, row, inside, N, BN)
    scale = product(e0, transposed(scale_ptr, N, O, N, BO, BN), PRECISION)
    d_scale = silu(core_last) * open_ * d_message
    d_gate = d_scale * (1 - open_)
    if SILU:
        d_scale = silu_back(d_scale, scale)
        scale = silu(scale)
    d_gate = d_gate * scale
    d_core = silu_back(d_message * open_ * scale, core_last)
    basis = tl.arange(0, BN)[None, :]
    here = d_e0_ptr + basis.to(tl.int64) * capacity + row[:, None]
    mask = inside[:, None] & (basis < N)
    d_e0 = product(d_scale, weight(scale_ptr, N, O, N, BO, BN), PRECISION)
    tl.store(here, tl.load(here, mask=mask, other=0.0) + d_e0, mask=mask)
    # Back through the layers.
    if TWO_HIDDEN:
        d_core = silu_back(product(d_core, weight(core2, H2, O, H2, BO, BH2), PRECISION), core_between)
        d_gate = silu_back(product(d_gate, weight(gate2, H2, O, H2, BO, BH2), PRECISION), gate_between)
        d_core = silu_back(product(d_core, weight(core1, H1, H2, H1, BH2, BH1), PRECISION), core)
        d_gate = silu_back(product(d_gate, weight(gate1, H1, H2, H1, BH2, BH1), PRECISION), gate)
    else:
        d_core = silu_back(product(d_core, weight(core1, H1, O, H1, BO, BH1), PRECISION), core)
        d_gate = silu_back(product(d_gate, weight(gate1, H1, O, H1, BO, BH1), PRECISION), gate)
    set_rows(d_first_ptr, row, inside, d_core, H1, 2 * H1, BH1)
    set_rows(d_first_ptr + H1, row, inside, d_gate, H1, 2 * H1, BH1)
    d_edges = product(d_core, weight(core0, stride0, H1, E, BH1, BE), PRECISION)
    d_edges += product(d_gate, weight(gate0, stride0, H1, E, BH1, BE), PRECISION)
    d_edges += rows_of(d_edges_ptr, row, inside, E, BE)
    set_rows(d_edges_ptr, row, inside, d_edges, E, E, BE)
    if BACK_TO_ANGLES:
        if not WITH_ANGLES:
            tl.static_assert(False, "there are no angles to go back to")
        angles = columns_of(angles_ptr, capacity, row, inside, T, BT)
        said, share = angle_layers(angles, said_ptr, share_ptr, T, BT, E, BE, PRECISION)
        open_ = tl.sigmoid(share)
        d_share = d_edges * silu(said) * open_ * (1 - open_)
        d_said = silu_back(d_edges * open_, said)
        d_angles = product(d_said, weight(said_ptr, T, E, T, BE, BT), PRECISION)
        d_angles += product(d_share, weight(share_ptr, T, E, T, BE, BT), PRECISION)
        index = tl.arange(0, BT)[None, :]
        mask = inside[:, None] & (index < T)
        tl.store(d_angles_ptr + index.to(tl.int64) * capacity + row[:, None], d_angles, mask=mask)
