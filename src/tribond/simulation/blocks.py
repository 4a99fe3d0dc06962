"""Statistical errors of means over correlated numbers."""

import numpy as np
from numpy.typing import NDArray

FEWEST_BLOCKS = 8


def standard_error(values: NDArray[np.float64]) -> float:
    """Standard error of the mean of a time series, by blocks that are doubled until they are independent.

    Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989): the error estimated from means of blocks grows with their
    length until they do not know of each other; the largest estimate with enough blocks is taken.

    Args:
        values: (times,), equally spaced.

    Returns:
        In the unit of the values; NaN of fewer than two values.
    """
    series = np.asarray(values, dtype=np.float64)
    series = series[np.isfinite(series)]
    if len(series) < 2:
        return float("nan")
    estimates: list[float] = []
    while len(series) >= 2:
        if estimates and len(series) < FEWEST_BLOCKS:
            break
        estimates.append(float(np.sqrt(series.var(ddof=1) / len(series))))
        half = len(series) // 2
        series = 0.5 * (series[: 2 * half : 2] + series[1 : 2 * half : 2])
    return max(estimates)
