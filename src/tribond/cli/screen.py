"""`tribond screen`: a pipeline for thousands to millions of structures, from one file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tribond.cli import options, output

if TYPE_CHECKING:
    from tribond.interrupt import StopRequest
    from tribond.results.job import Job
    from tribond.screening.engines import Engine
    from tribond.screening.gather import Tally
    from tribond.screening.plan import Plan
    from tribond.screening.prepare import Screening
    from tribond.screening.works import Model

PACKAGES = ("pyarrow", "duckdb", "pydantic", "yaml", "pymatgen")  # of the extra `screen`
REPORT = "report.html"
HERE = "here"  # what --ray alone stands for


class WithRay(TyperCommand):
    """A verb that takes `--ray` with or without an address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: D102, as click has it
        if "--ray" in args:
            place = args.index("--ray") + 1
            if place == len(args) or args[place].startswith("-") or args[place].endswith((".yaml", ".yml")):
                args = [*args[:place], HERE, *args[place:]]
        return super().parse_args(ctx, args)


@dataclass(frozen=True)
class Call:
    """What the command line says.

    Attributes:
        folder: for everything.
        shards: which of them; None: all, and then the results.
        jobs: processes.
        ray: address, HERE, or None.
        restart: begin anew.
        quiet: nothing but notes and errors.
    """

    folder: Path
    shards: slice | None
    jobs: int | None
    ray: str | None
    restart: bool
    quiet: bool


def screen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Sources and steps, in YAML: docs/screen.md.")],
    folder: Annotated[
        Path | None, options.output("DIR", "Folder for everything. [default: FILE without .yaml]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compute up to 50 structures, and say how long all would take.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes. [default: all cores]")] = None,
    shards: Annotated[
        str | None, typer.Option(metavar="A:B", help="Only shards A to B-1, for one of several jobs on one folder.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="[ADDRESS]", help="Compute with Ray: the cluster of ADDRESS, or one found or made here."
        ),
    ] = None,
    device: options.Device = None,
    restart: options.Restart = False,
    quiet: options.Quiet = False,
) -> None:
    """Screen many structures: deduplicate, predict, relax, compare with a hull, filter.

    Writes a table of all, the structures that are kept, report.html and summary.json. The same command goes on after
    whatever stopped it.
    """
    _check_packages()
    from tribond.interrupt import Interrupted
    from tribond.screening.prepare import read

    call = Call(folder or file.with_suffix(""), _range(shards), jobs, ray, restart, quiet)
    options.check_folder(call.folder)
    screening = read(file)
    model, described = _model(screening, device)
    try:
        if dry_run:
            _forecast(screening, model, call)
        else:
            _screen(screening, model, described, call)
    except Interrupted as interruption:
        output.note(f"interrupted; the same command goes on, everything so far is in {call.folder}")
        raise typer.Exit(128 + interruption.signal) from interruption


def _check_packages() -> None:
    from importlib.util import find_spec

    from tribond.errors import TribondError

    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise TribondError(f"this needs {', '.join(missing)}: pip install 'tribond[screen]'")


def _range(text: str | None) -> slice | None:
    if text is None:
        return None
    try:
        low, high = (int(part) if part else None for part in text.split(":"))
        if (low or 0) < 0 or (high is not None and high <= (low or 0)):
            raise ValueError
    except ValueError:
        raise typer.BadParameter(f"{text!r} must be two numbers such as 0:100", param_hint="--shards") from None
    return slice(low, high)


def _model(screening: "Screening", device: str | None) -> "tuple[Model, dict[str, Any] | None]":
    """The potential as processes load it, and what the record says of it."""
    from tribond.screening.works import Model

    settings = screening.settings
    if not settings.needs_model:
        return Model("none"), None
    import tribond
    from tribond.integrations.describe import describe_calculator

    name = settings.model
    if (screening.base / name).exists():  # a file beside the file of the screening
        name = str(screening.base / name)
    elif Path(name).exists():
        name = str(Path(name).resolve())
    potential = output.load_potential(name, device, settings.dtype)
    return Model(name, settings.dtype, str(potential.device)), describe_calculator(tribond.Calculator(potential))


def _engine(call: Call, model: "Model") -> "Engine":
    from tribond.screening.engines import Local
    from tribond.screening.pool import cores

    if call.ray is not None:
        from tribond.screening.ray_engine import Ray

        return Ray(None if call.ray == HERE else call.ray, call.jobs, gpu=model.device != "cpu")
    return Local(call.jobs or (cores() if model.device == "cpu" else 1))


