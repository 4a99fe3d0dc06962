"""Statistical errors of means over correlated numbers."""

import numpy as np
from numpy.typing import NDArray

FEWEST_BLOCKS = 8


WINDOW = 1.5  # S of Wolff's automatic window: the memory decays like exp(-t / Sτ) at most


def standard_error(values: NDArray[np.float64]) -> float:
    """Standard error of the mean of a time series: the larger one of two estimates.

    Blocks are right for long series, whatever their memory; of few memories' length they tell too little, as neighbouring
    blocks still know of each other. The sum of correlations, with its correction for short series, is nearer there.

    Args:
        values: (times,), equally spaced.

    Returns:
        In the unit of the values; NaN of fewer than two values.
    """
    series = np.asarray(values, dtype=np.float64)
    series = series[np.isfinite(series)]
    if len(series) < 2:
        return float("nan")
    return max(_of_blocks(series), _of_correlations(series))


def _of_blocks(series: NDArray[np.float64]) -> float:
    """Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989).

    The error estimated from means of blocks grows with their length until they do not know of each other; the largest
    estimate with enough blocks is taken.
    """
    estimates: list[float] = []
    while len(series) >= 2:
        if estimates and len(series) < FEWEST_BLOCKS:
            break
        estimates.append(float(np.sqrt(series.var(ddof=1) / len(series))))
        half = len(series) // 2
        series = 0.5 * (series[: 2 * half : 2] + series[1 : 2 * half : 2])
    return max(estimates)


def _of_correlations(series: NDArray[np.float64]) -> float:
    """Wolff, Comput. Phys. Commun. 156, 143 (2004): σ² = C / n, with C the sum of the autocorrelation in a window.

    The window is where the noise of the sum (√(window / n)) begins to outgrow what is left out (exp(-window / Sτ)).
    """
    size = len(series)
    transform = np.fft.rfft(series - series.mean(), 2 * size)
    correlation = np.fft.irfft(np.square(np.abs(transform)), 2 * size)[:size] / (size - np.arange(size))
    if not correlation[0] > 0:
        return 0.0
    lags = np.arange(1, size)
    memory = 0.5 + np.cumsum(correlation[1:]) / correlation[0]
    with np.errstate(all="ignore"):
        decay = np.where(memory > 0.5, WINDOW / np.log((2 * memory + 1) / (2 * memory - 1)), 1e-9)
        balance = np.exp(-lags / decay) - decay / np.sqrt(lags * size)
    enough = np.flatnonzero(balance < 0)
    window = min(int(lags[enough[0]]) if len(enough) else size, size // 2)
    total = correlation[0] + 2 * correlation[1 : window + 1].sum()
    total *= 1 + (2 * window + 1) / size  # the mean was taken from the same series
    return float(np.sqrt(max(total, 0.0) / size))
