"""Everything that depends on the bond vectors alone, and the backward pass to dE/dr, as one Triton kernel each."""

import math

import triton
import triton.language as tl

from tribond.backends.triton.math import sigmoid
from tribond.backends.triton.radial import envelope, radial_back, set_radial


@triton.constexpr_function
def norm(numerator: float, denominator: float) -> float:
    """√(numerator / (denominator π)), the factors of the spherical harmonics."""
    return math.sqrt(numerator / (denominator * math.pi))


@triton.jit
def _geometry(vectors_ptr, bond, mask):
    """Length, its inverse and unit vector, float64; a bond that is none is (1, 0, 0)."""
    x = tl.load(vectors_ptr + 3 * bond, mask=mask, other=1.0).to(tl.float64)
    y = tl.load(vectors_ptr + 3 * bond + 1, mask=mask, other=0.0).to(tl.float64)
    z = tl.load(vectors_ptr + 3 * bond + 2, mask=mask, other=0.0).to(tl.float64)
    r = tl.sqrt(x * x + y * y + z * z)
    inverse = 1.0 / r
    return r, inverse, x * inverse, y * inverse, z * inverse


@triton.jit
def _set(out_ptr, capacity, bond, mask, COLUMN: tl.constexpr, value):
    tl.store(out_ptr + COLUMN * capacity + bond, value.to(tl.float32), mask=mask)


@triton.jit
def _set_harmonics(out_ptr, capacity, bond, mask, x, y, z, MAX_L: tl.constexpr):
    """Y_lm, the polynomials of `nn.basis.real_spherical_harmonics`.  (max_l², capacity)."""
    _set(out_ptr, capacity, bond, mask, 0, tl.zeros_like(x) + norm(1, 4))
    if MAX_L > 1:
        _set(out_ptr, capacity, bond, mask, 1, norm(3, 4) * y)
        _set(out_ptr, capacity, bond, mask, 2, norm(3, 4) * z)
        _set(out_ptr, capacity, bond, mask, 3, norm(3, 4) * x)
    if MAX_L > 2:
        _set(out_ptr, capacity, bond, mask, 4, norm(15, 4) * x * y)
        _set(out_ptr, capacity, bond, mask, 5, norm(15, 4) * y * z)
        _set(out_ptr, capacity, bond, mask, 6, norm(5, 16) * (3 * z * z - 1))
        _set(out_ptr, capacity, bond, mask, 7, norm(15, 4) * x * z)
        _set(out_ptr, capacity, bond, mask, 8, norm(15, 16) * (x * x - y * y))
    if MAX_L > 3:
        _set(out_ptr, capacity, bond, mask, 9, norm(35, 32) * y * (3 * x * x - y * y))
        _set(out_ptr, capacity, bond, mask, 10, norm(105, 4) * x * y * z)
        _set(out_ptr, capacity, bond, mask, 11, norm(21, 32) * y * (5 * z * z - 1))
        _set(out_ptr, capacity, bond, mask, 12, norm(7, 16) * z * (5 * z * z - 3))
        _set(out_ptr, capacity, bond, mask, 13, norm(21, 32) * x * (5 * z * z - 1))
        _set(out_ptr, capacity, bond, mask, 14, norm(105, 16) * z * (x * x - y * y))
        _set(out_ptr, capacity, bond, mask, 15, norm(35, 32) * x * (x * x - 3 * y * y))


@triton.jit
def _get(d_ptr, capacity, bond, mask, COLUMN: tl.constexpr):
    return tl.load(d_ptr + COLUMN * capacity + bond, mask=mask, other=0.0).to(tl.float64)


