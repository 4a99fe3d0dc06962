"""The radial functions of `nn.basis` with their slopes, in float64, as parts of Triton kernels.

Few numbers a bond, so float64 costs little, and no digit is lost to cancellation near zero. Divisions cost much: all
are by numbers known before, or by the length, once.
"""

import math

import triton
import triton.language as tl

SERIES_BELOW = tl.constexpr(1.0)
SERIES_TERMS = tl.constexpr(6)  # the next is 1e-10 of the first


@triton.constexpr_function
def _term(l: int, k: int) -> float:
    """Of the series of j_l."""
    return 1 / (k * (2 * (l + k) + 1))


@triton.constexpr_function
def _first_term(l: int) -> float:
    """1 / (2l + 1)!!."""
    return 1 / math.prod(range(1, 2 * l + 2, 2))


@triton.constexpr_function
def _inverse(number: int) -> float:
    return 1 / number


@triton.constexpr_function
def _taylor(n: int) -> float:
    """1 / n! with the sign that it has in sine and cosine."""
    return (-1) ** (n // 2) / math.factorial(n)


@triton.jit
def sine_cosine(x):
    """Sine and cosine of x to 1e-11, for 0 <= x < 1e6: a Taylor series within 45 degrees of the nearest axis."""
    quarters = tl.floor(x * 0.6366197723675814 + 0.5)
    y = x - quarters * 1.5707963267948966
    y2 = y * y
    sine = y2 * 0.0 + _taylor(11)
    cosine = y2 * 0.0 + _taylor(12)
    for i in tl.static_range(5):
        sine = sine * y2 + _taylor(9 - 2 * i)
    for i in tl.static_range(6):
        cosine = cosine * y2 + _taylor(10 - 2 * i)
    sine *= y
    quarter = quarters.to(tl.int32)
    turned = (quarter & 1) == 1
    first = tl.where(turned, cosine, sine)
    second = tl.where(turned, sine, cosine)
    return tl.where((quarter & 2) == 2, -first, first), tl.where(((quarter + 1) & 2) == 2, -second, second)


@triton.jit
def envelope(r, cutoff):
    """f_c(r) and its slope."""
    inverse = 1.0 / (cutoff + r * 0.0)
    x = tl.minimum(r * inverse, 1.0)
    return 1 - x * x * x * (10 - 15 * x + 6 * x * x), -30 * x * x * (1 - x) * (1 - x) * inverse


@triton.jit
def smooth_parts(r, inverse_r, wave_ptr, TERMS: tl.constexpr, BK: tl.constexpr):
    """sinc(k r) and its slope for all wave numbers k.  (bonds, BK)."""
    index = tl.arange(0, BK)[None, :]
    wave = tl.load(wave_ptr + index, mask=index < TERMS, other=1.0)
    inverse_wave = tl.load(wave_ptr + TERMS + index, mask=index < TERMS, other=1.0)
    sine, cosine = sine_cosine(r[:, None] * wave)
    sinc = sine * (inverse_r[:, None] * inverse_wave)
    return sinc, (cosine - sinc) * inverse_r[:, None]


@triton.jit
def smooth_row(coefficient_ptr, m, TERMS: tl.constexpr, BK: tl.constexpr):
    """The coefficients of h_m, (10)-(15).  (1, BK)."""
    index = tl.arange(0, BK)[None, :]
    return tl.load(coefficient_ptr + m * TERMS + index, mask=index < TERMS, other=0.0)


@triton.jit
def _series(l: tl.constexpr, x):
    """j_l(x) near zero."""
    half = x * x * 0.5
    total = half * 0.0 + 1.0
    for i in tl.static_range(SERIES_TERMS):
        total = 1 - half * _term(l, SERIES_TERMS - i) * total
    for _ in tl.static_range(l):
        total *= x
    return total * _first_term(l)


@triton.jit
def spherical_bessel(l: tl.constexpr, x, inverse):
    """j_l(x) and its slope, (l j_(l-1) - (l+1) j_(l+1)) / (2l+1), given 1/x."""
    inverse = tl.minimum(inverse, 1.0 / SERIES_BELOW)
    sine, cosine = sine_cosine(tl.maximum(x, SERIES_BELOW))
    before = cosine * inverse
    now = sine * inverse
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
    return value, slope * _inverse(2 * l + 1)


@triton.jit
def _bessel(pointers, r, inverse_r, COLUMN: tl.constexpr, l: tl.constexpr, COUNT: tl.constexpr):
    """Normalised j_l(z_ln r / r_c) and its slope by r."""
    norm = tl.load(pointers + COLUMN)
    wave = tl.load(pointers + COUNT + COLUMN)
    value, slope = spherical_bessel(l, r * wave, inverse_r * tl.load(pointers + 2 * COUNT + COLUMN))
    return norm * value, norm * wave * slope


@triton.jit
def set_radial(
    out_ptr, capacity, bond, mask, r, inverse_r, factor, cutoff, constants,
    MAX_L: tl.constexpr, MAX_N: tl.constexpr, SMOOTH: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Write factor · R(r), (MAX_L · MAX_N, capacity); `constants` as `weights.radial_constants` makes them."""
    count: tl.constexpr = MAX_L * MAX_N
    factor = tl.where(r < cutoff, factor, 0.0)
    if SMOOTH:
        terms: tl.constexpr = count + 1
        sinc, _ = smooth_parts(r, inverse_r, constants, terms, BK)
        for m in tl.static_range(count):
            value = tl.sum(sinc * smooth_row(constants + 2 * terms, m, terms, BK), axis=1)
            tl.store(out_ptr + m * capacity + bond, (factor * value).to(tl.float32), mask=mask)
    else:
        for l in tl.static_range(MAX_L):
            for n in tl.static_range(MAX_N):
                value, _ = _bessel(constants, r, inverse_r, l * MAX_N + n, l, count)
                to = out_ptr + (l * MAX_N + n) * capacity + bond
                tl.store(to, (factor * value).to(tl.float32), mask=mask)


@triton.jit
def radial_back(
    d_out_ptr, capacity, bond, mask, r, inverse_r, cutoff, constants,
    MAX_L: tl.constexpr, MAX_N: tl.constexpr, SMOOTH: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Σ ∂out · R(r) and Σ ∂out · R'(r) over all functions."""
    count: tl.constexpr = MAX_L * MAX_N
    total = tl.zeros_like(r)
    slope = tl.zeros_like(r)
    if SMOOTH:
        terms: tl.constexpr = count + 1
        sinc, sinc_slope = smooth_parts(r, inverse_r, constants, terms, BK)
        weights = tl.zeros_like(sinc)
        for m in tl.static_range(count):
            d_out = tl.load(d_out_ptr + m * capacity + bond, mask=mask, other=0.0).to(tl.float64)
            weights += d_out[:, None] * smooth_row(constants + 2 * terms, m, terms, BK)
        total = tl.sum(weights * sinc, axis=1)
        slope = tl.sum(weights * sinc_slope, axis=1)
    else:
        for l in tl.static_range(MAX_L):
            for n in tl.static_range(MAX_N):
                d_out = tl.load(d_out_ptr + (l * MAX_N + n) * capacity + bond, mask=mask, other=0.0).to(tl.float64)
                value, change = _bessel(constants, r, inverse_r, l * MAX_N + n, l, count)
                total += d_out * value
                slope += d_out * change
    return tl.where(r < cutoff, total, 0.0), tl.where(r < cutoff, slope, 0.0)
