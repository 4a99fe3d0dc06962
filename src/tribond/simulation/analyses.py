"""Analyses in a folder: tables, figures and summaries of `tribond rdf`, `angles` and `vdos`."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tribond.results.figures import COLORS, GUIDE, new_figure, title
from tribond.results.tables import write_csv
from tribond.simulation.analysis_folder import about, analysis_job, heading, save
from tribond.simulation.motion import read_motion
from tribond.simulation.structure import angle_distribution, pair_distribution
from tribond.simulation.vibrations import PER_CM_PER_THZ, turning_between_frames, velocity_spectrum

if TYPE_CHECKING:
    from tribond.reading.content import Options

logger = logging.getLogger(__name__)

ENOUGH = 0.01  # of the most frequent kind of angle | rarer kinds are noise in a figure


def rdf_in(
    folder: Path,
    names: Sequence[str],
    *,
    r_max_A: float = 8.0,
    bins: int = 400,
    symbols: str | None = None,
    skip_ps: float = 0.0,
    interval_fs: float | None = None,
    options: "Options | None" = None,
    restart: bool = False,
) -> dict[str, Any]:
    """Pair distributions of a trajectory: rdf.csv, coordination.csv, rdf.png and rdf.svg, summary.json.

    Args:
        folder: for the results.
        names: trajectory files, one after the other; path@INDEX takes frames.
        r_max_A: largest distance, Å.
        bins: of distances.
        symbols: elements with commas in between.
        skip_ps: left out at the beginning, ps.
        interval_fs: time between frames where files do not say, fs; only needed to skip.
        options: what the user says about the files.
        restart: begin anew.

    Returns:
        The summary.

    Raises:
        ConfigError: for settings that make no sense.
        DataError: for a trajectory that cannot be analysed.
    """
    settings = {"r_max_A": r_max_A, "bins": bins, "symbols": symbols, "skip_ps": skip_ps, "interval_fs": interval_fs}
    with analysis_job(folder, "rdf", settings, names, options, restart=restart) as job:
        if job.finished:
            return job.summary()
        motion = read_motion(names, interval_fs, options, skip_ps * 1000)
        found = pair_distribution(motion, r_max_A, bins, symbols)
        half = 0.5 / float(np.linalg.norm(motion.atoms.cell.reciprocal().array, axis=1).max())
        if r_max_A > half:
            logger.info("beyond %.2f Å, half of the cell, atoms meet images of each other, which move together", half)
        columns: dict[str, Any] = {"r_A": found.radii_A, "total": found.total}
        write_csv(job.file("rdf.csv"), columns | found.partial)
        write_csv(job.file("coordination.csv"), {"r_A": found.radii_A} | found.coordination)
        figure, (axes,) = new_figure()
        for name, g in found.partial.items():
            axes.plot(found.radii_A, g, label=name, linewidth=1.2)
        if len(found.partial) > 1:
            axes.plot(found.radii_A, found.total, color=COLORS[-1], linewidth=1.2, linestyle="--", label="all")
        axes.axhline(1.0, color=GUIDE, linewidth=0.8, linestyle=":")
        axes.set(xlabel="distance (Å)", ylabel="pair distribution g(r)", xlim=(0, r_max_A), ylim=(0, None))
        axes.legend(frameon=False)
        title(axes, heading(names, motion))
        save(job, figure)
        peaks = {}
        for name, g in found.partial.items():
            top = int(np.argmax(g))
            peaks[name] = {"highest_peak_A": float(found.radii_A[top]), "highest_peak": float(g[top])}
        return job.finish({**about(motion), "peaks": peaks})


def angles_in(
    folder: Path,
    names: Sequence[str],
    *,
    cutoff_A: float,
    bins: int = 180,
    symbols: str | None = None,
    skip_ps: float = 0.0,
    interval_fs: float | None = None,
    options: "Options | None" = None,
    restart: bool = False,
) -> dict[str, Any]:
    """Distributions of the angles between bonds: angles.csv, angles.png and angles.svg, summary.json.

    Args:
        folder: for the results.
        names: trajectory files, one after the other.
        cutoff_A: longest bond, Å.
        bins: of angles.
        symbols: elements of the atom in the middle.
        skip_ps: left out at the beginning, ps.
        interval_fs: time between frames where files do not say, fs.
        options: what the user says about the files.
        restart: begin anew.

    Returns:
        The summary.

    Raises:
        ConfigError: for settings that make no sense.
        DataError: for a trajectory that cannot be analysed.
    """
    settings = {"cutoff_A": cutoff_A, "bins": bins, "symbols": symbols, "skip_ps": skip_ps, "interval_fs": interval_fs}
    with analysis_job(folder, "angles", settings, names, options, restart=restart) as job:
        if job.finished:
            return job.summary()
        motion = read_motion(names, interval_fs, options, skip_ps * 1000)
        found = angle_distribution(motion, cutoff_A, bins, symbols)
        write_csv(job.file("angles.csv"), {"angle_degree": found.angles_degree} | found.density_per_degree)
        figure, (axes,) = new_figure()
        most = max(found.counts.values())
        for name, density in found.density_per_degree.items():
            if found.counts[name] >= ENOUGH * most:
                axes.plot(found.angles_degree, density, label=name, linewidth=1.2)
        axes.set(xlabel="angle (degrees)", ylabel="probability (1/degree)", xlim=(0, 180), ylim=(0, None))
        axes.set_xticks(range(0, 181, 30))
        axes.legend(frameon=False)
        title(axes, f"{heading(names, motion)}, bonds up to {cutoff_A:g} Å")
        save(job, figure)
        means = {
            name: {
                "mean_degree": float((found.angles_degree * density).sum() / density.sum()),
                "most_frequent_degree": float(found.angles_degree[np.argmax(density)]),
                "angles_per_frame": found.counts[name] / len(motion.positions),
            }
            for name, density in found.density_per_degree.items()
        }
        return job.finish({**about(motion), "angles": means})


def vdos_in(
    folder: Path,
    names: Sequence[str],
    *,
    segment_ps: float | None = None,
    symbols: str | None = None,
    skip_ps: float = 0.0,
    interval_fs: float | None = None,
    options: "Options | None" = None,
    restart: bool = False,
) -> dict[str, Any]:
    """Velocity spectra of a trajectory: vdos.csv, vdos.png and vdos.svg, summary.json.

    Args:
        folder: for the results.
        names: trajectory files with velocities, one after the other.
        segment_ps: length of the segments that are averaged, ps: longer is sharper and noisier.
        symbols: elements with commas in between.
        skip_ps: left out at the beginning, ps.
        interval_fs: time between frames where files do not say, fs.
        options: what the user says about the files.
        restart: begin anew.

    Returns:
        The summary.

    Raises:
        ConfigError: for settings that make no sense.
        DataError: for a trajectory that cannot be analysed.
    """
    settings = {"segment_ps": segment_ps, "symbols": symbols, "skip_ps": skip_ps, "interval_fs": interval_fs}
    with analysis_job(folder, "vdos", settings, names, options, restart=restart) as job:
        if job.finished:
            return job.summary()
        motion = read_motion(names, interval_fs, options, skip_ps * 1000)
        found = velocity_spectrum(motion, None if segment_ps is None else segment_ps * 1000, symbols)
        hidden = turning_between_frames(motion, symbols)
        if hidden:
            logger.warning(
                "frames %g fs apart are too far from each other: atoms of %s vibrate faster, and their frequencies are seen "
                "at lower, wrong places; write frames every 4 to 8 fs (--trajectory-interval-fs)",
                motion.interval_fs,
                ", ".join(hidden),
            )
        columns: dict[str, Any] = {
            "frequency_THz": found.frequencies_THz,
            "frequency_per_cm": found.frequencies_THz * PER_CM_PER_THZ,
            "total_per_THz": found.total,
        }
        write_csv(job.file("vdos.csv"), columns | {f"{name}_per_THz": it for name, it in found.partial.items()})
        figure, (axes,) = new_figure()
        for name, density in found.partial.items():
            axes.plot(found.frequencies_THz, density, label=name, linewidth=1.2)
        if len(found.partial) > 1:
            axes.plot(found.frequencies_THz, found.total, color=COLORS[-1], linewidth=1.2, linestyle="--", label="all")
        last = np.flatnonzero(np.cumsum(found.total) < 0.998 * found.total.sum())[-1]  # beyond is nothing to see
        highest = min(1.2 * float(found.frequencies_THz[last]) + found.resolution_THz, found.highest_THz)
        axes.set(xlabel="frequency (THz)", ylabel="velocity spectrum (1/THz)", xlim=(0, highest), ylim=(0, None))
        above = axes.secondary_xaxis("top", functions=(_to_wavenumber, _to_frequency))
        above.set_xlabel("wavenumber (1/cm)")
        axes.legend(frameon=False)
        axes.text(0.0, 1.2, heading(names, motion), transform=axes.transAxes, parse_math=False)
        save(job, figure)
        return job.finish(
            {
                **about(motion),
                "resolution_THz": found.resolution_THz,
                "highest_frequency_that_can_be_seen_THz": found.highest_THz,
                "elements_too_fast_for_the_frames": hidden,
                "strongest_frequency_THz": float(found.frequencies_THz[np.argmax(found.total)]),
            }
        )


def _to_wavenumber(frequency: Any) -> Any:
    return frequency * PER_CM_PER_THZ


def _to_frequency(wavenumber: Any) -> Any:
    return wavenumber / PER_CM_PER_THZ