@triton.jit
def _harmonics_back(d_ptr, capacity, bond, mask, x, y, z, MAX_L: tl.constexpr):
    """Σ ∂Y_lm ∇Y_lm of the polynomials, as functions of three independent numbers."""
    a = tl.zeros_like(x)
    b = tl.zeros_like(x)
    c = tl.zeros_like(x)
    if MAX_L > 1:
        b += norm(3, 4) * _get(d_ptr, capacity, bond, mask, 1)
        c += norm(3, 4) * _get(d_ptr, capacity, bond, mask, 2)
        a += norm(3, 4) * _get(d_ptr, capacity, bond, mask, 3)
    if MAX_L > 2:
        d = norm(15, 4) * _get(d_ptr, capacity, bond, mask, 4)
        a += d * y
        b += d * x
        d = norm(15, 4) * _get(d_ptr, capacity, bond, mask, 5)
        b += d * z
        c += d * y
        c += norm(5, 16) * _get(d_ptr, capacity, bond, mask, 6) * 6 * z
        d = norm(15, 4) * _get(d_ptr, capacity, bond, mask, 7)
        a += d * z
        c += d * x
        d = norm(15, 16) * _get(d_ptr, capacity, bond, mask, 8)
        a += d * 2 * x
        b -= d * 2 * y
    if MAX_L > 3:
        d = norm(35, 32) * _get(d_ptr, capacity, bond, mask, 9)
        a += d * 6 * x * y
        b += d * 3 * (x * x - y * y)
        d = norm(105, 4) * _get(d_ptr, capacity, bond, mask, 10)
        a += d * y * z
        b += d * x * z
        c += d * x * y
        d = norm(21, 32) * _get(d_ptr, capacity, bond, mask, 11)
        b += d * (5 * z * z - 1)
        c += d * 10 * y * z
        c += norm(7, 16) * _get(d_ptr, capacity, bond, mask, 12) * (15 * z * z - 3)
        d = norm(21, 32) * _get(d_ptr, capacity, bond, mask, 13)
        a += d * (5 * z * z - 1)
        c += d * 10 * x * z
        d = norm(105, 16) * _get(d_ptr, capacity, bond, mask, 14)
        a += d * 2 * x * z
        b -= d * 2 * y * z
        c += d * (x * x - y * y)
        d = norm(35, 32) * _get(d_ptr, capacity, bond, mask, 15)
        a += d * 3 * (x * x - y * y)
        b -= d * 6 * x * y
    return a, b, c