def _screen(screening: "Screening", model: "Model", described: dict[str, Any] | None, call: Call) -> None:
    from tribond.interrupt import stop_requests

    engine = _engine(call, model)
    with stop_requests("this second") as request:
        with _job(screening, described, call, request, restart=call.restart) as job:
            if job.finished and call.shards is None:
                _show_again(job, call)
                return
            plan = _planned(job, screening, model, engine, call, request)
        wanted = range(len(plan.sizes))[call.shards or slice(None)]
        _compute(plan, engine, wanted, request, call, "screening")
        if call.shards is not None:
            _tell_of_shards(plan, wanted, len(plan.missing()), call)
            return
        while plan.missing():
            _wait(plan, request)
            _compute(plan, engine, wanted, request, call, "screening")
        with _job(screening, described, call, request, restart=False) as job:
            tally = _finish(job, plan, described)
    if not call.quiet:
        _show(tally, plan, job)
    if tally.counts["failed"] == tally.rows:
        raise typer.Exit(output.FAILED)


def _wait(plan: "Plan", request: "StopRequest") -> None:
    """Until a shard that another process was at work on is free, or done."""
    import time

    from tribond.screening.shard import is_busy

    output.note(f"waiting for {len(plan.missing())} shards that other processes are at work on")
    while (missing := plan.missing()) and all(is_busy(plan, number) for number in missing):
        request.obey()
        time.sleep(1.0)


@contextmanager
def _job(
    screening: "Screening", described: dict[str, Any] | None, call: Call, request: "StopRequest", *, restart: bool
) -> "Iterator[Job]":
    """The folder, held by one process at a time; jobs of one folder wait for the one that makes the plan."""
    from filelock import FileLock, Timeout

    from tribond.results.job import open_job
    from tribond.screening.prepare import record

    call.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(call.folder / ".planning.lock")
    while not lock.is_locked:
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            request.obey()
    try:
        inputs = screening.inputs()
        with open_job(
            call.folder, "screen", record(screening.settings), inputs, model=described, restart=restart
        ) as job:
            yield job
    finally:
        lock.release()


def _planned(
    job: "Job", screening: "Screening", model: "Model", engine: "Engine", call: Call, request: "StopRequest"
) -> "Plan":
    """The plan, and the references."""
    from tribond.cli import live
    from tribond.screening import plan as plans
    from tribond.screening.prepare import make_plan, make_references

    settings = screening.settings
    for name in (plans.PLAN, plans.INPUTS, plans.SHARDS, plans.WORKING, ".planning", "references"):
        job.file(name)
    for name in (settings.results, settings.structures, REPORT):
        if name not in {"column", "none"}:
            job.file(name)

    with live.live("reading", quiet=call.quiet) as tell, output.quiet_libraries():

        def told(number: int) -> None:
            request.obey()
            if number % 100 == 0:
                tell(live.Progress(number, None, f"{number} structures"))

        plan = make_plan(call.folder, screening, model, told)
    notes = make_references(
        plan,
        screening,
        lambda it: _compute(it, engine, range(len(it.sizes)), request, call, "references"),
    )
    for text in notes:
        output.note(text)
    return plan


def _compute(plan: "Plan", engine: "Engine", wanted: range, request: "StopRequest", call: Call, title: str) -> None:
    """All wanted shards, under one's eyes."""
    from tribond.cli.screen_view import State, watched
    from tribond.screening.columns import best_by
    from tribond.screening.engines import run
    from tribond.screening.gather import tally
    from tribond.screening.progress import Pulse
    from tribond.screening.shard import read_summary

    found, pulse = tally(plan), Pulse(plan)
    total = sum(plan.sizes[number] for number in wanted)
    for number in wanted:
        if plan.shard(number).exists():
            found.add(read_summary(plan.shard(number)))
    before = found.rows + pulse.rows()
    rank = best_by(plan.settings.steps, plan.settings.rank_by)
    with watched(quiet=call.quiet) as tell:

        def waiting() -> None:
            request.obey()
            tell(State(title, found, pulse.rows(), total, before, rank))

        for summary in run(plan, engine, wanted, waiting):
            if not summary.busy:
                found.add(summary)


