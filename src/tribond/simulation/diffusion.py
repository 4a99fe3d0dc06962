"""Diffusion: mean squared displacements, coefficients with statistical errors, Arrhenius' law, conductivity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from tribond.errors import ConfigError, DataError
from tribond.simulation.motion import Motion
from tribond.simulation.start import holds_atoms

A2_PER_FS_TO_CM2_PER_S = 0.1  # 1 Å²/fs = 1e-16 cm² / 1e-15 s
FIT = (0.1, 0.5)  # of the trajectory: where the displacement is fitted, unless said otherwise
BLOCKS = 5
AXES = ("x", "y", "z")
ELEMENTARY_CHARGE = 1.602176634e-19  # C
BOLTZMANN_J_PER_K = 1.380649e-23


@dataclass(frozen=True, eq=False)
class Diffusion:
    """How one kind of atom diffuses.

    Attributes:
        atoms: how many there are.
        times_fs: (lags,) fs.
        msd_A2: (lags, 3) Å² along x, y and z; their sum is the mean squared displacement.
        coefficient_cm2_per_s: D in three dimensions, MSD = 6 D t, cm²/s.
        error_cm2_per_s: its standard error, from blocks of the trajectory.
        axes_cm2_per_s: (3,) along x, y and z, MSD_x = 2 D_x t.
        axes_errors_cm2_per_s: (3,) their errors.
        fit_fs: between which lags the lines were fitted, fs.
        exponent: of MSD ~ t^a over the fit; 1 for diffusion, less for atoms that rattle, 2 for free flight.
    """

    atoms: int
    times_fs: NDArray[np.float64]
    msd_A2: NDArray[np.float64]
    coefficient_cm2_per_s: float
    error_cm2_per_s: float
    axes_cm2_per_s: NDArray[np.float64]
    axes_errors_cm2_per_s: NDArray[np.float64]
    fit_fs: tuple[float, float]
    exponent: float


def msd(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean squared displacement, averaged over atoms and all origins in time, by Fourier transforms.

    MSD(m) = 1/(F-m) Σ_k |r(k+m) - r(k)|²; the cross term is a correlation (Calandrini et al., Collection SFN 12, 201
    (2011), section 4.2).

    Args:
        positions: (frames, atoms, 3) Å, unwrapped.

    Returns:
        (frames, 3) Å² along x, y and z.
    """
    frames = len(positions)
    moved = positions - positions.mean(axis=0)  # smaller numbers, fewer digits lost
    squares = np.square(moved)
    total = np.concatenate([np.zeros_like(squares[:1]), np.cumsum(squares, axis=0)])
    lags = np.arange(frames)
    # Σ_k r²(k+m) + r²(k) over the pairs that there are
    both = (total[-1] - total[lags]) + total[frames - lags]
    result = np.zeros((frames, 3))
    for axis in range(3):
        transform = np.fft.rfft(moved[:, :, axis], n=2 * frames, axis=0)
        correlation = np.fft.irfft(transform * transform.conj(), axis=0)[:frames]
        result[:, axis] = (both[:, :, axis] - 2 * correlation).mean(axis=1)
    result /= (frames - lags)[:, None]
    result[0] = 0.0
    return np.maximum(result, 0.0)


def own_motion(motion: Motion) -> NDArray[np.float64]:
    """Positions without what the crystal does as a whole: its drift, and changes of its cell.  (frames, atoms, 3) Å

    A cell that breathes moves each atom by its distance from the origin times the strain, which is no diffusion: fractional
    coordinates are taken in the mean cell. The centre of mass is taken away, unless constraints hold atoms: then nothing
    drifts, and the centre moves because atoms diffuse.
    """
    positions, cells = motion.positions, motion.cells
    if motion.atoms.pbc.all() and np.abs(cells - cells[0]).max() > 0:
        positions = np.einsum("fax,fxy->fay", positions, np.linalg.inv(cells)) @ cells.mean(axis=0)
    if holds_atoms(motion.atoms):
        return positions
    masses = motion.atoms.get_masses()
    centre = np.einsum("fax,a->fx", positions, masses) / masses.sum()
    return np.asarray(positions - (centre - centre[0])[:, None])


def diffusion(
    motion: Motion, indices: NDArray[np.int64], fit_fs: tuple[float, float] | None = None, blocks: int = BLOCKS
) -> Diffusion:
    """Diffusion coefficient of some of the atoms, relative to the crystal as a whole (see `own_motion`).

    D is the slope of the mean squared displacement in the fit, over 6. Its error is that of the mean over blocks of the
    trajectory, each with a slope of its own over the same lags: they are independent if blocks are longer than the memory.

    Args:
        motion: of all atoms.
        indices: of the atoms.
        fit_fs: between which lags, fs; from 10 % to 50 % of a block, if left out.
        blocks: into how many parts the trajectory is cut for the error.

    Raises:
        ConfigError: for a fit outside of the trajectory or impossible blocks.
        DataError: if frames are too few.
    """
    interval = motion.interval_fs
    frames = len(motion.positions)
    if blocks < 2:
        raise ConfigError(f"an error takes at least 2 blocks, not {blocks}")
    length = frames // blocks
    if length < 10:
        raise DataError(
            f"{frames} frames are too few for {blocks} blocks of at least 10; run longer or write more frames"
        )
    fit = fit_fs or (FIT[0] * length * interval, FIT[1] * length * interval)
    low, high = max(1, round(fit[0] / interval)), round(fit[1] / interval)
    if not (0 <= fit[0] < fit[1] and high - low >= 2 and high < length):
        raise ConfigError(
            f"a fit from {fit[0]:g} to {fit[1]:g} fs needs at least three lags below {(length - 1) * interval:g} fs, the length "
            f"of one of {blocks} blocks; frames are {interval:g} fs apart"
        )
    positions = own_motion(motion)[:, indices]
    whole = msd(positions)
    times: NDArray[Any] = interval * np.arange(frames)
    window = slice(low, high + 1)
    parts = [msd(positions[i * length : (i + 1) * length]) for i in range(blocks)]
    slopes = np.array([np.polyfit(times[window], part[window], 1)[0] for part in parts]) / 2  # D along each axis
    axes = np.polyfit(times[window], whole[window], 1)[0] / 2
    unit = A2_PER_FS_TO_CM2_PER_S
    total = whole[window].sum(axis=1)
    exponent = np.polyfit(np.log(times[window]), np.log(np.maximum(total, 1e-300)), 1)[0] if total.min() > 0 else 0.0
    return Diffusion(
        atoms=len(indices),
        times_fs=times[:length],
        msd_A2=whole[:length],
        coefficient_cm2_per_s=float(axes.mean()) * unit,
        error_cm2_per_s=float(slopes.mean(axis=1).std(ddof=1) / np.sqrt(blocks)) * unit,
        axes_cm2_per_s=axes * unit,
        axes_errors_cm2_per_s=slopes.std(axis=0, ddof=1) / np.sqrt(blocks) * unit,
        fit_fs=(low * interval, high * interval),
        exponent=float(exponent),
    )


