"""What a run of dynamics has come to: means with errors, drift, and a figure."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.results.figures import COLORS, GUIDE, new_figure, save_figure, title
from tribond.results.tables import read_csv
from tribond.simulation.blocks import standard_error
from tribond.simulation.stages import Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Table = dict[str, NDArray[np.float64]]
AVERAGED = ("temperature_K", "potential_energy_eV", "total_energy_eV", "pressure_GPa", "volume_A3", "density_g_per_cm3")
MOST_POINTS = 4000  # of a line in the figure; more cannot be seen


def summarize(log: Path, stages: Sequence[Stage], final: Atoms) -> dict[str, Any]:
    """Means of every stage over its second half, with standard errors and fluctuations, and the drift of the energy.

    The first half of a stage is left out: it may still remember what was before.

    Args:
        log: thermo.csv.
        stages: of the run.
        final: the last state.
    """
    table = read_csv(log)
    return {
        "formula": final.get_chemical_formula(),
        "num_atoms": len(final),
        "time_ps": sum(stage.time_fs for stage in stages) / 1000,
        "steps": sum(stage.steps for stage in stages),
        "stages": [_stage(table, number, stage, len(final)) for number, stage in enumerate(stages)],
    }


def _stage(table: Table, number: int, stage: Stage, atoms: int) -> dict[str, Any]:
    rows = {name: column[table["stage"] == number] for name, column in table.items()}
    times = rows["time_fs"]
    found: dict[str, Any] = {"ensemble": stage.ensemble, "time_ps": stage.time_fs / 1000, "rows": len(times)}
    if not stage.ramped:
        late = times >= times[-1] - stage.time_fs / 2 if len(times) else times > 0
        for name in AVERAGED:
            values = rows[name][late]
            values = values[np.isfinite(values)]
            if len(values) >= 2:
                stem, unit = _split(name)
                found[f"mean_{stem}_{unit}"] = float(values.mean())
                found[f"error_of_mean_{stem}_{unit}"] = standard_error(values)
                found[f"std_{stem}_{unit}"] = float(values.std(ddof=1))
    slope = drift(times, rows["conserved_eV"], atoms)
    if slope is not None:
        found["drift_meV_per_atom_ns"], found["error_of_drift_meV_per_atom_ns"] = slope
    return found


def _split(name: str) -> tuple[str, str]:
    for unit in ("g_per_cm3", "eV", "K", "GPa", "A3"):
        if name.endswith(f"_{unit}"):
            return name.removesuffix(f"_{unit}"), unit
    raise ValueError(name)


def drift(times_fs: NDArray[np.float64], energies_eV: NDArray[np.float64], atoms: int) -> tuple[float, float] | None:
    """Slope of the conserved quantity, and its standard error from halves of halves.

    Args:
        times_fs: (rows,).
        energies_eV: (rows,); NaN where there is none.
        atoms: number of atoms.

    Returns:
        In meV per atom and ns; None where too little is known.
    """
    known = np.isfinite(energies_eV)
    times, energies = times_fs[known], energies_eV[known]
    if len(times) < 8:
        return None
    factor = 1000 / atoms * 1e6  # eV/fs -> meV/atom/ns
    slope, intercept = np.polyfit(times - times[0], energies, 1)
    rest = energies - intercept - slope * (times - times[0])
    # Residuals are correlated: as many independent ones as the error of their mean says.
    spread = standard_error(rest) * np.sqrt(12) / np.ptp(times)
    return float(slope * factor), float(spread * factor)


def plot(log: Path, results: Mapping[str, Any], heading: str, png: Path, svg: Path) -> None:
    """Temperature, energy, pressure and volume against time.

    Args:
        log: thermo.csv.
        results: of `summarize`.
        heading: what ran.
        png: where the figure goes.
        svg: and where its second form goes.
    """
    table = read_csv(log)
    every = max(1, len(table["step"]) // MOST_POINTS)
    thin = {name: column[::every] for name, column in table.items()}
    times = thin["time_fs"] / 1000
    atoms = results["num_atoms"]
    crystal = np.isfinite(table["volume_A3"]).any()
    pressure = np.isfinite(table["pressure_GPa"]).any()
    moving_cell = crystal and np.ptp(table["volume_A3"]) > 0
    rows = 2 + int(pressure) + int(moving_cell)
    figure, panels = new_figure(rows, sharex=True, height=1.45 * rows + 0.9)
    _target(panels[0], times, thin["target_temperature_K"])
    _line(panels[0], times, thin["temperature_K"], "temperature (K)", COLORS[1])
    first = thin["total_energy_eV"][0]
    scale = 1000 / atoms
    axes = panels[1]
    axes.plot(times, (thin["total_energy_eV"] - first) * scale, color=COLORS[0], linewidth=0.9, label="total")
    for number, stage in enumerate(results["stages"]):
        mine = (thin["stage"] == number) & np.isfinite(thin["conserved_eV"])
        if stage["ensemble"] != "nve" and mine.any():
            conserved, total = thin["conserved_eV"][mine], thin["total_energy_eV"][mine]
            label = None if axes.get_legend_handles_labels()[1][1:] else "conserved quantity"
            line = (conserved - conserved[0] + total[0] - first) * scale
            axes.plot(times[mine], line, color=COLORS[6], linewidth=0.9, label=label)
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(loc="best", frameon=False)
    axes.set_ylabel("energy from start\n(meV/atom)")
    used = 2
    if pressure:
        _target(panels[used], times, thin["target_pressure_GPa"])
        _line(panels[used], times, thin["pressure_GPa"], "pressure (GPa)", COLORS[2])
        used += 1
    if moving_cell:
        _line(panels[used], times, thin["volume_A3"] / atoms, "volume\n(Å³/atom)", COLORS[3])
    for boundary in np.cumsum([stage["time_ps"] for stage in results["stages"]])[:-1]:
        for axes in panels:
            axes.axvline(boundary, color=GUIDE, linewidth=0.8, linestyle=":")
    panels[-1].set_xlabel("time (ps)")
    panels[-1].set_xlim(0, max(times[-1], 1e-6))
    title(panels[0], f"{heading}: {_heading(results)}")
    save_figure(figure, png, svg)


def _heading(results: Mapping[str, Any]) -> str:
    ensembles = ", ".join(stage["ensemble"] for stage in results["stages"])
    drifts = [stage for stage in results["stages"] if "drift_meV_per_atom_ns" in stage]
    text = f"{ensembles}, {results['time_ps']:g} ps"
    if drifts:
        last = drifts[-1]
        slope, error = last["drift_meV_per_atom_ns"], last["error_of_drift_meV_per_atom_ns"]
        text += f"\ndrift {with_error(slope, error)} meV/atom/ns ({last['ensemble']})"
    return text


def with_error(value: float, error: float) -> str:
    """A number and its error to two digits of the error, without powers of ten where these are needless: -6 ± 150."""
    if not 1e-4 < error < 1e6 or abs(value) >= 1e6:
        return f"{value:.3g} ± {error:.2g}"
    digits = 1 - math.floor(math.log10(error))
    return f"{round(value, digits):.{max(digits, 0)}f} ± {round(error, digits):.{max(digits, 0)}f}"


def _line(axes: "Axes", times: Any, values: Any, label: str, color: str) -> None:
    axes.plot(times, values, color=color, linewidth=0.9)
    axes.set_ylabel(label)
    axes.ticklabel_format(axis="y", useOffset=False)


def _target(axes: "Axes", times: Any, values: Any) -> None:
    if np.isfinite(values).any():
        axes.plot(times, values, color=GUIDE, linestyle="--", linewidth=1, zorder=3, label="target")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), borderaxespad=0.0, frameon=False)  # above the curves
