"""`tribond rdf`, `angles`, `vdos` and `diffusion`: what trajectories say."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.jobs import Task, run_jobs
from tribond.reading.names import split_index, unpacked

Trajectories = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...", help="Trajectories in any format ASE reads; FILE@INDEX takes frames, as in run.traj@100:."
    ),
]
Select = Annotated[
    str | None, typer.Option("--select", metavar="SYMBOLS", help="Elements, with commas in between. [default: all]")
]
Skip = Annotated[float, typer.Option("--skip-ps", min=0.0, metavar="PS", help="Leave out the beginning.")]
Interval = Annotated[
    float | None,
    typer.Option("--frame-interval-fs", metavar="FS", help="Time between frames, where the file does not say."),
]


def rdf(
    files: Trajectories,
    output_folder: options.Folder = None,
    r_max: Annotated[float, typer.Option("--r-max-A", metavar="R", help="Largest distance, Å.")] = 8.0,
    bins: Annotated[int, typer.Option(min=2, metavar="N", help="Bins of distances.")] = 400,
    select: Select = None,
    skip: Skip = 0.0,
    interval: Interval = None,
    restart: options.Restart = False,
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    quiet: options.Quiet = False,
) -> None:
    """Pair distributions g(r) and coordination numbers.

    Each trajectory X.traj gets a folder X_rdf with rdf.csv, coordination.csv, summary.json, and a figure.

    Exit status: 0 all fine, 1 some failed, 2 wrong usage.
    """

    def analyse(names: list[str], folder: Path, common: dict[str, Any]) -> list[str]:
        from tribond.simulation.analyses import rdf_in

        found = rdf_in(folder, names, r_max_A=r_max, bins=bins, **common)
        return [
            f"{name}: highest peak {peak['highest_peak']:.2f} at {peak['highest_peak_A']:.2f} Å"
            for name, peak in found["peaks"].items()
        ]

    _analyse(
        "rdf", files, output_folder, analyse, _common(select, skip, interval, restart, format, elements), quiet=quiet
    )


def angles(
    files: Trajectories,
    cutoff: Annotated[float, typer.Option("--cutoff-A", metavar="R", help="Longest bond, Å.")],
    output_folder: options.Folder = None,
    bins: Annotated[int, typer.Option(min=2, metavar="N", help="Bins from 0 to 180 degrees.")] = 180,
    select: Annotated[
        str | None,
        typer.Option("--select", metavar="SYMBOLS", help="Elements of the atom in the middle. [default: all]"),
    ] = None,
    skip: Skip = 0.0,
    interval: Interval = None,
    restart: options.Restart = False,
    format: options.Format = None,  # noqa: A002
    elements: options.Elements = "",
    quiet: options.Quiet = False,
) -> None:
    """Angles between the bonds of an atom.

    Each trajectory X.traj gets a folder X_angles with angles.csv, summary.json, and a figure.

    Exit status: 0 all fine, 1 some failed, 2 wrong usage.
    """

    def analyse(names: list[str], folder: Path, common: dict[str, Any]) -> list[str]:
        from tribond.simulation.analyses import angles_in

        found = angles_in(folder, names, cutoff_A=cutoff, bins=bins, **common)
        return [
            f"{name}: mean {it['mean_degree']:.1f}°, most frequent {it['most_frequent_degree']:.1f}°, "
            f"{it['angles_per_frame']:.3g} in a frame"
            for name, it in found["angles"].items()
        ]

    _analyse(
        "angles", files, output_folder, analyse, _common(select, skip, interval, restart, format, elements), quiet=quiet
    )


def vdos(
    files: Trajectories,
    output_folder: options.Folder = None,
    segment: Annotated[
        float | None,
        typer.Option(
            "--segment-ps", metavar="PS", help="Averaged segments: longer is sharper and noisier. [default: a quarter]"
        ),
    ] = None,
    select: Select = None,
    skip: Skip = 0.0,
    interval: Interval = None,
    restart: options.Restart = False,
    format: options.Format = None,  # noqa: A002
    elements: options.Elements = "",
    quiet: options.Quiet = False,
) -> None:
    """The spectrum of the velocities: vibrational density of states.

    Each trajectory X.traj gets a folder X_vdos with vdos.csv, summary.json, and a figure.

    Exit status: 0 all fine, 1 some failed, 2 wrong usage.
    """

    def analyse(names: list[str], folder: Path, common: dict[str, Any]) -> list[str]:
        from tribond.simulation.analyses import vdos_in

        found = vdos_in(folder, names, segment_ps=segment, **common)
        text = f"strongest at {found['strongest_frequency_THz']:.2f} THz, resolution {found['resolution_THz']:.2f} THz"
        return [f"{text}, nothing seen above {found['highest_frequency_that_can_be_seen_THz']:.1f} THz"]

    _analyse(
        "vdos", files, output_folder, analyse, _common(select, skip, interval, restart, format, elements), quiet=quiet
    )


def diffusion(
    files: Trajectories,
    output_folder: Annotated[Path, options.output("DIR", "Folder for all results.")] = Path("diffusion"),
    temperature: Annotated[
        str | None,
        typer.Option(
            "--temperature-K",
            metavar="T,...",
            help="Temperature of each trajectory, with commas in between. [default: from the velocities]",
        ),
    ] = None,
    charge: Annotated[
        list[str] | None,
        typer.Option(
            "--charge", metavar="ION", help="Charge of an ion, as in Li=1; repeat it. Gives the conductivity."
        ),
    ] = None,
    fit: Annotated[
        tuple[float, float] | None,
        typer.Option("--fit-ps", metavar="FROM TO", help="Lags of the fit. [default: 10 % to 50 % of a block]"),
    ] = None,
    blocks: Annotated[int, typer.Option(min=2, metavar="N", help="Blocks for the statistical error.")] = 5,
    select: Select = None,
    skip: Skip = 0.0,
    interval: Interval = None,
    restart: options.Restart = False,
    format: options.Format = None,  # noqa: A002
    elements: options.Elements = "",
    quiet: options.Quiet = False,
) -> None:
    """Diffusion coefficients, and over three temperatures or more the activation energy.

    Each trajectory is one temperature. Results go to one folder: diffusion.csv, msd.csv, summary.json, figures.

    Exit status: 0 all fine, 1 failed, 2 wrong usage.
    """
    charges = _charges(charge or [])
    temperatures = (
        None if temperature is None else [_number(part, "--temperature-K") for part in temperature.split(",")]
    )
    common = _common(select, skip, interval, restart, format, elements)

    def work(_: Task[str], folder: Path) -> None:
        from tribond.simulation.diffusion_report import diffusion_in

        with output.quiet_libraries():
            found = diffusion_in(
                folder,
                [[name] for name in files],
                temperatures_K=temperatures,
                charges=charges or None,
                fit_ps=fit,
                blocks=blocks,
                **common,
            )
        if not quiet:
            _print_diffusion(found, folder)

    # All files are one calculation.
    run_jobs(
        [files[0]],
        lambda name: [Task(name if len(files) == 1 else "diffusion", "diffusion", name)],
        work,
        verb="diffusion",
        output_folder=output_folder,
        quiet=quiet,
    )


def _common(
    select: str | None,
    skip: float,
    interval: float | None,
    restart: bool,
    format_name: str | None,
    elements: str,
) -> dict[str, Any]:
    return {
        "symbols": select,
        "skip_ps": skip,
        "interval_fs": interval,
        "restart": restart,
        "options": options.reading(format_name, elements),
    }


def _analyse(
    verb: str,
    files: list[str],
    output_folder: Path | None,
    analyse: Callable[[list[str], Path, dict[str, Any]], list[str]],
    common: dict[str, Any],
    *,
    quiet: bool,
) -> None:
    """One trajectory after the other, each with its folder."""

    def load(name: str) -> Sequence[Task[str]]:
        path = split_index(name)[0]
        return [Task(name, unpacked(path).stem, name)]

    def work(task: Task[str], folder: Path) -> None:
        with output.quiet_libraries():
            lines = analyse([task.payload], folder, common)
        if not quiet:
            terminal = output.console()
            for line in lines:
                terminal.print(line, markup=False)
            terminal.print(f"everything is in {folder}", markup=False)

    run_jobs(files, load, work, verb=verb, output_folder=output_folder, quiet=quiet)


def _charges(given: list[str]) -> dict[str, float]:
    charges = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise typer.BadParameter(f"{text!r} must be an element and its charge, as in Li=1", param_hint="--charge")
        charges[name.strip()] = _number(value, "--charge")
    return charges


def _number(text: str, hint: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number", param_hint=hint) from None


def _print_diffusion(found: dict[str, Any], folder: Path) -> None:
    table = output.plain_table("T (K)", "element", "D (cm²/s)", "error", "exponent", "conductivity (S/cm)")
    still = False
    for run in found["runs"]:
        ions = found["settings"]["charges"] or {}
        conducts = any(it["diffuses"] for name, it in run["species"].items() if name in ions)
        for name, it in run["species"].items():
            conductivity = run.get("conductivity_S_per_cm") if conducts else None
            table.add_row(
                "" if run["temperature_K"] is None else f"{run['temperature_K']:.0f}",
                name,
                f"{it['D_cm2_per_s']:.3g}",
                f"{it['error_of_D_cm2_per_s']:.1g}",
                f"{it['exponent']:.2f}{'' if it['diffuses'] else ' (not diffusive)'}",
                "" if conductivity is None else f"{conductivity:.3g} ± {run['error_of_conductivity_S_per_cm']:.1g}",
            )
            still = still or not it["diffuses"]
    terminal = output.console()
    terminal.print(table)
    for name, fit in found["arrhenius"].items():
        energy, error = fit["activation_energy_eV"], fit["error_of_activation_energy_eV"]
        terminal.print(f"{name}: activation energy {energy:.3f} ± {error:.3f} eV", markup=False)
    terminal.print(f"everything is in {folder}", markup=False)
    if still:
        output.note(
            "what is not diffusive has no diffusion coefficient: displacements of diffusion grow like time (exponent 0.7 to 1.3), "
            "by more than two errors, and to 1 Å² at least, beyond vibrations. Run longer, or fit other lags (--fit-ps)"
        )


rdf_app, angles_app, vdos_app, diffusion_app = (options.verb(it) for it in (rdf, angles, vdos, diffusion))
