"""One call of `tribond screen`: the plan, the shards under one's eyes, the results, and what is shown of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tribond.cli import output

if TYPE_CHECKING:
    from tribond.interrupt import StopRequest
    from tribond.results.job import Job
    from tribond.screening.engines import Engine
    from tribond.screening.gather import Tally
    from tribond.screening.plan import Plan
    from tribond.screening.prepare import Screening
    from tribond.screening.works import Model

REPORT = "report.html"
HERE = "here"  # what --ray alone stands for


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


def _engine(call: Call, model: "Model") -> "Engine":
    from tribond.screening.engines import Local
    from tribond.screening.pool import cores

    if call.ray is not None:
        from tribond.screening.ray_engine import Ray

        return Ray(None if call.ray == HERE else call.ray, call.jobs, gpu=model.device != "cpu")
    return Local(call.jobs or (cores() if model.device == "cpu" else 1))


def run_screening(screening: "Screening", model: "Model", described: dict[str, Any] | None, call: Call) -> None:
    """Compute what is missing, and write what came of it.

    Args:
        screening: as its file says it.
        model: as processes load it.
        described: what the record says of it; None where nothing is computed with one.
        call: what the command line says.

    Raises:
        typer.Exit: 1 if everything failed.
        Interrupted: by Ctrl-C or SIGTERM; what is done is kept.
        ConfigError: if the folder holds another screening, or a source stands for nothing.
    """
    from tribond.interrupt import stop_requests

    engine = _engine(call, model)
    inputs = screening.inputs()
    with stop_requests("this second") as request:
        with _job(screening, inputs, described, call, request, restart=call.restart) as job:
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
        with _job(screening, inputs, described, call, request, restart=False) as job:
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
    screening: "Screening",
    inputs: dict[str, str],
    described: dict[str, Any] | None,
    call: Call,
    request: "StopRequest",
    *,
    restart: bool,
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
    from tribond.screening.report import far_below_hull

    terminal = output.console()
    terminal.print(counts_table(tally))
    if tally.best:
        terminal.print()
        terminal.print(best_table(tally.best, best_by(plan.settings.steps, plan.settings.rank_by)))
    if (warning := far_below_hull(plan)) is not None:
        output.note(warning)
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
