"""Sums over the bonds of an atom as Triton kernels: every program adds up for one atom, always in the same order.

Bonds are sorted by their centre, so the bonds that start at an atom are neighbours in memory. Those that end there are
found through a permutation, `order`. No two programs add to the same number: results are the same bit by bit from run
to run.
"""

import triton
import triton.language as tl


@triton.jit
def sum_kernel(
    values_ptr, order_ptr, start_ptr, before_ptr, out_ptr, out_stride,
    WIDTH: tl.constexpr, B: tl.constexpr, ORDERED: tl.constexpr, ONTO: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Rows (bonds, WIDTH) of every atom, added up, and added to rows (atoms, WIDTH) from before if ONTO."""
    atom = tl.program_id(0).to(tl.int64)
    begin = tl.load(start_ptr + atom)
    end = tl.load(start_ptr + atom + 1)
    column = tl.arange(0, B)
    total = tl.zeros([ROWS, B], dtype=values_ptr.dtype.element_ty)
    for first in range(begin, end, ROWS):
        row = first + tl.arange(0, ROWS)
        inside = row < end
        if ORDERED:
            row = tl.load(order_ptr + row, mask=inside, other=0)
        mask = inside[:, None] & (column < WIDTH)[None, :]
        total += tl.load(values_ptr + row.to(tl.int64)[:, None] * WIDTH + column[None, :], mask=mask, other=0.0)
    result = tl.sum(total, axis=0)
    if ONTO:
        result += tl.load(before_ptr + atom * WIDTH + column, mask=column < WIDTH, other=0.0)
    tl.store(out_ptr + atom * out_stride + column, result, mask=column < WIDTH)


@triton.jit
def density_kernel(
    values_ptr, harmonics_ptr, capacity, gate_ptr, envelope_ptr, neighbour_ptr, start_ptr, out_ptr,
    MAX_L: tl.constexpr, MAX_N: tl.constexpr, COLUMNS: tl.constexpr, GATED_BY: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """A_i[n,lm] = Σ_k Y_lm(r̂_ik) x_ik[l,n].  (atoms, max_n, COLUMNS), one program for every atom and n.

    There x is f_c R ⊙ s, with s the gate of the atom at the "end" or in the "centre". In the backward pass it is f_c ∂ẽ / Y_l0(0),
    where GATED_BY is "none".
    """
    capacity = capacity.to(tl.int64)
    atom = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1)
    begin = tl.load(start_ptr + atom)
    end = tl.load(start_ptr + atom + 1)
    column = tl.arange(0, COLUMNS)[None, :]
    exists = column < MAX_L * MAX_L
    l = (column >= 1).to(tl.int32) + (column >= 4).to(tl.int32) + (column >= 9).to(tl.int32)
    ln = l * MAX_N + n
    total = tl.zeros([ROWS, COLUMNS], dtype=tl.float32)
    for first in range(begin, end, ROWS):
        bond = (first + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        mask = (bond < end) & exists
        x = tl.load(values_ptr + ln * capacity + bond, mask=mask, other=0.0)
        y = tl.load(harmonics_ptr + column * capacity + bond, mask=mask, other=0.0)
        if GATED_BY == "end":
            j = tl.load(neighbour_ptr + bond, mask=bond < end, other=0).to(tl.int64)
            x *= tl.load(gate_ptr + j * (MAX_L * MAX_N) + ln, mask=mask, other=0.0)
        elif GATED_BY == "none":
            x *= tl.load(envelope_ptr + bond, mask=bond < end, other=0.0)
        total += y * x
    result = tl.sum(total, axis=0)[None, :]
    if GATED_BY == "centre":
        result *= tl.load(gate_ptr + atom * (MAX_L * MAX_N) + ln, mask=exists, other=0.0)
    elif GATED_BY == "none":
        result /= 0.28209479177387814 * tl.sqrt(2.0 * l.to(tl.float32) + 1.0)
    tl.store(out_ptr + (atom * MAX_N + n) * COLUMNS + column, result)
