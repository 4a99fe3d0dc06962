"""The radial functions of `nn.basis` with their slopes, in float64, as parts of Triton kernels.

Few numbers a bond, so float64 costs little, and no digit is lost to cancellation near zero or to a fast sine.
"""

import math

import triton
import triton.language as tl

SERIES_BELOW = tl.constexpr(1.0)
SERIES_TERMS = tl.constexpr(8)


@triton.constexpr_function
def _odd_factorial(l: int) -> int:
    """(2l + 1)!!."""
    return math.prod(range(1, 2 * l + 2, 2))


@triton.jit
def envelope(r, cutoff):
    """f_c(r) and its slope."""
    x = tl.minimum(r / cutoff, 1.0)
    return 1 - x * x * x * (10 - 15 * x + 6 * x * x), -30 * x * x * (1 - x) * (1 - x) / cutoff


@triton.jit
def smooth_parts(r, cutoff, wave_ptr, TERMS: tl.constexpr, BK: tl.constexpr):
    """sinc(k r) and its slope for all wave numbers k.  (bonds, BK)."""
    index = tl.arange(0, BK)[None, :]
    wave = tl.load(wave_ptr + index, mask=index < TERMS, other=1.0).to(tl.float64)
    length = tl.minimum(r, cutoff)[:, None]
    phase = length * wave
    sinc = tl.sin(phase) / phase
    return sinc, (tl.cos(phase) - sinc) / length


@triton.jit
def smooth_row(coefficient_ptr, m, TERMS: tl.constexpr, BK: tl.constexpr):
    """The coefficients of h_m, (10)-(15).  (1, BK)."""
    index = tl.arange(0, BK)[None, :]
    return tl.load(coefficient_ptr + m * TERMS + index, mask=index < TERMS, other=0.0).to(tl.float64)


@triton.jit
def _series(l: tl.constexpr, x):
    """j_l(x) near zero."""
    half = x * x / 2
    total = half * 0.0 + 1.0
    for i in tl.static_range(SERIES_TERMS):
        total = 1 - half / ((SERIES_TERMS - i) * (2 * (l + SERIES_TERMS - i) + 1)) * total
    for _ in tl.static_range(l):
        total *= x
    return total / _odd_factorial(l)


@triton.jit
def spherical_bessel(l: tl.constexpr, x):
    """j_l(x) and its slope, (l j_(l-1) - (l+1) j_(l+1)) / (2l+1)."""
    safe = tl.maximum(x, SERIES_BELOW)
    inverse = 1 / safe
    before = tl.cos(safe) * inverse
    now = tl.sin(safe) * inverse
    for order in tl.static_range(l):
        after = (2 * order + 1) * inverse * now - before
        before = now
        now = after
    after = (2 * l + 1) * inverse * now - before
    small = tl.minimum(x, SERIES_BELOW)
    is_small = x < SERIES_BELOW
    value = tl.where(is_small, _series(l, small), now)
    slope = -(l + 1) * tl.where(is_small, _series(l + 1, small), after)
    if l > 0:
        slope += l * tl.where(is_small, _series(l - 1, small), before)
    return value, slope / (2 * l + 1)


@triton.jit
def set_radial(
    out_ptr, capacity, bond, mask, r, factor, cutoff, first_ptr, second_ptr,
    MAX_L: tl.constexpr, MAX_N: tl.constexpr, SMOOTH: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Write factor · R(r), (MAX_L · MAX_N, capacity).

    `first` and `second` are the coefficients and wave numbers of smooth functions, or norms and wave numbers of j_l.
    """
    factor = tl.where(r < cutoff, factor, 0.0)
    if SMOOTH:
        terms: tl.constexpr = MAX_L * MAX_N + 1
        sinc, _ = smooth_parts(r, cutoff, second_ptr, terms, BK)
        for m in tl.static_range(MAX_L * MAX_N):
            value = tl.sum(sinc * smooth_row(first_ptr, m, terms, BK), axis=1)
            tl.store(out_ptr + m * capacity + bond, (factor * value).to(tl.float32), mask=mask)
    else:
        for l in tl.static_range(MAX_L):
            for n in tl.static_range(MAX_N):
                wave = tl.load(second_ptr + l * MAX_N + n).to(tl.float64)
                norm = tl.load(first_ptr + l * MAX_N + n).to(tl.float64)
                value, _ = spherical_bessel(l, r * wave)
                to = out_ptr + (l * MAX_N + n) * capacity + bond
                tl.store(to, (factor * norm * value).to(tl.float32), mask=mask)


@triton.jit
def radial_back(
    d_out_ptr, capacity, bond, mask, r, cutoff, first_ptr, second_ptr,
    MAX_L: tl.constexpr, MAX_N: tl.constexpr, SMOOTH: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Σ ∂out · R(r) and Σ ∂out · R'(r) over all functions."""
    total = tl.zeros_like(r)
    slope = tl.zeros_like(r)
    if SMOOTH:
        terms: tl.constexpr = MAX_L * MAX_N + 1
        weights = tl.zeros([r.shape[0], BK], dtype=tl.float64)
        for m in tl.static_range(MAX_L * MAX_N):
            d_out = tl.load(d_out_ptr + m * capacity + bond, mask=mask, other=0.0).to(tl.float64)
            weights += d_out[:, None] * smooth_row(first_ptr, m, terms, BK)
        sinc, sinc_slope = smooth_parts(r, cutoff, second_ptr, terms, BK)
        total = tl.sum(weights * sinc, axis=1)
        slope = tl.sum(weights * sinc_slope, axis=1)
    else:
        for l in tl.static_range(MAX_L):
            for n in tl.static_range(MAX_N):
                wave = tl.load(second_ptr + l * MAX_N + n).to(tl.float64)
                norm = tl.load(first_ptr + l * MAX_N + n).to(tl.float64)
                d_out = tl.load(d_out_ptr + (l * MAX_N + n) * capacity + bond, mask=mask, other=0.0).to(tl.float64)
                value, change = spherical_bessel(l, r * wave)
                total += d_out * norm * value
                slope += d_out * norm * wave * change
    return tl.where(r < cutoff, total, 0.0), tl.where(r < cutoff, slope, 0.0)
