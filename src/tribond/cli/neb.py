"""`tribond neb`: the barrier between two minima."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import jobs, options, output
from tribond.cli.property_jobs import Call, Double, Fmax, Input, run_task, save_structure, show
from tribond.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table


def neb(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="One end: a structure, or FILE@INDEX.")],
    last: Annotated[str, typer.Argument(metavar="LAST", help="The other one: the same atoms, order and cell.")],
    images: Annotated[int, typer.Option(metavar="N", help="Images between the ends.")] = 7,
    no_climb: Annotated[bool, typer.Option("--no-climb", help="The highest image does not climb.")] = False,
    fixed_ends: Annotated[
        bool, typer.Option("--fixed-ends", help="Take the ends as they are, without relaxing their atoms first.")
    ] = False,
    fmax: Fmax = 0.02,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Give up after so many steps of the band.")] = 500,
    output_folder: options.Folder = None,
    restart: options.Restart = False,
    model: options.Model = "default",
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    device: options.Device = None,
    dtype: Double = options.Precision.FLOAT64,
    quiet: options.Quiet = False,
) -> None:
    """Barrier between two minima: climbing-image nudged elastic band.

    Starts from an IDPP path; all images are evaluated in one batch. Writes path.extxyz, path.csv, neb.png, neb.svg and
    summary.json, by default into FIRST_neb beside FIRST.

    Exit status: 0 converged, 1 failed or not converged, 2 wrong usage.
    """
    settings = {
        "images": images,
        "climb": not no_climb,
        "relax_ends": not fixed_ends,
        "fmax_eV_per_A": fmax,
        "steps": steps,
    }
    call = Call(
        "neb", [first, last], settings, model, device, dtype, output_folder, None, format, elements, restart, quiet
    )
    if output_folder is not None:
        options.check_folder(output_folder)
    load_frame = jobs.structures(None, options.reading(format, elements))
    converged: list[bool] = []
    calculator = jobs.load_calculator(model, device, dtype)

    def load(name: str) -> list[jobs.Task[Any] | jobs.BadTask]:
        ends = []
        for end in (name, last):
            frames = load_frame(end)
            if len(frames) != 1:
                raise ConfigError(f"{end} names {len(frames)} structures; an end is one, such as {end}@0")
            if isinstance(frames[0], jobs.BadTask):
                return [frames[0]]
            ends.append(frames[0])
        start, target = ends
        return [jobs.Task(f"{start.label} to {target.label}", start.stem, (start.payload, target.payload))]

    def work(task: jobs.Task[Any], folder: Path) -> None:
        frames = task.payload
        inputs = {f"{end} {frame.path.name}": frame.atoms for end, frame in zip(("first", "last"), frames, strict=True)}
        summary = run_task(call, task.label, inputs, folder, calculator, _compute)
        converged.append(summary["converged"])
        if not quiet:
            show(task.label, folder, summary, _show)

    jobs.run_jobs([first], load, work, verb="neb", output_folder=output_folder, quiet=quiet)
    if not all(converged):
        raise typer.Exit(output.FAILED)


def _compute(given: Input) -> dict[str, Any]:
    from tribond.properties.neb import band
    from tribond.results.figures import save_figure
    from tribond.results.tables import write_csv

    first, last = given.structures
    found = band(first, last, given.calculator, work=given.work, **given.job.settings)
    save_structure(given.job, "path.extxyz", *found.images)
    write_csv(given.job.file("path.csv"), found.columns())
    save_figure(found.figure(given.label), given.job.file("neb.png"), given.job.file("neb.svg"))
    return found.summary()


def _show(summary: dict[str, Any]) -> "list[Table | str]":
    word = "converged" if summary["converged"] else "NOT converged"
    return [
        f"{word} after {summary['steps']} steps (fmax {summary['fmax_eV_per_A']:.4f} eV/Å)",
        (
            f"barrier {summary['barrier_eV']:.4f} eV, backwards {summary['reverse_barrier_eV']:.4f} eV, reaction energy "
            f"{summary['reaction_energy_eV']:.4f} eV"
        ),
    ]


app = options.verb(neb)
