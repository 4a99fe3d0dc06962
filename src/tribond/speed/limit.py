"""The least time that a machine needs for an M3GNet: its matrix products, at the rate of its own matrix multiplication.

Once the first layers are split into W₁v_i + W₂v_j + W₃e_ij and the parts of the atoms computed once an atom, what is
left for every bond are the products of the gated MLPs of (4) and (5), and for the derivative by their inputs the same
again. Bases, gates, sums, the angles (a fortieth of it) and the work for every atom are left out: on a CPU
no implementation reaches this limit. On a GPU, kernels that make float32 of smaller numbers can.
"""

import time
from collections.abc import Sequence
from itertools import pairwise

import torch

from tribond.nn.config import M3GNetConfig

# Shapes (rows, inner) @ (inner, columns): those of the gated MLPs in chunks of different size, and one that every
# library does well. The fastest counts.
SHAPES = ((1000, 64, 128), (4000, 64, 128), (16000, 64, 128), (1024, 1024, 1024))
MOST_AT_ONCE = 1000  # products between two looks at the clock


def flops_per_bond(config: M3GNetConfig) -> int:
    """Floating-point operations of one bond in all blocks, for the energy and its derivative by the bonds.

    A multiplication and the addition that goes with it count as two.
    """
    multiplications = 0
    for out in (config.edge_features, config.node_features):  # (4) and (5)
        widths = (config.edge_features, *config.update_hidden, out)
        multiplications += 2 * sum(inner * outer for inner, outer in pairwise(widths))  # core and gate
    forward_and_back = 2
    return 2 * forward_and_back * config.num_blocks * multiplications


def multiply_rate(
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    shapes: Sequence[tuple[int, int, int]] = SHAPES,
    seconds: float = 0.1,
) -> float:
    """Floating-point operations a second that matrix multiplication reaches here.

    Args:
        device: where to measure, with as many threads as PyTorch has.
        dtype: precision.
        shapes: rows, inner and columns of the products; the fastest of all counts.
        seconds: how long to try each shape; the best of all its products counts, so that what else the machine does
            matters little.
    """
    return max(_rate(torch.device(device), dtype, shape, seconds) for shape in shapes)


def _rate(device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int], seconds: float) -> float:
    rows, inner, columns = shape
    left = torch.rand(rows, inner, device=device, dtype=dtype)
    right = torch.rand(inner, columns, device=device, dtype=dtype)
    product = torch.empty(rows, columns, device=device, dtype=dtype)
    operations = 2 * rows * inner * columns
    many = min(max(1, round(2e8 / operations)), MOST_AT_ONCE)  # about a millisecond, far above the clock's grain
    best = 0.0
    end = time.perf_counter() + seconds
    _multiply(left, right, product, many)  # the first one makes threads and buffers
    while True:
        start = time.perf_counter()
        _multiply(left, right, product, many)
        now = time.perf_counter()
        best = max(best, many * operations / (now - start))
        if now > end:
            return best


def _multiply(left: torch.Tensor, right: torch.Tensor, product: torch.Tensor, times: int) -> None:
    for _ in range(times):
        torch.mm(left, right, out=product)
    if product.is_cuda:
        torch.cuda.synchronize(product.device)