@triton.jit(do_not_specialize=["num_atoms"])
def bases_kernel(
    vectors_ptr, start_ptr, num_atoms, capacity, cutoff, threebody_cutoff, edge_constants, angle_constants,
    e0_ptr, enveloped_ptr, envelope_ptr, harmonics_ptr,
    EDGE_L: tl.constexpr, MAX_L: tl.constexpr, MAX_N: tl.constexpr, EDGE_SMOOTH: tl.constexpr,
    ANGLE_SMOOTH: tl.constexpr, WITH_ONE: tl.constexpr, BK: tl.constexpr, BK_ANGLE: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """e⁰ (functions, capacity), f_c R (max_l · max_n, capacity), f_c (capacity,) and Y (max_l², capacity).

    WITH_ONE appends a function to e⁰ that is one inside the cutoff: a bias of W⁰ e⁰ belongs to it.
    """
    count = tl.load(start_ptr + num_atoms)
    if tl.program_id(0) * B >= count:
        return
    capacity = capacity.to(tl.int64)
    bond = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    mask = bond < count
    r, inverse_r, x, y, z = _geometry(vectors_ptr, bond, mask)
    f, _ = envelope(r, threebody_cutoff)
    one = tl.zeros_like(r) + 1.0
    set_radial(e0_ptr, capacity, bond, mask, r, inverse_r, one, cutoff, edge_constants, EDGE_L, MAX_N, EDGE_SMOOTH, BK)
    if WITH_ONE:
        _set(e0_ptr, capacity, bond, mask, EDGE_L * MAX_N, tl.where(r < cutoff, 1.0, 0.0))
    set_radial(
        enveloped_ptr, capacity, bond, mask, r, inverse_r, f, cutoff, angle_constants,
        MAX_L, MAX_N, ANGLE_SMOOTH, BK_ANGLE,
    )  # fmt: skip
    tl.store(envelope_ptr + bond, f.to(tl.float32), mask=mask)
    _set_harmonics(harmonics_ptr, capacity, bond, mask, x, y, z, MAX_L)


@triton.jit(do_not_specialize=["num_atoms"])
def bases_back_kernel(
    vectors_ptr, start_ptr, num_atoms, capacity, cutoff, threebody_cutoff, edge_constants, angle_constants,
    d_e0_ptr, d_enveloped_ptr, d_envelope_ptr, d_harmonics_ptr, out_ptr,
    EDGE_L: tl.constexpr, MAX_L: tl.constexpr, MAX_N: tl.constexpr, EDGE_SMOOTH: tl.constexpr,
    ANGLE_SMOOTH: tl.constexpr, BK: tl.constexpr, BK_ANGLE: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """dE/dr_ij from the derivatives by all bases.  (capacity, 3) float64."""
    count = tl.load(start_ptr + num_atoms)
    if tl.program_id(0) * B >= count:
        return
    capacity = capacity.to(tl.int64)
    bond = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    mask = bond < count
    r, inverse_r, x, y, z = _geometry(vectors_ptr, bond, mask)
    f, f_slope = envelope(r, threebody_cutoff)
    _, slope = radial_back(
        d_e0_ptr, capacity, bond, mask, r, inverse_r, cutoff, edge_constants, EDGE_L, MAX_N, EDGE_SMOOTH, BK
    )
    total, change = radial_back(
        d_enveloped_ptr, capacity, bond, mask, r, inverse_r, cutoff, angle_constants,
        MAX_L, MAX_N, ANGLE_SMOOTH, BK_ANGLE,
    )  # fmt: skip
    slope += f * change + f_slope * (total + _get(d_envelope_ptr, capacity, bond, mask, 0))
    a, b, c = _harmonics_back(d_harmonics_ptr, capacity, bond, mask, x, y, z, MAX_L)
    # A unit vector only turns: what points along the bond drops out.
    along = slope - (a * x + b * y + c * z) * inverse_r
    tl.store(out_ptr + 3 * bond, along * x + a * inverse_r, mask=mask)
    tl.store(out_ptr + 3 * bond + 1, along * y + b * inverse_r, mask=mask)
    tl.store(out_ptr + 3 * bond + 2, along * z + c * inverse_r, mask=mask)


@triton.jit(do_not_specialize=["num_atoms"])
def embed_kernel(
    e0_ptr, capacity, weight_ptr, bias_ptr, start_ptr, num_atoms, edges_ptr, d_edges_ptr, d_e0_ptr,
    N: tl.constexpr, E: tl.constexpr, BE: tl.constexpr, WITH_BIAS: tl.constexpr, BACK: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """e_ij = g(L e⁰_ij); or, going BACK, ∂e⁰ += Lᵀ g' ∂e.  A few functions: sums are as quick as a matrix product."""
    count = tl.load(start_ptr + num_atoms)
    if tl.program_id(0) * B >= count:
        return
    capacity = capacity.to(tl.int64)
    bond = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = bond < count
    column = tl.arange(0, BE)[None, :]
    real = column < E
    first = tl.zeros([B, BE], dtype=tl.float32)
    if WITH_BIAS:
        first += tl.load(bias_ptr + column, mask=real, other=0.0)
    for k in tl.static_range(N):
        e0 = tl.load(e0_ptr + k * capacity + bond, mask=inside, other=0.0)
        first += e0[:, None] * tl.load(weight_ptr + column * N + k, mask=real, other=0.0)
    s = sigmoid(first)
    at = bond[:, None] * E + column
    mask = inside[:, None] & real
    if BACK:
        d_first = tl.load(d_edges_ptr + at, mask=mask, other=0.0) * s * (1 + first * (1 - s))
        for k in tl.static_range(N):
            share = tl.sum(d_first * tl.load(weight_ptr + column * N + k, mask=real, other=0.0), axis=1)
            to = d_e0_ptr + k * capacity + bond
            tl.store(to, tl.load(to, mask=inside, other=0.0) + share, mask=inside)
    else:
        tl.store(edges_ptr + at, first * s, mask=mask)
