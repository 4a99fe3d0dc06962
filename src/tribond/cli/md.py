"""`tribond md`: molecular dynamics from files, watched live, that goes on where it stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.jobs import Task, load_calculator, run_jobs, structures
from tribond.cli.live import Progress, live
from tribond.cli.md_notes import tell_cell
from tribond.cli.md_stages import planned_stages
from tribond.cli.structure_files import Frame

if TYPE_CHECKING:
    from tribond.simulation.guards import Guards
    from tribond.simulation.run import Moment

STAGE_HELP = (
    "A stage as SETTING=VALUE,... such as ensemble=npt,temperature_K=300:1200,time_ps=20; repeat it for one after the "
    "other. What a stage does not say is taken from the options."
)


def md(
    files: options.Structures,
    output_folder: options.Folder = None,
    index: options.Index = None,
    ensemble: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="nve, nvt-langevin, nvt-bussi, nvt-nose-hoover, nvt-berendsen, npt-isotropic, npt-full or "
            "npt-berendsen. [default: nvt-bussi]",
        ),
    ] = None,
    temperature: Annotated[
        str | None, typer.Option("--temperature-K", metavar="T", help="Temperature, or a ramp such as 300:1200.")
    ] = None,
    pressure: Annotated[
        str | None,
        typer.Option("--pressure-GPa", metavar="P", help="Pressure of npt ensembles, or a ramp. [default: 0]"),
    ] = None,
    time: Annotated[float | None, typer.Option("--time-ps", metavar="PS", help="How long, ps.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", help="How long, in steps.")] = None,
    timestep: Annotated[
        float | None,
        typer.Option(
            "--timestep-fs", metavar="FS", help="Time step. [default: from the lightest atom, 0.5 with H to 2]"
        ),
    ] = None,
    friction: Annotated[
        float | None, typer.Option("--friction-per-ps", metavar="RATE", help="Of nvt-langevin. [default: 2]")
    ] = None,
    thermostat: Annotated[
        float | None,
        typer.Option("--thermostat-fs", metavar="FS", help="Time in which thermostats act. [default: 100]"),
    ] = None,
    barostat: Annotated[
        float | None, typer.Option("--barostat-fs", metavar="FS", help="Time in which barostats act. [default: 1000]")
    ] = None,
    stage: Annotated[list[str] | None, typer.Option("--stage", metavar="STAGE", help=STAGE_HELP)] = None,
    stages: Annotated[
        Path | None, typer.Option("--stages", metavar="FILE", help="A YAML file with a list of stages (docs/md.md).")
    ] = None,
    repeat: Annotated[
        tuple[int, int, int] | None, typer.Option(metavar="NA NB NC", help="Repeat the cell along a, b and c.")
    ] = None,
    min_length: Annotated[
        float | None,
        typer.Option("--min-length-A", metavar="LENGTH", help="Repeat the cell until it is at least so wide, Å."),
    ] = None,
    velocities: Annotated[
        str, typer.Option(metavar="WHICH", help="new, keep (those of the input), or auto: keep if there are some.")
    ] = "auto",
    replicas: Annotated[
        int, typer.Option(min=1, metavar="N", help="Independent runs, with the seeds SEED, SEED+1, ...")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, metavar="SEED", help="Of velocities and thermostats.")] = 0,
    trajectory: Annotated[
        str, typer.Option(metavar="FORMAT", help="traj, extxyz, or nc: compact, without velocities.")
    ] = "traj",
    trajectory_interval: Annotated[
        float, typer.Option("--trajectory-interval-fs", metavar="FS", help="Time between frames.")
    ] = 50.0,
    log_interval: Annotated[
        float, typer.Option("--log-interval-fs", metavar="FS", help="Time between rows of the log.")
    ] = 10.0,
    max_temperature: Annotated[
        float | None,
        typer.Option(
            "--max-temperature-K", metavar="T", help="Stop when it is hotter. [default: ten times the target, >= 3000]"
        ),
    ] = None,
    max_force_spread: Annotated[
        float | None,
        typer.Option(
            "--max-force-spread-eV-per-A",
            metavar="X",
            help="Of ensembles: by how much their members may disagree about the force on an atom, eV/Å.",
        ),
    ] = None,
    on_spread: Annotated[
        str,
        typer.Option(metavar="WHAT", help="Beyond: stop, or save the frames to uncertain.extxyz and go on."),
    ] = "stop",
    checkpoint_interval: Annotated[
        float, typer.Option("--checkpoint-interval-s", min=0.0, metavar="S", help="Real time between checkpoints.")
    ] = 60.0,
    restart: options.Restart = False,
    model: options.Model = "default",
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    device: options.Device = None,
    dtype: options.Dtype = options.Precision.FLOAT32,
    quiet: options.Quiet = False,
) -> None:
    """Run molecular dynamics.

    Each input X.cif gets a folder X_md (or the one named with -o): thermo.csv (temperature, energy, pressure, ...),
    trajectory.traj, final.extxyz, summary.json, and a figure md.png and md.svg.

    The same command goes on where it stopped, after Ctrl-C, a crash or kill -9, to the same trajectory bit for bit.

    With an ensemble (-m ensemble.json) the log has the spread of energy and forces, and the run may stop, or save frames,
    where its members disagree.

    Exit status: 0 all fine, 1 some failed, 2 wrong usage, 130 or 143 interrupted.
    """
    reading = options.reading(format, elements)
    common = {
        "ensemble": ensemble,
        "temperature_K": temperature,
        "pressure_GPa": pressure,
        "time_ps": time,
        "steps": steps,
        "timestep_fs": timestep,
        "friction_per_ps": friction,
        "thermostat_fs": thermostat,
        "barostat_fs": barostat,
    }
    planned = planned_stages({key: value for key, value in common.items() if value is not None}, stage or [], stages)
    guards = _guards(planned, max_temperature, max_force_spread, on_spread)
    calculator = load_calculator(model, device, dtype)
    settings: dict[str, Any] = {
        "repeat": repeat,
        "min_length_A": min_length,
        "velocities": velocities,
        "trajectory": trajectory,
        "trajectory_interval_fs": trajectory_interval,
        "log_interval_fs": log_interval,
        "checkpoint_interval_s": checkpoint_interval,
        "restart": restart,
    }

    def work(task: Task[Frame], folder: Path) -> None:
        from tribond.simulation.md import run_md

        tell_cell(task.payload.atoms, planned, repeat, min_length)
        for number in range(replicas):
            label = task.label if replicas == 1 else f"{task.label}, replica {number + 1}"
            target = folder if replicas == 1 else folder / f"replica-{number + 1}"
            with live(label, quiet=quiet) as tell, output.quiet_libraries():
                summary = run_md(
                    task.payload.atoms,
                    calculator,
                    target,
                    planned,
                    seed=seed + number,
                    guards=guards,
                    name=task.label,
                    on_step=_teller(tell),
                    **settings,
                )
            if not quiet:
                _print(label, summary, target)

    run_jobs(files, structures(index, reading), work, verb="md", output_folder=output_folder, quiet=quiet)


# `tribond` finds the verb here without importing this file for its help.
app = options.verb(md)


def _guards(
    planned: list[dict[str, Any]], max_temperature_K: float | None, max_force_spread: float | None, on_spread: str
) -> "Guards | None":
    from tribond.simulation.guards import Guards, default_guards
    from tribond.simulation.stages import pair

    if max_force_spread is None:
        if on_spread != "stop":
            raise typer.BadParameter("it needs --max-force-spread-eV-per-A", param_hint="--on-spread")
        return None if max_temperature_K is None else Guards(max_temperature_K=max_temperature_K)
    hottest = [max(pair("temperature_K", it["temperature_K"])) for it in planned if it.get("temperature_K") is not None]
    changes: dict[str, Any] = {"max_force_spread_eV_per_A": max_force_spread, "on_spread": on_spread}
    if max_temperature_K is not None:
        changes["max_temperature_K"] = max_temperature_K
    return replace(default_guards(hottest), **changes)


def _teller(tell: Callable[[Progress], None]) -> Callable[["Moment"], None]:
    return lambda moment: tell(_progress(moment))


def _progress(moment: "Moment") -> Progress:
    """The live view of a run."""
    values = moment.values
    parts = [
        f"{values['time_fs'] / 1000:.2f} ps",
        f"{values['temperature_K']:.0f} K",
        f"{values['total_energy_eV']:.3f} eV",
    ]
    if values.get("pressure_GPa") is not None:
        parts.append(f"{values['pressure_GPa']:.2f} GPa")
    if values.get("density_g_per_cm3") is not None:
        parts.append(f"{values['density_g_per_cm3']:.3f} g/cm³")
    if values.get("max_force_spread_eV_per_A") is not None:
        parts.append(f"spread {values['max_force_spread_eV_per_A']:.3f} eV/Å")
    parts.append(f"{moment.ns_per_day:.3g} ns/day")
    return Progress(moment.step, moment.steps, "  ".join(parts))


def _print(label: str, summary: dict[str, Any], folder: Path) -> None:
    """One line a stage."""
    from tribond.simulation.md_report import with_error

    columns = ("ensemble", "ps", "T (K)", "P (GPa)", "volume (Å³)", "drift (meV/atom/ns)")
    table = output.plain_table("structure", *columns, right=columns[1:])
    for stage in summary["stages"]:
        table.add_row(
            output.shown(label),
            stage["ensemble"],
            f"{stage['time_ps']:g}",
            _with_error(stage, "temperature_K", 0),
            _with_error(stage, "pressure_GPa", 2),
            _with_error(stage, "volume_A3", 1),
            with_error(stage["drift_meV_per_atom_ns"], stage["error_of_drift_meV_per_atom_ns"])
            if "drift_meV_per_atom_ns" in stage
            else "",
        )
    terminal = output.console()
    terminal.print(table)
    terminal.print(f"means are over the second half of each stage; everything is in {folder}", markup=False)
    if any("mean_temperature_K" not in stage for stage in summary["stages"]):
        terminal.print("ramps, and stages of too few rows of the log, have no means", markup=False)
    if (beyond := summary.get("steps_beyond_max_force_spread")) is not None:
        saved = summary["frames_in_uncertain_extxyz"]
        terminal.print(
            f"{output.count(beyond, 'step')} beyond the bound on the spread of forces, "
            f"{output.count(saved, 'frame')} of them in uncertain.extxyz; the largest spread is "
            f"{summary['largest_force_spread_eV_per_A']:.3g} eV/Å",
            markup=False,
        )


def _with_error(stage: dict[str, Any], name: str, digits: int) -> str:
    if f"mean_{name}" not in stage:
        return ""
    return f"{stage[f'mean_{name}']:.{digits}f} ± {stage[f'error_of_mean_{name}']:.{digits}f}"
