"""What the verbs of properties share: their options, their folder, and what they show at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import jobs, options, output
from tribond.cli.live import Progress, live
from tribond.cli.structure_files import Frame

if TYPE_CHECKING:
    from ase import Atoms
    from rich.table import Table

    from tribond.properties.work import Work
    from tribond.results.job import Job

PIECES = "steps"  # folder of what is done of a calculation; removed at its end

Fmax = Annotated[float, typer.Option("--fmax", min=1e-8, metavar="EV_PER_A", help="Of relaxations, eV/Å.")]
AsGiven = Annotated[
    bool, typer.Option("--as-given", help="Take the structure as it is, without relaxing atoms and cell first.")
]
Double = Annotated[
    options.Precision, typer.Option("--dtype", help="Precision of the model; float64 for small differences.")
]


@dataclass(frozen=True)
class Call:
    """One call of a verb: what all of them are told.

    Attributes:
        verb: its name.
        files: inputs.
        settings: that results depend on.
        model: name or path.
        device: what it runs on.
        dtype: its precision.
        output_folder: see `jobs.run_jobs`.
        index: frames of each file.
        format: of the files.
        elements: of LAMMPS files.
        restart: begin anew.
        quiet: nothing but notes and errors.
    """

    verb: str
    files: list[str]
    settings: Mapping[str, Any]
    model: str
    device: str | None
    dtype: str
    output_folder: Path | None
    index: str | None
    format: str | None
    elements: str
    restart: bool
    quiet: bool


@dataclass(frozen=True)
class Input:
    """What a verb computes from: the structure, the calculator and the pieces done so far."""

    job: "Job"
    label: str
    structures: "tuple[Atoms, ...]"
    calculator: Any
    work: "Work"

    @property
    def atoms(self) -> "Atoms":
        """The structure of verbs that take one."""
        return self.structures[0]


def run(
    call: Call, compute: Callable[[Input], Mapping[str, Any]], tell: Callable[[dict[str, Any]], "list[Table | str]"]
) -> None:
    """Compute a property of each structure.

    Args:
        call: what the user said.
        compute: computes it, writes tables and figures as files of the job, and returns the results of the summary.
        tell: tables and lines for the terminal, from a summary.

    Raises:
        typer.Exit: as `jobs.run_jobs` has it, and 1 where a summary says that it is not converged.
    """
    if call.output_folder is not None:
        options.check_folder(call.output_folder)
    load = jobs.structures(call.index, options.reading(call.format, call.elements))
    calculator = jobs.load_calculator(call.model, call.device, call.dtype)
    converged: list[bool] = []

    def work(task: jobs.Task[Frame], folder: Path) -> None:
        inputs = {task.payload.path.name: task.payload.atoms}
        summary = run_task(call, task.label, inputs, folder, calculator, compute)
        converged.append(summary.get("converged", True))
        if not call.quiet:
            show(task.label, folder, summary, tell)

    jobs.run_jobs(call.files, load, work, verb=call.verb, output_folder=call.output_folder, quiet=call.quiet)
    if not all(converged):
        raise typer.Exit(output.FAILED)


def run_task(
    call: Call,
    label: str,
    structures: "Mapping[str, Atoms]",
    folder: Path,
    calculator: Any,
    compute: Callable[[Input], Mapping[str, Any]],
) -> dict[str, Any]:
    """Compute in a folder, or find there what was computed before.

    Args:
        call: what the user said.
        label: of messages.
        structures: inputs by name.
        folder: of the job.
        calculator: to compute with.
        compute: does it, see `run`.

    Returns:
        The summary.
    """
    import shutil

    from tribond.integrations.describe import describe_calculator
    from tribond.interrupt import stop_requests
    from tribond.properties.work import Work
    from tribond.results.job import open_job
    from tribond.results.record import fingerprint

    inputs = {name: fingerprint(atoms) for name, atoms in structures.items()}
    model = describe_calculator(calculator)
    with open_job(folder, call.verb, call.settings, inputs, model=model, restart=call.restart) as job:
        if job.finished:
            output.note(f"{folder} holds the results of this calculation already; --restart computes them anew")
            return job.summary()
        pieces = job.file(PIECES)
        with (
            live(label, quiet=call.quiet) as tell,
            stop_requests("this piece of work") as request,
            output.quiet_libraries(),
        ):

            def on_progress(done: float, total: float | None, state: str) -> None:
                tell(Progress(done, total, state))
                request.obey()

            results = compute(Input(job, label, tuple(structures.values()), calculator, Work(pieces, on_progress)))
        shutil.rmtree(pieces, ignore_errors=True)  # all that is worth keeping is written
        return job.finish(results)


def show(
    label: str, folder: Path, summary: dict[str, Any], tell: Callable[[dict[str, Any]], "list[Table | str]"]
) -> None:
    """Print what came out.

    Args:
        label: of the input.
        folder: where the files are.
        summary: of the job.
        tell: tables and lines from it.
    """
    terminal = output.console()
    terminal.print(f"[bold]{output.shown(label)}[/]: {output.shown(str(summary.get('formula', '')))}", soft_wrap=True)
    for part in tell(summary):
        if isinstance(part, str):
            terminal.print(part, markup=False, soft_wrap=True)
        else:
            terminal.print(part)
    files = ", ".join([*summary["outputs"], "summary.json"])
    terminal.print(f"wrote {files} in {folder}", markup=False, soft_wrap=True)


def save_structure(job: "Job", name: str, *frames: "Atoms") -> None:
    """Write structures as extxyz, whole or not at all."""
    from ase.io import write

    from tribond.files import atomic_path

    with atomic_path(job.file(name)) as temporary:
        write(str(temporary), list(frames), format="extxyz")
