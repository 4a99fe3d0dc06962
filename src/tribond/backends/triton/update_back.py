"""The derivatives of (4) and (5), and of the layers of (3), as Triton kernels: update.py the other way.

What is needed of the forward pass is computed again; nothing of a bond was kept but e_ij.
"""

import triton
import triton.language as tl

from tribond.backends.triton.math import columns_of, rows_of, set_rows, sigmoid, silu, silu_back, times
from tribond.backends.triton.update import after_angles, first_layer, layer


@triton.jit(do_not_specialize=["num_atoms"])
def message_back_kernel(
    edges_ptr, d_edges_ptr, d_nodes_ptr, target_ptr, e0_ptr, d_e0_ptr, d_first_ptr, capacity, angles_ptr,
    angle_weights, table_ptr, table_stride, centre_ptr, neighbour_ptr, start_ptr, num_atoms, weights, biases,
    E: tl.constexpr, H1: tl.constexpr, O: tl.constexpr, N: tl.constexpr, T: tl.constexpr,
    BE: tl.constexpr, BH1: tl.constexpr, BH2: tl.constexpr, BO: tl.constexpr, BN: tl.constexpr, BT: tl.constexpr,
    CORE0: tl.constexpr, GATE0: tl.constexpr, CORE1: tl.constexpr, GATE1: tl.constexpr, CORE2: tl.constexpr,
    GATE2: tl.constexpr, SCALE: tl.constexpr, ANGLE_CORE: tl.constexpr, ANGLE_GATE: tl.constexpr,
    CORE0_BACK: tl.constexpr, GATE0_BACK: tl.constexpr, CORE1_BACK: tl.constexpr, GATE1_BACK: tl.constexpr,
    CORE2_BACK: tl.constexpr, GATE2_BACK: tl.constexpr, SCALE_BACK: tl.constexpr,
    WITH_ANGLES: tl.constexpr, ONTO_BONDS: tl.constexpr, SILU: tl.constexpr, TWO_HIDDEN: tl.constexpr,
    PRECISION: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """∂e and ∂e⁰ (both added to), and the derivative by the sums of the first layer, ∂first, from ∂message."""
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
    # Forward again, keeping the arguments of all activations.
    core = first_layer(edges, table_ptr, table_stride, i, j, inside, weights, CORE0, 0, H1, BH1, BE, PRECISION)
    gate = first_layer(edges, table_ptr, table_stride, i, j, inside, weights, GATE0, 1, H1, BH1, BE, PRECISION)
    core_last = layer(silu(core), weights, biases, CORE1, 0, BH2, BH1, PRECISION)
    gate_last = layer(silu(gate), weights, biases, GATE1, BH2, BH2, BH1, PRECISION)
    core_between = core_last
    gate_between = gate_last
    if TWO_HIDDEN:
        core_last = layer(silu(core_last), weights, biases, CORE2, 2 * BH2, BO, BH2, PRECISION)
        gate_last = layer(silu(gate_last), weights, biases, GATE2, 2 * BH2 + BO, BO, BH2, PRECISION)
    # Back through the product of the three factors.
    if ONTO_BONDS:
        d_message = rows_of(d_edges_ptr, row, inside, O, BO)
    else:
        target = tl.load(target_ptr + row, mask=inside, other=0).to(tl.int64)
        d_message = rows_of(d_nodes_ptr, target, inside, O, BO)
    open_ = sigmoid(gate_last)
    e0 = columns_of(e0_ptr, capacity, row, inside, N, BN)
    scale = times(e0, weights, SCALE, BO, BN, PRECISION)
    d_scale = silu(core_last) * open_ * d_message
    d_gate = d_scale * (1 - open_)
    if SILU:
        d_scale = silu_back(d_scale, scale)
        scale = silu(scale)
    d_gate = d_gate * scale
    d_core = silu_back(d_message * open_ * scale, core_last)
    basis = tl.arange(0, BN)[None, :]
    here = d_e0_ptr + basis * capacity + row[:, None]
    mask = inside[:, None] & (basis < N)
    d_e0 = times(d_scale, weights, SCALE_BACK, BN, BO, PRECISION)
    tl.store(here, tl.load(here, mask=mask, other=0.0) + d_e0, mask=mask)
    # Back through the layers.
    if TWO_HIDDEN:
        d_core = times(d_core, weights, CORE2_BACK, BH2, BO, PRECISION)
        d_core = silu_back(d_core, core_between)
        d_gate = times(d_gate, weights, GATE2_BACK, BH2, BO, PRECISION)
        d_gate = silu_back(d_gate, gate_between)
    d_core = silu_back(times(d_core, weights, CORE1_BACK, BH1, BH2, PRECISION), core)
    set_rows(d_first_ptr, row, inside, d_core, H1, 2 * H1, BH1)
    d_edges = times(d_core, weights, CORE0_BACK, BE, BH1, PRECISION)
    d_gate = silu_back(times(d_gate, weights, GATE1_BACK, BH1, BH2, PRECISION), gate)
    set_rows(d_first_ptr + H1, row, inside, d_gate, H1, 2 * H1, BH1)
    d_edges += times(d_gate, weights, GATE0_BACK, BE, BH1, PRECISION)
    d_edges += rows_of(d_edges_ptr, row, inside, E, BE)
    tl.debug_barrier()  # nobody writes ∂e before all have read it
    set_rows(d_edges_ptr, row, inside, d_edges, E, E, BE)


@triton.jit(do_not_specialize=["num_atoms"])
def angle_layers_back_kernel(
    d_edges_ptr, angles_ptr, d_angles_ptr, capacity, start_ptr, num_atoms, weights,
    E: tl.constexpr, T: tl.constexpr, BE: tl.constexpr, BT: tl.constexpr, ANGLE_CORE: tl.constexpr, ANGLE_GATE: tl.constexpr,
    ANGLE_CORE_BACK: tl.constexpr, ANGLE_GATE_BACK: tl.constexpr, PRECISION: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """∂ẽ_ij from ∂e_ij, back through (3).  (max_l · max_n, capacity)."""
    count = tl.load(start_ptr + num_atoms)
    if tl.program_id(0) * B >= count:
        return
    capacity = capacity.to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = row < count
    angles = columns_of(angles_ptr, capacity, row, inside, T, BT)
    core = times(angles, weights, ANGLE_CORE, BE, BT, PRECISION)
    open_ = sigmoid(times(angles, weights, ANGLE_GATE, BE, BT, PRECISION))
    d_edges = rows_of(d_edges_ptr, row, inside, E, BE)
    d_gate = d_edges * silu(core) * open_ * (1 - open_)
    d_core = silu_back(d_edges * open_, core)
    d_angles = times(d_core, weights, ANGLE_CORE_BACK, BT, BE, PRECISION)
    d_angles += times(d_gate, weights, ANGLE_GATE_BACK, BT, BE, PRECISION)
    index = tl.arange(0, BT)[None, :]
    tl.store(d_angles_ptr + index * capacity + row[:, None], d_angles, mask=inside[:, None] & (index < T))
