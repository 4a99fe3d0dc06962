"""The spectrum of velocities: at which frequencies the atoms of a trajectory move."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tribond.errors import ConfigError, DataError
from tribond.simulation.motion import Motion, select
from tribond.simulation.start import holds_atoms

THZ_PER_PER_FS = 1000.0
PER_CM_PER_THZ = 33.35640951981521
TURNED = 0.3  # of the squared displacements between frames that the velocities at both ends do not explain
PADDING = 2  # zeros behind each segment, as multiples of its length: a smooth curve


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Velocity spectra, mass-weighted: the vibrational density of states of a harmonic crystal.

    Attributes:
        frequencies_THz: (frequencies,) THz.
        total: (frequencies,) 1/THz, with the area 1.
        partial: (frequencies,) by element; they sum to the total.
        resolution_THz: width of a single frequency.
        highest_THz: half of the sampling frequency: nothing above can be seen.
    """

    frequencies_THz: NDArray[np.float64]
    total: NDArray[np.float64]
    partial: dict[str, NDArray[np.float64]]
    resolution_THz: float
    highest_THz: float


def velocity_spectrum(motion: Motion, segment_fs: float | None = None, symbols: str | None = None) -> Spectrum:
    """The power spectrum of the velocities, Σ m |v(ω)|², by Welch's method with Hann's window.

    It is the Fourier transform of the velocity autocorrelation function (Wiener and Khinchin); averaging over overlapping
    segments takes the noise away and makes single frequencies wider.

    Args:
        motion: with velocities, frames equally spaced.
        segment_fs: length of the segments, fs; a quarter of the trajectory if left out.
        symbols: elements with commas in between; None is all.

    Raises:
        DataError: without velocities, or with too few frames.
        ConfigError: for a segment that does not fit, or elements that are not there.
    """
    if motion.velocities is None:
        raise DataError(
            "this trajectory has no velocities; write it as .traj or extxyz, with the momenta of ASE (nc leaves them out)"
        )
    interval, frames = motion.interval_fs, len(motion.velocities)
    if frames < 16:
        raise DataError(f"{frames} frames are too few for a spectrum; it needs 16 or more")
    length = frames // 4 if segment_fs is None else round(segment_fs / interval)
    length = max(length, min(frames, 16))
    if length > frames or (segment_fs is not None and segment_fs / interval < 16):
        raise ConfigError(
            f"a segment of {segment_fs or 0:g} fs must be at least 16 frames, and not longer than the trajectory of "
            f"{frames * interval:g} fs"
        )
    masses = motion.atoms.get_masses()
    velocities = motion.velocities
    if not holds_atoms(motion.atoms):
        velocities = velocities - (np.einsum("fax,a->fx", velocities, masses) / masses.sum())[:, None]
    window = np.hanning(length + 2)[1:-1, None, None]
    starts = range(0, frames - length + 1, max(1, length // 2))
    size = length * (1 + PADDING)
    frequencies: NDArray[Any] = np.fft.rfftfreq(size, interval) * THZ_PER_PER_FS
    partial = {}
    for name, indices in select(motion.atoms, symbols).items():
        power = np.zeros(len(frequencies))
        for start in starts:
            piece = velocities[start : start + length, indices] * window
            transform = np.fft.rfft(piece, n=size, axis=0)
            power += np.einsum("fax,a->f", np.abs(transform) ** 2, masses[indices])
        partial[name] = power
    area = np.trapezoid(sum(partial.values()), frequencies)
    if not area > 0:
        raise DataError("the atoms of this trajectory do not move")
    partial = {name: power / area for name, power in partial.items()}
    return Spectrum(
        frequencies_THz=frequencies,
        total=np.sum(list(partial.values()), axis=0),
        partial=partial,
        resolution_THz=float(1.44 / (length * interval) * THZ_PER_PER_FS),  # of Hann's window
        highest_THz=float(0.5 / interval * THZ_PER_PER_FS),
    )


def turning_between_frames(motion: Motion, symbols: str | None = None) -> list[str]:
    """Elements whose atoms turn round between two frames, so that their frequencies are seen at lower, wrong places.

    The displacement between two frames is compared with the mean of the velocities at both, times the interval: for a
    vibration of frequency f that is off by 1 - x / tan x of it with x = π f Δt, by half at three quarters of the highest
    frequency that can be seen, and by more beyond.

    Args:
        motion: with velocities.
        symbols: elements with commas in between; None is all.
    """
    if motion.velocities is None:
        return []
    steps = np.diff(motion.positions, axis=0)
    missing = steps - 0.5 * (motion.velocities[1:] + motion.velocities[:-1]) * motion.interval_fs
    return [
        name
        for name, atoms in select(motion.atoms, symbols).items()
        if np.square(missing[:, atoms]).sum() > TURNED * np.square(steps[:, atoms]).sum()
    ]
