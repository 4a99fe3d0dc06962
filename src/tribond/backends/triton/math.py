"""What all Triton kernels share: activations, matrix products of a chosen precision, and arrays as tiles.

A tile has powers of two as its shape, as Triton wants; where a width is none, the rest of the tile is zero.
"""

import triton
import triton.language as tl
from triton.language.target_info import is_cuda

SPLIT = tl.constexpr(2048.0)  # 2¹¹: what rounding to 11 bits leaves of a number is this much smaller


@triton.jit
def times(a, weights, OFFSET: tl.constexpr, R: tl.constexpr, C: tl.constexpr, PRECISION: tl.constexpr):
    """A Wᵀ for a tile A (bonds, C) and W (R, C) from `weights.Packed`, added up in float32.

    The matrix units multiply numbers of 11 bits. "tf32" rounds to them; "fp16x3" and "tf32x3" take each number as the
    sum of two of them, which is float32 but for the last bit or two. Numbers beyond 65504 are infinite in "fp16x3",
    which is the faster one.
    """
    # W lies in memory row by row, and the sum runs along rows: laid out otherwise, Triton 3.6 got float16 wrong.
    at = weights + OFFSET + tl.arange(0, R)[None, :] * C + tl.arange(0, C)[:, None]
    high = tl.load(at)
    if PRECISION == "tf32x3":
        # To nearest, so that what is left has either sign and the product of two such rests, left out, no bias.
        a_high = ((a.to(tl.int32, bitcast=True) + 4096) & -8192).to(tl.float32, bitcast=True)
        small = tl.dot(a_high, tl.load(at + R * C), input_precision="tf32")
        small = tl.dot(a - a_high, high, small, input_precision="tf32")
        return tl.dot(a_high, high, small, input_precision="tf32")
    elif PRECISION == "fp16x3":  # noqa: RET505 - branches of a constexpr
        a_high = a.to(tl.float16)
        a_low = ((a - a_high.to(tl.float32)) * SPLIT).to(tl.float16)
        small = tl.dot(a_high, tl.load(at + R * C))
        small = tl.dot(a_low, high, small)
        return tl.dot(a_high, high, small * (1.0 / SPLIT))
    else:
        tl.static_assert(PRECISION == "tf32")
        return tl.dot(a, high, input_precision="tf32")


@triton.jit
def sigmoid(x):
    """σ(x) = 1 / (1 + 2^(-x / ln 2))."""
    power = x * -1.4426950408889634
    if is_cuda():  # four instructions; tl.sigmoid takes a dozen, for numbers near the smallest there are
        return tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1; add.f32 $0, $0, 0f3F800000; rcp.approx.ftz.f32 $0, $0;",
            "=f,f", [power], dtype=tl.float32, is_pure=True, pack=1,
        )  # fmt: skip
    else:  # noqa: RET505 - branches of a constexpr
        return 1 / (1 + tl.exp2(power))


@triton.jit
def silu(x):
    """g(x) = x σ(x)."""
    return x * sigmoid(x)


@triton.jit
def silu_back(d, x):
    """Give d g'(x)."""
    s = sigmoid(x)
    return d * s * (1 + x * (1 - s))


@triton.jit
def columns_of(pointer, capacity, bond, inside, COUNT: tl.constexpr, B: tl.constexpr):
    """Numbers that lie function by function, (COUNT, capacity), of some bonds: a tile (bonds, B)."""
    index = tl.arange(0, B)[None, :]
    mask = inside[:, None] & (index < COUNT)
    return tl.load(pointer + index * capacity + bond[:, None], mask=mask, other=0.0)


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
