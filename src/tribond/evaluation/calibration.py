"""Whether the spread of an ensemble is as large as its errors: calibration, as in the Uncertainty Toolbox.

If errors were drawn from normal distributions with the spread σ as standard deviation, a fraction p of them would lie within
± z σ, where Φ(z) = (1 + p) / 2. The curve of the observed fraction against p is the calibration; the area between it and the
diagonal is the miscalibration area, 0 at best and 0.5 at worst. Below the diagonal the ensemble is too sure of itself.

Y. Chung, I. Char, H. Guo, J. Schneider and W. Neiswanger, arXiv 2109.10254; K. Tran et al., Mach. Learn.: Sci. Technol. 1,
025006 (2020). The package itself would bring scikit-learn along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tribond.evaluation.metrics import FrameResult

LEVELS = 100  # as many as the toolbox has
LEAST = 2  # errors
HALF = 0.6744897501960817  # Φ(0.6745) = 0.75: half of all normal errors are smaller
SEARCHED = 3.0  # how far around the ratio of medians the best scale is looked for, as a power of e


@dataclass(frozen=True, eq=False)
class Calibration:
    """How spreads compare with errors."""

    count: int  # numbers compared
    expected: NDArray[np.float64]  # (levels,) fraction of errors that should be within an interval, from 0 to 1
    observed: NDArray[np.float64]  # (levels,) fraction that is
    area: float  # between the two: the miscalibration area
    scale: float | None  # by which spreads must be multiplied for the smallest area; None where most of them are zero
    scaled_area: float | None  # the area then
    rank_correlation: float | None  # Spearman's, of spreads and sizes of errors; None where one of them does not vary

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without the curve."""
        return {
            "miscalibration_area": self.area,
            "scale": self.scale,
            "miscalibration_area_scaled": self.scaled_area,
            "rank_correlation": self.rank_correlation,
            "count": self.count,
        }


def calibration_of(errors: ArrayLike, spreads: ArrayLike) -> Calibration | None:
    """Compare errors with the standard deviations that were predicted for them.

    Args:
        errors: of any shape, predicted minus label.
        spreads: of the same shape, in the same unit; 0 or more.

    Returns:
        None for fewer than two errors.
    """
    from scipy.special import ndtri

    sizes = np.abs(np.asarray(errors, dtype=np.float64)).ravel()
    sigmas = np.asarray(spreads, dtype=np.float64).ravel()
    if len(sizes) < LEAST:
        return None
    # No spread and no error agree; no spread and an error do so at no scale.
    ratios = np.full(len(sizes), np.inf)
    np.divide(sizes, sigmas, out=ratios, where=sigmas > 0)
    ratios[(sigmas == 0) & (sizes == 0)] = 0.0
    ratios.sort()
    expected = np.linspace(0.0, 1.0, LEVELS)
    widths = ndtri((1 + expected) / 2)  # z; infinite at the end
    observed = _within(ratios, widths)
    scale, scaled_area = _best_scale(ratios, widths, expected)
    return Calibration(
        count=len(sizes),
        expected=expected,
        observed=observed,
        area=_area(expected, observed),
        scale=scale,
        scaled_area=scaled_area,
        rank_correlation=_rank_correlation(sizes, sigmas),
    )


def energy_calibration(results: Sequence[FrameResult]) -> Calibration | None:
    """Of energies per atom; None without spreads or labels."""
    pairs = [
        (
            (result.prediction.energy - result.frame.energy) / len(result.frame.atoms),
            result.prediction.spread.energy_std_per_atom,
        )
        for result in results
        if result.prediction.spread is not None and result.frame.energy is not None
    ]
    return calibration_of([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def force_calibration(results: Sequence[FrameResult]) -> Calibration | None:
    """Of all components of forces; None without spreads or labels."""
    pairs = [
        (result.prediction.forces - result.frame.forces, result.prediction.spread.forces_std)
        for result in results
        if result.prediction.spread is not None and result.frame.forces is not None
    ]
    if not pairs:
        return None
    return calibration_of(np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs]))


def _within(ratios: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fraction of sorted ratios up to each width."""
    return np.searchsorted(ratios, widths, side="right") / len(ratios)


def _area(expected: NDArray[np.float64], observed: NDArray[np.float64]) -> float:
    gaps = np.abs(observed - expected)
    return float(((gaps[1:] + gaps[:-1]) / 2 * np.diff(expected)).sum())


def _best_scale(
    ratios: NDArray[np.float64], widths: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[float | None, float | None]:
    """The scale of the spreads with the smallest area, and that area. Few wild ratios do not move it, unlike a mean."""
    from scipy.optimize import minimize_scalar

    first = float(np.median(ratios)) / HALF
    if not (np.isfinite(first) and first > 0):
        return None, None

    def area(power: float) -> float:
        return _area(expected, _within(ratios, widths * first * np.exp(power)))

    found = minimize_scalar(area, bounds=(-SEARCHED, SEARCHED), method="bounded", options={"xatol": 1e-4})
    power = float(found.x) if area(float(found.x)) < area(0.0) else 0.0
    return float(first * np.exp(power)), area(power)


def _rank_correlation(sizes: NDArray[np.float64], sigmas: NDArray[np.float64]) -> float | None:
    from scipy.stats import spearmanr

    if np.ptp(sizes) == 0 or np.ptp(sigmas) == 0:
        return None
    return float(spearmanr(sizes, sigmas).statistic)