def _finish(job: "Job", plan: "Plan", described: dict[str, Any] | None) -> "Tally":
    """Table, structures, report and summary."""
    from tribond.results.schema import SCHEMA
    from tribond.screening.gather import tally_of, write_results, write_structures

    settings = plan.settings
    found = tally_of(plan)
    about = {"verb": "screen", "tribond": output.version(), "model": described, "settings": job.settings}
    write_results(plan, job.file(settings.results), about)
    if settings.structures not in {"column", "none"}:
        with output.quiet_libraries():
            write_structures(plan, job.file(settings.structures))
    _report(job, plan, found, described)
    job.finish(
        {
            "schema": SCHEMA,
            "structures": found.rows,
            "shards": len(plan.sizes),
            "counts": dict(found.counts),
            "failures": dict(found.failures),
            "core_seconds": found.seconds,
        }
    )
    return found


def _report(job: "Job", plan: "Plan", tally: "Tally", described: dict[str, Any] | None) -> None:
    from tribond.screening.report import write_report

    about = {
        "sources": "; ".join(f"{it.kind} {', '.join(it.names)}" for it in plan.settings.sources),
        "tribond": output.version(),
    }
    if described is not None:
        about["model"] = f"{described['name']} in {described['dtype']}, weights {described['weights_sha256'][:16]}"
    write_report(plan, tally, job.file(REPORT), title=f"Screening {job.folder.resolve().name}", about=about)


def _show(tally: "Tally", plan: "Plan", job: "Job") -> None:
    from tribond.cli.screen_view import best_table, counts_table
    from tribond.screening.columns import best_by

    terminal = output.console()
    terminal.print(counts_table(tally))
    if tally.best:
        terminal.print()
        terminal.print(best_table(tally.best, best_by(plan.settings.steps, plan.settings.rank_by)))
    names = [plan.settings.results, plan.settings.structures, REPORT, "summary.json"]
    written = [name for name in names if (job.folder / name).is_file()]
    terminal.print(f"\nwrote {', '.join(written)} in {job.folder}", markup=False, soft_wrap=True)


def _show_again(job: "Job", call: Call) -> None:
    from tribond.screening.gather import tally_of
    from tribond.screening.plan import load

    if not call.quiet:
        plan = load(call.folder)
        _show(tally_of(plan), plan, job)


def _tell_of_shards(plan: "Plan", wanted: range, missing: int, call: Call) -> None:
    if not call.quiet:
        here = len(plan.missing(wanted))
        text = f"{len(wanted) - here} of the {len(wanted)} shards asked for are there, {missing} of all {len(plan.sizes)} are missing"
        last = "" if missing else "; the same command without --shards writes the results"
        output.console().print(f"{text}{last}", markup=False, soft_wrap=True)


def _forecast(screening: "Screening", model: "Model", call: Call) -> None:
    """What all would cost; nothing is written."""
    import torch

    from tribond.cli import live
    from tribond.interrupt import stop_requests
    from tribond.screening.forecast import SAMPLE, forecast
    from tribond.screening.pool import cores

    torch.set_num_threads(1)  # as in the processes of a pool
    jobs = call.jobs or cores()
    screening.inputs()  # that all names stand for something
    with (
        live.live("forecast", quiet=call.quiet) as tell,
        output.quiet_libraries(),
        stop_requests("this structure") as request,
    ):

        def told(number: int) -> None:
            request.obey()
            tell(live.Progress(number, None, f"structure {number}"))

        found = forecast(screening, model, jobs, told)
    terminal = output.console()
    terminal.print(
        f"structures           {found.total}, of which {found.unreadable} cannot be read; the largest has {found.largest} atoms"
    )
    terminal.print(
        f"computed now         {found.sampled} of at most {SAMPLE}: {found.kept} kept, {found.failed} failed"
    )
    terminal.print(f"time for one         {found.seconds:.3g} ± {found.error:.1g} s of one core")
    whole = live.duration(3600 * found.hours)
    terminal.print(
        f"all of them          {found.hours:.3g} ± {found.hours_error:.1g} h ({whole}) on {jobs} cores like these"
    )
    terminal.print(
        f"memory               {found.memory_GB:.2g} GB for each of {jobs} processes, {found.memory_GB * jobs:.2g} GB in all"
    )
    if found.left_out:
        terminal.print(
            f"not in it            {', '.join(found.left_out)}: what they cost and leave depends on all structures"
        )


app = options.group()
app.command(cls=WithRay)(screen)
