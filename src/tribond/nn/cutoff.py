"""The envelope that lets angles fade at the three-body cutoff."""

from torch import Tensor


def polynomial_cutoff(lengths: Tensor, cutoff: float) -> Tensor:
    """f_c(r) = 1 - 6 (r/r_3)⁵ + 15 (r/r_3)⁴ - 10 (r/r_3)³: 1 at zero, 0 with two derivatives at and beyond the cutoff.

    Args:
        lengths: (edges,) Å.
        cutoff: r_3, Å.
    """
    x = (lengths / cutoff).clamp(max=1.0)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2)
