"""`tribond diffusion` in a folder: tables, figures and the summary; Arrhenius' law over several temperatures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from tribond.errors import ConfigError
from tribond.results.figures import COLORS, new_figure, title
from tribond.results.job import Job
from tribond.results.tables import write_csv
from tribond.simulation.analysis_folder import about, analysis_job, save
from tribond.simulation.diffusion import BLOCKS, Arrhenius, Diffusion, arrhenius, conductivity, diffusion
from tribond.simulation.motion import Motion, read_motion, select
from tribond.simulation.start import degrees_of_freedom

if TYPE_CHECKING:
    from tribond.reading.content import Options

DIFFUSIVE = (0.7, 1.3)  # exponents of displacements that grow like time
SMALLEST_MSD = 1.0  # Å² at the end of the fit | vibrations of a crystal reach some tenths


def diffusion_in(
    folder: Path,
    runs: Sequence[Sequence[str]],
    *,
    symbols: str | None = None,
    temperatures_K: Sequence[float] | None = None,
    charges: Mapping[str, float] | None = None,
    fit_ps: tuple[float, float] | None = None,
    blocks: int = BLOCKS,
    skip_ps: float = 0.0,
    interval_fs: float | None = None,
    options: "Options | None" = None,
    restart: bool = False,
) -> dict[str, Any]:
    """Diffusion coefficients: msd.csv, diffusion.csv, figures, summary.json; Arrhenius' law over several temperatures.

    Args:
        folder: for the results.
        runs: one list of trajectory files for each temperature.
        symbols: elements with commas in between.
        temperatures_K: of the runs, K; without them they are taken from the velocities, if there are some.
        charges: of ions by element, in elementary charges, for the conductivity.
        fit_ps: between which lags displacements are fitted, ps.
        blocks: for the statistical error.
        skip_ps: left out at the beginning of each run, ps.
        interval_fs: time between frames where files do not say, fs.
        options: what the user says about the files.
        restart: begin anew.

    Returns:
        The summary.

    Raises:
        ConfigError: for settings that make no sense.
        DataError: for trajectories that cannot be analysed.
    """
    if temperatures_K is not None and len(temperatures_K) != len(runs):
        raise ConfigError(f"{len(runs)} trajectories need as many temperatures, not {len(temperatures_K)}")
    for given in temperatures_K or ():
        if not (np.isfinite(given) and given > 0):
            raise ConfigError(f"temperatures must be larger than 0 K, not {given:g}")
    settings = {
        "symbols": symbols,
        "temperatures_K": temperatures_K,
        "charges": charges,
        "fit_ps": fit_ps,
        "blocks": blocks,
        "skip_ps": skip_ps,
        "interval_fs": interval_fs,
        "files_of_runs": None if all(len(names) == 1 for names in runs) else [len(names) for names in runs],
    }
    names = [name for run in runs for name in run]
    with analysis_job(folder, "diffusion", settings, names, options, restart=restart) as job:
        if job.finished:
            return job.summary()
        results: list[dict[str, Any]] = []
        curves: list[tuple[str, Diffusion]] = []
        for number, files in enumerate(runs):
            motion = read_motion(files, interval_fs, options, skip_ps * 1000)
            temperature = _mean_temperature(motion) if temperatures_K is None else float(temperatures_K[number])
            found = {
                name: diffusion(
                    motion, indices, None if fit_ps is None else (fit_ps[0] * 1000, fit_ps[1] * 1000), blocks
                )
                for name, indices in select(motion.atoms, symbols).items()
            }
            results.append(about(motion) | {"files": list(files), "temperature_K": temperature})
            results[-1]["species"] = {name: _species(it) for name, it in found.items()}
            if charges:
                results[-1] |= _conductivity(found, charges, motion, temperature)
            label = "" if len(runs) == 1 else f"{temperature:.0f} K " if temperature else f"{files[0]} "
            curves += [(f"{label}{name}", it) for name, it in found.items()]
        _write_diffusion(job, results, curves)
        fits = _arrhenius(results)
        if fits:
            _plot_arrhenius(job, results, fits)
        return job.finish({"runs": results, "arrhenius": {name: _fit(it) for name, it in fits.items()}})


def _mean_temperature(motion: Motion) -> float | None:
    if motion.velocities is None:
        return None
    try:
        moving = degrees_of_freedom(motion.atoms, "nve")
    except ConfigError:  # nothing can move
        return None
    energy = np.einsum("fax,a->", motion.velocities**2, motion.atoms.get_masses()) / units.fs**2
    return float(energy / (len(motion.velocities) * moving * units.kB))


def _species(found: Diffusion) -> dict[str, Any]:
    return {
        "atoms": found.atoms,
        "D_cm2_per_s": found.coefficient_cm2_per_s,
        "error_of_D_cm2_per_s": found.error_cm2_per_s,
        **{f"D_{axis}_cm2_per_s": float(it) for axis, it in zip("xyz", found.axes_cm2_per_s, strict=True)},
        **{
            f"error_of_D_{axis}_cm2_per_s": float(it)
            for axis, it in zip("xyz", found.axes_errors_cm2_per_s, strict=True)
        },
        "fit_from_ps": found.fit_fs[0] / 1000,
        "fit_to_ps": found.fit_fs[1] / 1000,
        "exponent": found.exponent,
        "diffuses": _diffuses(found),
    }


def _diffuses(found: Diffusion) -> bool:
    """Whether the displacement grows like diffusion, by more than its error, and beyond what atoms do in their places."""
    like_time = DIFFUSIVE[0] < found.exponent < DIFFUSIVE[1]
    within_fit = found.times_fs <= found.fit_fs[1] + 1e-9
    far = float(found.msd_A2[within_fit].sum(axis=1).max()) >= SMALLEST_MSD
    return like_time and far and found.coefficient_cm2_per_s > 2 * found.error_cm2_per_s


def _conductivity(
    found: Mapping[str, Diffusion], charges: Mapping[str, float], motion: Motion, temperature: float | None
) -> dict[str, float]:
    if temperature is None:
        raise ConfigError("a conductivity needs the temperature: give it (--temperature-K)")
    given = {name: (it.coefficient_cm2_per_s, it.error_cm2_per_s) for name, it in found.items()}
    mean_cell = motion.atoms.copy()
    mean_cell.set_cell(motion.cells.mean(axis=0))
    value, error = conductivity(given, charges, mean_cell, temperature)
    return {"conductivity_S_per_cm": value, "error_of_conductivity_S_per_cm": error}


def _write_diffusion(job: Job, results: Sequence[Mapping[str, Any]], curves: Sequence[tuple[str, Diffusion]]) -> None:
    rows = [
        {"temperature_K": run["temperature_K"], "element": name, **it}
        for run in results
        for name, it in run["species"].items()
    ]
    write_csv(job.file("diffusion.csv"), {key: [row[key] for row in rows] for key in rows[0]})
    columns: dict[str, list[Any]] = {
        "run": [],
        "time_ps": [],
        "msd_A2": [],
        "msd_x_A2": [],
        "msd_y_A2": [],
        "msd_z_A2": [],
    }
    figure, (axes,) = new_figure()
    for number, (label, it) in enumerate(curves):
        columns["run"] += [label] * len(it.times_fs)
        columns["time_ps"] += list(it.times_fs / 1000)
        columns["msd_A2"] += list(it.msd_A2.sum(axis=1))
        for axis, name in enumerate("xyz"):
            columns[f"msd_{name}_A2"] += list(it.msd_A2[:, axis])
        color = COLORS[number % len(COLORS)]
        axes.plot(it.times_fs / 1000, it.msd_A2.sum(axis=1), color=color, linewidth=1.4, label=label)
        low, high = (np.searchsorted(it.times_fs, edge - 1e-9) for edge in it.fit_fs)
        times = it.times_fs[low : high + 1] / 1000
        slope, intercept = np.polyfit(times, it.msd_A2[low : high + 1].sum(axis=1), 1)
        axes.plot(times, slope * times + intercept, color=COLORS[-1], linewidth=1, linestyle="--")
    write_csv(job.file("msd.csv"), columns)
    axes.set(xlabel="time (ps)", ylabel="mean squared displacement (Å²)", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False, title="dashed: fit")
    title(axes, f"{results[0]['formula']}, {'one run' if len(results) == 1 else f'{len(results)} runs'}")
    save(job, figure, "msd")


def _arrhenius(results: Sequence[Mapping[str, Any]]) -> dict[str, Arrhenius]:
    """Of each element that diffuses at three temperatures or more."""
    fits = {}
    for name in results[0]["species"]:
        runs = [run for run in results if run["temperature_K"] and name in run["species"]]
        points = [(run["temperature_K"], run["species"][name]) for run in runs]
        points = [(temperature, it) for temperature, it in points if it["diffuses"]]
        if len({round(temperature) for temperature, _ in points}) >= 3:
            fits[name] = arrhenius(
                [temperature for temperature, _ in points],
                [it["D_cm2_per_s"] for _, it in points],
                [it["error_of_D_cm2_per_s"] for _, it in points],
            )
    return fits


def _fit(fit: Arrhenius) -> dict[str, float]:
    return {
        "activation_energy_eV": fit.activation_energy_eV,
        "error_of_activation_energy_eV": fit.activation_energy_error_eV,
        "D0_cm2_per_s": fit.prefactor_cm2_per_s,
        "error_of_ln_D0": fit.prefactor_log_error,
        "D_at_300_K_cm2_per_s": fit.coefficient(300.0),
        "error_of_ln_D_at_300_K": fit.log_error(300.0),
    }


def _plot_arrhenius(job: Job, results: Sequence[Mapping[str, Any]], fits: Mapping[str, Arrhenius]) -> None:
    figure, (axes,) = new_figure()
    for number, (name, fit) in enumerate(fits.items()):
        runs = [run for run in results if run["temperature_K"]]
        used = [run["species"][name]["diffuses"] for run in runs]
        temperatures = np.array([run["temperature_K"] for run in runs])
        values, errors = (
            np.array([run["species"][name][key] for run in runs]) for key in ("D_cm2_per_s", "error_of_D_cm2_per_s")
        )
        color = COLORS[number % len(COLORS)]
        shown = np.array(used) & (values > 0)
        axes.errorbar(1000 / temperatures[shown], values[shown], errors[shown], fmt="o", color=color, capsize=3)
        line = np.linspace(temperatures[shown].min(), temperatures[shown].max(), 50)
        label = f"{name}: {fit.activation_energy_eV:.3f} ± {fit.activation_energy_error_eV:.3f} eV"
        axes.plot(1000 / line, [fit.coefficient(it) for it in line], color=color, label=label)
    axes.set_yscale("log")
    axes.set(xlabel="1000 / temperature (1/K)", ylabel="diffusion coefficient (cm²/s)")
    axes.legend(frameon=False)
    title(axes, f"{results[0]['formula']}, Arrhenius' law")
    save(job, figure, "arrhenius")
