"""Fits of an equation of state, and when there is none to fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import eos as equations
from scipy.optimize import curve_fit

from tribond.errors import TribondError
from tribond.units import EV_PER_A3_TO_GPA

# Energy of a volume, E0, B0, B0', V0.
EQUATIONS: dict[str, Callable[..., Any]] = {
    "birch-murnaghan": equations.birchmurnaghan,
    "vinet": equations.vinet,
    "murnaghan": equations.murnaghan,
    "poirier-tarantola": equations.pouriertarantola,
}
LARGEST_RESIDUAL = 0.02  # RMS of what a fit leaves, of the span of the energies: more is no equation of state
CONCAVE = -0.1  # a curvature between three points below this part of the mean one is no noise


class FitError(TribondError):
    """The points do not follow an equation of state."""


@dataclass(frozen=True)
class Fit:
    """An equation of state with the standard errors of its parameters, from what the fit leaves."""

    equation: str
    E0: float  # eV
    V0: float  # Å³
    B0: float  # eV/Å³
    B0_prime: float
    V0_error: float
    B0_error: float
    B0_prime_error: float
    rms: float  # eV | of what the fit leaves

    def energy(self, volume: Any) -> Any:
        """Energy at volumes, eV."""
        return EQUATIONS[self.equation](volume, self.E0, self.B0, self.B0_prime, self.V0)

    def summary(self, atoms: int) -> dict[str, Any]:
        """Numbers with the unit in each name, for a cell of so many atoms."""
        return {
            "equation": self.equation,
            "V0_A3": self.V0,
            "V0_error_A3": self.V0_error,
            "V0_A3_per_atom": self.V0 / atoms,
            "B0_GPa": self.B0 * EV_PER_A3_TO_GPA,
            "B0_error_GPa": self.B0_error * EV_PER_A3_TO_GPA,
            "B0_prime": self.B0_prime,
            "B0_prime_error": self.B0_prime_error,
            "E0_eV": self.E0,
            "E0_eV_per_atom": self.E0 / atoms,
            "rms_residual_meV_per_atom": self.rms / atoms * 1000,
        }


def check_curve(volumes: np.ndarray, energies: np.ndarray) -> None:
    """Refuse points that have no minimum between them or are no single valley.

    Raises:
        FitError: says where.
    """
    if not np.isfinite(energies).all():
        bad = volumes[~np.isfinite(energies)][0]
        raise FitError(f"the model gives no finite energy at a volume of {bad:.2f} Å³")
    lowest = int(np.argmin(energies))
    if lowest in {0, len(volumes) - 1}:
        side, end = ("larger", "largest") if lowest else ("smaller", "smallest")
        raise FitError(
            f"the energy is lowest at the {end} volume, {volumes[lowest]:.2f} Å³: the minimum lies outside of the range, or "
            f"a relaxed structure was not in the lowest one; take {side} volumes (--range), or relax the structure first "
            "if it was not"
        )
    slopes = np.diff(energies) / np.diff(volumes)
    curvature = np.diff(slopes) / (0.5 * (volumes[2:] - volumes[:-2]))
    worst = int(np.argmin(curvature))
    if curvature[worst] < CONCAVE * abs(curvature.mean()):
        raise FitError(
            f"E(V) is not convex near {volumes[worst + 1]:.2f} Å³: the crystal changes into another one there, a "
            "relaxation fell into another minimum, or the model is out of its depth; take a smaller range (--range)"
        )


def fit_equation(volumes: np.ndarray, energies: np.ndarray, equation: str) -> Fit:
    """Least squares.

    Args:
        volumes: (points,) Å³.
        energies: (points,) eV.
        equation: a name in EQUATIONS.

    Raises:
        FitError: if it does not converge, is no minimum, or leaves too much.
    """
    second, first, _ = np.polyfit(volumes, energies, 2)
    guess_volume = -first / (2 * second) if second > 0 else volumes[np.argmin(energies)]
    guess = (float(energies.min()), abs(2 * second * guess_volume), 4.0, float(guess_volume))
    try:
        with np.errstate(all="ignore"):
            parameters, covariance = curve_fit(
                EQUATIONS[equation], volumes, energies, guess, maxfev=20_000, x_scale=np.abs(guess), method="trf"
            )
            left = energies - EQUATIONS[equation](volumes, *parameters)
    except (RuntimeError, ValueError) as error:
        raise FitError(f"the fit of {equation} does not converge: {error}") from error
    E0, B0, B0_prime, V0 = (float(value) for value in parameters)
    errors = np.sqrt(np.diag(covariance))
    if not (np.isfinite(parameters).all() and np.isfinite(errors).all()):
        raise FitError(f"the fit of {equation} does not converge")
    if B0 <= 0 or not volumes[0] <= V0 <= volumes[-1]:
        raise FitError(
            f"the fit of {equation} has no minimum between {volumes[0]:.2f} and {volumes[-1]:.2f} Å³ (V0 = {V0:.2f} "
            f"Å³, B0 = {B0 * EV_PER_A3_TO_GPA:.1f} GPa); take another range (--range)"
        )
    rms = float(np.sqrt(np.mean(left**2)))
    if rms > LARGEST_RESIDUAL * np.ptp(energies):
        raise FitError(
            f"the energies do not follow {equation}: it leaves {rms * 1000:.2f} meV (RMS) of a span of "
            f"{np.ptp(energies) * 1000:.2f} meV; look at the points, or take a smaller range (--range)"
        )
    return Fit(equation, E0, V0, B0, B0_prime, float(errors[3]), float(errors[1]), float(errors[2]), rms)