@dataclass(frozen=True)
class Arrhenius:
    """D = D0 exp(-E / kT).

    Attributes:
        activation_energy_eV: E.
        activation_energy_error_eV: its standard error.
        prefactor_cm2_per_s: D0.
        prefactor_log_error: standard error of ln D0.
        covariance_eV: of ln D0 and E, eV: they err together.
    """

    activation_energy_eV: float
    activation_energy_error_eV: float
    prefactor_cm2_per_s: float
    prefactor_log_error: float
    covariance_eV: float

    def log_error(self, temperature_K: float) -> float:
        """Standard error of ln D at a temperature; it grows beyond those of the fit."""
        x = 1 / (units.kB * temperature_K)
        variance = self.prefactor_log_error**2 + (x * self.activation_energy_error_eV) ** 2 - 2 * x * self.covariance_eV
        return float(np.sqrt(max(variance, 0.0)))

    def coefficient(self, temperature_K: float) -> float:
        """D at a temperature, cm²/s."""
        return float(self.prefactor_cm2_per_s * np.exp(-self.activation_energy_eV / (units.kB * temperature_K)))


def arrhenius(temperatures_K: Sequence[float], coefficients: Sequence[float], errors: Sequence[float]) -> Arrhenius:
    """Fit ln D against 1/T, each point weighted by its error.

    Errors of the fit are those that follow from the errors of D, widened if the points scatter more than that.

    Args:
        temperatures_K: K.
        coefficients: cm²/s.
        errors: of the coefficients, cm²/s.

    Raises:
        DataError: for fewer than three temperatures, or coefficients that are not larger than their errors.
    """
    T, D, error = (np.asarray(values, dtype=np.float64) for values in (temperatures_K, coefficients, errors))
    if len(np.unique(T)) < 3:
        raise DataError("Arrhenius' law is fitted to three or more temperatures")
    bad = ~((error < D) & (error > 0))
    if bad.any():
        raise DataError(
            f"at {', '.join(f'{t:g}' for t in T[bad])} K nothing diffuses beyond the error: leave these temperatures out, or "
            "run longer"
        )
    sigma = error / D
    x, weights = 1 / (units.kB * T), 1 / sigma
    design = np.stack([np.ones_like(x), -x], axis=1)
    covariance = np.linalg.inv((design * weights[:, None] ** 2).T @ design)
    log_prefactor, energy = covariance @ (design * weights[:, None] ** 2).T @ np.log(D)
    residuals = (np.log(D) - log_prefactor + energy * x) / sigma
    widened = max(1.0, float(residuals @ residuals) / (len(D) - 2))
    covariance = covariance * widened
    spread = np.sqrt(np.diag(covariance))
    return Arrhenius(
        float(energy), float(spread[1]), float(np.exp(log_prefactor)), float(spread[0]), float(covariance[0, 1])
    )


def conductivity(
    coefficients: Mapping[str, tuple[float, float]], charges: Mapping[str, float], atoms: Atoms, temperature_K: float
) -> tuple[float, float]:
    """Ionic conductivity by Nernst and Einstein: σ = Σ n q² D / (V k T). Correlations between ions are left out.

    Args:
        coefficients: D and its error by element, cm²/s.
        charges: by element, in elementary charges.
        atoms: the structure, for numbers and volume.
        temperature_K: K.

    Returns:
        σ and its error, S/cm.

    Raises:
        ConfigError: for a temperature that is none; for charges of elements that were not analysed.
        DataError: if there is no volume.
    """
    if not (np.isfinite(temperature_K) and temperature_K > 0):
        raise ConfigError(f"the temperature must be larger than 0 K, not {temperature_K}")
    unknown = set(charges) - set(coefficients)
    if unknown:
        raise ConfigError(f"there is no diffusion coefficient of {', '.join(sorted(unknown))} to go with its charge")
    if not atoms.pbc.all():
        raise DataError("a conductivity needs a structure that is periodic along a, b and c")
    volume = atoms.get_volume() * 1e-24  # cm³
    symbols = atoms.get_chemical_symbols()
    factors = {
        it: symbols.count(it) * (charge * ELEMENTARY_CHARGE) ** 2 / (volume * BOLTZMANN_J_PER_K * temperature_K)
        for it, charge in charges.items()
    }
    value = sum(factor * coefficients[it][0] for it, factor in factors.items())
    error = float(np.sqrt(sum((factor * coefficients[it][1]) ** 2 for it, factor in factors.items())))
    return float(value), error
