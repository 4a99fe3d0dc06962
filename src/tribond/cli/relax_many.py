"""`tribond relax` of many structures: one folder, one table, one file of structures."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tribond.cli import many, output
from tribond.cli.structure_files import BadFrame

if TYPE_CHECKING:
    from tribond.cli.many import Collected

MANY = 32  # structures | above, nobody opens four files of each
TABLE = "results.csv"
RELAXED = "relaxed.extxyz"


@dataclass(frozen=True)
class Call:
    """What the command line says.

    Attributes:
        settings: of `tribond.properties.relax.relax`.
        model, device, dtype: the potential.
        folder: for results.
        table, structures: names in it.
        jobs, time_limit_s: see `tribond.screening.many.compute`.
        restart: begin anew.
        quiet: no progress, no summary.
    """

    settings: dict[str, Any]
    model: str
    device: str | None
    dtype: str
    folder: Path
    table: str
    structures: str
    jobs: int | None
    time_limit_s: float
    restart: bool
    quiet: bool


def relax_many(collected: "Collected", call: Call) -> None:
    """Relax all structures, and write what came out.

    Raises:
        typer.Exit: 1 if some failed or did not converge; 130 or 143 if interrupted.
    """
    import tribond
    from tribond.integrations.describe import describe_calculator
    from tribond.interrupt import Interrupted
    from tribond.results.job import open_job
    from tribond.results.schema import RELAXED as COLUMNS
    from tribond.results.schema import SCHEMA
    from tribond.screening.many import entries as keyed
    from tribond.screening.works import Model, Relax

    potential = output.load_force_field(call.model, call.device, call.dtype)  # once here, to see that it can be loaded
    model = describe_calculator(tribond.Calculator(potential))
    device = str(potential.device)
    entries = keyed(collected.structures)
    if not call.quiet:
        many.print_notes(collected.notes)
    if all(entry.error is not None for entry in entries):
        for label, frame in collected.frames:
            if isinstance(frame, BadFrame):
                output.report(frame.error, label)
        raise typer.Exit(output.FAILED)
    try:
        with open_job(call.folder, "relax", call.settings, {}, model=model, restart=call.restart) as job:
            results = job.file(call.table), job.file(call.structures)  # now: are these of somebody else?
            work = Relax(Model(call.model, call.dtype, device), tuple(sorted(call.settings.items())))
            store, progress = many.run(
                job,
                entries,
                work,
                verb="relaxing",
                jobs=call.jobs,
                device=device,
                time_limit_s=call.time_limit_s,
                quiet=call.quiet,
            )
            about = {"verb": "relax", "tribond": output.version(), "model": model, "settings": call.settings}
            many.write_table(results[0], entries, store, COLUMNS, about)
            many.write_structures(results[1], entries, store)
            job.finish({"schema": SCHEMA, "structures": progress.total, "counts": progress.counts})
    except Interrupted as interruption:
        output.note(f"interrupted; the same command goes on, everything so far is in {call.folder}")
        raise typer.Exit(128 + interruption.signal) from interruption
    if not call.quiet:
        many.print_summary(entries, store, progress)
        many.note_others(entries, store)
        output.console().print(
            f"wrote {call.table}, {call.structures}, {many.STORE} and summary.json in {call.folder}",
            markup=False,
            soft_wrap=True,
        )
    if progress.counts.get("converged", 0) < progress.total:
        raise typer.Exit(output.FAILED)


def default_folder(files: list[str]) -> Path:
    """X_relax beside a single folder, archive or file X; otherwise ./relaxed."""
    from tribond.reading.names import split_index

    if len(files) == 1 and not set(files[0]) & set("*?["):
        path = split_index(files[0])[0]
        stem = path.name.split(".")[0] or path.resolve().name
        return path.parent / f"{stem}_relax"
    return Path("relaxed")
