"""`tribond screen`: a pipeline for thousands to millions of structures, from one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tribond.cli import options, output
from tribond.cli.screen_run import HERE, Call, run_screening

if TYPE_CHECKING:
    from tribond.screening.prepare import Screening
    from tribond.screening.works import Model

PACKAGES = ("pyarrow", "duckdb", "pydantic", "yaml", "pymatgen")  # of the extra `screen`


class WithRay(TyperCommand):
    """A verb that takes `--ray` with or without an address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: D102, as click has it
        if "--ray" in args:
            place = args.index("--ray") + 1
            if place == len(args) or args[place].startswith("-") or args[place].endswith((".yaml", ".yml")):
                args = [*args[:place], HERE, *args[place:]]
        return super().parse_args(ctx, args)


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
            run_screening(screening, model, described, call)
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
    potential = output.load_force_field(name, device, settings.dtype)
    return Model(name, settings.dtype, str(potential.device)), describe_calculator(tribond.Calculator(potential))


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
