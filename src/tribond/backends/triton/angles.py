"""The angular sum (2) read back from the densities of the atoms, and its derivatives, bond by bond, as Triton kernels.

Arrays lie function by function, (functions, capacity): neighbouring bonds are neighbours in memory. The bonds beyond
the three-body cutoff take part with f_c = 0, which leaves nothing of them.
"""

import math

import triton
import triton.language as tl


@triton.constexpr_function
def pole(l: int) -> float:
    """Y_l0(0)."""
    return math.sqrt((2 * l + 1) / (4 * math.pi))


@triton.jit
def _gate(gate_ptr, atom, inside, COLUMN: tl.constexpr, WIDTH: tl.constexpr):
    return tl.load(gate_ptr + atom * WIDTH + COLUMN, mask=inside, other=0.0)


@triton.jit(do_not_specialize=["num_atoms"])
def angles_kernel(
    enveloped_ptr, envelope_ptr, harmonics_ptr, capacity, gate_ptr, density_ptr, gated_by_ptr, centre_ptr, start_ptr,
    num_atoms, out_ptr,
    MAX_L: tl.constexpr, MAX_N: tl.constexpr, COLUMNS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """ẽ_ij, (2).  (max_l · max_n, capacity)."""
    count = tl.load(start_ptr + num_atoms)
    if tl.program_id(0) * B >= count:
        return
    capacity = capacity.to(tl.int64)
    bond = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = bond < count
    i = tl.load(centre_ptr + bond, mask=inside, other=0).to(tl.int64)
    gated_by = tl.load(gated_by_ptr + bond, mask=inside, other=0).to(tl.int64)
    envelope = tl.load(envelope_ptr + bond, mask=inside, other=0.0)
    for l in tl.static_range(MAX_L):
        for n in tl.static_range(MAX_N):
            weighted = tl.load(enveloped_ptr + (l * MAX_N + n) * capacity + bond, mask=inside, other=0.0)
            weighted *= _gate(gate_ptr, gated_by, inside, l * MAX_N + n, MAX_L * MAX_N)
            seen = tl.zeros([B], dtype=tl.float32)
            for m in tl.static_range(2 * l + 1):
                y = tl.load(harmonics_ptr + (l * l + m) * capacity + bond, mask=inside, other=0.0)
                seen += y * tl.load(density_ptr + (i * MAX_N + n) * COLUMNS + l * l + m, mask=inside, other=0.0)
            message = envelope * (seen / pole(l) - pole(l) * weighted)
            tl.store(out_ptr + (l * MAX_N + n) * capacity + bond, message, mask=inside)


@triton.jit(do_not_specialize=["num_atoms"])
def angles_back_kernel(
    enveloped_ptr, envelope_ptr, harmonics_ptr, capacity, gate_ptr, density_ptr, back_ptr, gated_by_ptr, centre_ptr,
    start_ptr, num_atoms, d_out_ptr, d_enveloped_ptr, d_envelope_ptr, d_harmonics_ptr, d_gate_ptr,
    MAX_L: tl.constexpr, MAX_N: tl.constexpr, COLUMNS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """∂(f_c R), ∂f_c, ∂Y, added to, and ∂s of every bond, (capacity, max_l · max_n), from ∂ẽ.

    `back` is the density of ∂ẽ: what Σ_k of (2) is in the forward pass, it is in the backward pass.
    """
    count = tl.load(start_ptr + num_atoms)
    if tl.program_id(0) * B >= count:
        return
    capacity = capacity.to(tl.int64)
    bond = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = bond < count
    i = tl.load(centre_ptr + bond, mask=inside, other=0).to(tl.int64)
    gated_by = tl.load(gated_by_ptr + bond, mask=inside, other=0).to(tl.int64)
    envelope = tl.load(envelope_ptr + bond, mask=inside, other=0.0)
    d_envelope = tl.load(d_envelope_ptr + bond, mask=inside, other=0.0)
    for l in tl.static_range(MAX_L):
        for n in tl.static_range(MAX_N):
            gate = _gate(gate_ptr, gated_by, inside, l * MAX_N + n, MAX_L * MAX_N)
            enveloped = tl.load(enveloped_ptr + (l * MAX_N + n) * capacity + bond, mask=inside, other=0.0)
            d_out = tl.load(d_out_ptr + (l * MAX_N + n) * capacity + bond, mask=inside, other=0.0)
            seen = tl.zeros([B], dtype=tl.float32)
            d_weighted = tl.zeros([B], dtype=tl.float32)
            for m in tl.static_range(2 * l + 1):
                y = tl.load(harmonics_ptr + (l * l + m) * capacity + bond, mask=inside, other=0.0)
                here = (i * MAX_N + n) * COLUMNS + l * l + m
                seen += y * tl.load(density_ptr + here, mask=inside, other=0.0)
                d_weighted += y * tl.load(back_ptr + here, mask=inside, other=0.0)
            d_envelope += d_out * (seen / pole(l) - pole(l) * enveloped * gate)
            d_weighted -= pole(l) * envelope * d_out
            at = d_enveloped_ptr + (l * MAX_N + n) * capacity + bond
            tl.store(at, tl.load(at, mask=inside, other=0.0) + d_weighted * gate, mask=inside)
            tl.store(d_gate_ptr + bond * (MAX_L * MAX_N) + l * MAX_N + n, d_weighted * enveloped, mask=inside)
    tl.store(d_envelope_ptr + bond, d_envelope, mask=inside)
    for l in tl.static_range(MAX_L):
        for m in tl.static_range(2 * l + 1):
            at = d_harmonics_ptr + (l * l + m) * capacity + bond
            total = tl.load(at, mask=inside, other=0.0)
            for n in tl.static_range(MAX_N):
                weighted = tl.load(enveloped_ptr + (l * MAX_N + n) * capacity + bond, mask=inside, other=0.0)
                weighted *= _gate(gate_ptr, gated_by, inside, l * MAX_N + n, MAX_L * MAX_N)
                d_out = tl.load(d_out_ptr + (l * MAX_N + n) * capacity + bond, mask=inside, other=0.0)
                here = (i * MAX_N + n) * COLUMNS + l * l + m
                total += tl.load(density_ptr + here, mask=inside, other=0.0) * envelope * d_out / pole(l)
                total += tl.load(back_ptr + here, mask=inside, other=0.0) * weighted
            tl.store(at, total, mask=inside)
