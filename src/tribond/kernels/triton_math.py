"""What all Triton kernels share: activations, matrix products of a chosen precision, and weights as tiles.

A tile has powers of two as its shape, as Triton wants; where a width is none, the rest of the tile is zero.
"""

import triton
import triton.language as tl

SPLIT = tl.constexpr(2048.0)  # 2¹¹: what half a float32 leaves is this much smaller


@triton.jit
def product(a, b, PRECISION: tl.constexpr):
    """a @ b of float32 tiles, added up in float32.

    "ieee" multiplies float32 numbers; the others use the matrix units, which multiply numbers of 11 bits: "tf32" rounds
    to them, "tf32x3" and "fp16x3" take each number as the sum of two of them, which is float32 but for the last bit
    or two. "fp16x3" is the faster one; numbers beyond 65504 become infinite in it.
    """
    if PRECISION == "fp16x3":
        a_high = a.to(tl.float16)
        b_high = b.to(tl.float16)
        a_low = ((a - a_high.to(tl.float32)) * SPLIT).to(tl.float16)
        b_low = ((b - b_high.to(tl.float32)) * SPLIT).to(tl.float16)
        small = tl.dot(a_low, b_high)
        small = tl.dot(a_high, b_low, small)
        return tl.dot(a_high, b_high, small * (1.0 / SPLIT))
    else:  # noqa: RET505 - both branches of a constexpr
        return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
def silu(x):
    """g(x) = x σ(x)."""
    return x * tl.sigmoid(x)


@triton.jit
def silu_back(d, x):
    """d g'(x)."""
    s = tl.sigmoid(x)
    return d * s * (1 + x * (1 - s))


@triton.jit
def weight(pointer, stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """W (ROWS, COLUMNS) as a tile (R, C), for d @ W."""
    row = tl.arange(0, R)[:, None]
    column = tl.arange(0, C)[None, :]
    return tl.load(pointer + row * stride + column, mask=(row < ROWS) & (column < COLUMNS), other=0.0)


@triton.jit
def transposed(pointer, stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Wᵀ of W (ROWS, COLUMNS) as a tile (C, R), for x @ Wᵀ."""
    row = tl.arange(0, R)[None, :]
    column = tl.arange(0, C)[:, None]
    return tl.load(pointer + row * stride + column, mask=(row < ROWS) & (column < COLUMNS), other=0.0)


@triton.jit
def vector(pointer, SIZE: tl.constexpr, B: tl.constexpr):
    """A bias (SIZE,) as a tile (1, B)."""
    index = tl.arange(0, B)
    return tl.load(pointer + index, mask=index < SIZE, other=0.0)[None, :]


@triton.jit
def columns_of(pointer, capacity, bond, inside, COUNT: tl.constexpr, B: tl.constexpr):
    """Numbers that lie function by function, (COUNT, capacity), of some bonds: a tile (bonds, B)."""
    index = tl.arange(0, B)[None, :]
    mask = inside[:, None] & (index < COUNT)
    return tl.load(pointer + index.to(tl.int64) * capacity + bond[:, None], mask=mask, other=0.0)
