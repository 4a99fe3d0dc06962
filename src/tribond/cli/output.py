"""What the verbs share: the terminal, messages and the model."""

import os
import sys
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tribond.errors import TribondError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tribond.models.ensemble import Ensemble
    from tribond.models.potential import Potential
    from tribond.models.property_model import PropertyModel
    from tribond.models.trained_model import TrainedModel

FAILED = 1  # exit status: some input failed or did not converge
USAGE = 2  # exit status: the command line makes no sense
WIDTH_OF_A_PIPE = 200  # columns of a table that goes into a file


# ---------------------------------------------------------------------------------------------- the terminal


def console(*, stderr: bool = False) -> "Console":
    """Standard output, or standard error for everything that is not the result."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else WIDTH_OF_A_PIPE)


def plain_table(*columns: str, right: Collection[str] = ()) -> "Table":
    """A table with headings and no frames, some columns flush right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def note(text: str) -> None:
    """Something the user should know though all is well."""
    console(stderr=True).print(f"[yellow]note:[/] {shown(text)}", soft_wrap=True)


def count(number: int, noun: str) -> str:
    """1 atom, 2 atoms."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shown(text: str) -> str:
    """Any text as it may go to the terminal: no markup, and no signs that would steer it."""
    from rich.markup import escape

    return escape(printable(text))


def printable(text: str) -> str:
    """Text with control characters spelled out: names in files may hold any."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in {"Cc", "Cs"} else ascii(letter)[1:-1]
        for letter in text
    )


def report(error: BaseException, subject: str = "") -> None:
    """Say what went wrong, in one line for expected errors; with the traceback when debugging."""
    if debugging():
        traceback.print_exception(error, file=sys.stderr)
    expected = isinstance(error, TribondError | OSError) or is_out_of_memory(error)
    text = describe(error) if expected else f"unexpected {type(error).__name__}: {error}"
    hint = "" if expected or debugging() else " (please report this, with the traceback that `tribond --debug` shows)"
    where = f"{subject}: " if subject else ""
    console(stderr=True).print(f"[bold red]error:[/] {shown(where + text + hint)}", soft_wrap=True)


def describe(error: BaseException) -> str:
    """The message of an error as a user wants to read it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if is_out_of_memory(error):
        return "not enough memory for so many atoms; try --dtype float32, another --device or a smaller structure"
    return str(error) or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too small, on whatever device."""
    # PyTorch has a class of its own for GPUs, and a plain RuntimeError for CPUs.
    return isinstance(error, MemoryError) or any(
        sign in f"{type(error).__name__}: {error}" for sign in ("OutOfMemoryError", "can't allocate memory")
    )


@contextmanager
def failures_reported(subject: str) -> Iterator[list[str]]:
    """Report whatever goes wrong with one input, so that the others still get their turn.

    Yields:
        A list that holds the message afterwards, or nothing if all went well.
    """
    messages: list[str] = []
    try:
        yield messages
    except Exception as error:  # noqa: BLE001, not silenced: it is printed, and the exit status says so
        report(error, subject)
        messages.append(describe(error))


def version() -> str:
    """The version of tribond."""
    import tribond

    return tribond.__version__


def debugging() -> bool:
    """Whether --debug or TRIBOND_DEBUG asks for tracebacks."""
    return os.environ.get("TRIBOND_DEBUG", "").lower() not in {"", "0", "false", "no"}


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the warnings of ASE and its readers away from the user, unless debugging."""
    with warnings.catch_warnings():
        if not debugging():
            warnings.simplefilter("ignore")
        yield


# ------------------------------------------------------------------------------------------------- the model


def load_potential(model: str, device: str | None, dtype: str | None) -> "Potential":
    """The potential named on the command line, where an ensemble will not do."""
    from tribond.checkpoints.registry import load_potential as load

    download(model)
    return load(model, device=device, dtype=dtype)


def load_force_field(model: str, device: str | None, dtype: str | None) -> "Potential | Ensemble":
    """The potential, or the ensemble of potentials, named on the command line."""
    from tribond.checkpoints.registry import load_force_field as load

    download(model)
    return load(model, device=device, dtype=dtype)


def load_model(model: str, device: str | None, dtype: str | None) -> "Potential | PropertyModel | Ensemble":
    """The potential, ensemble or property model named on the command line."""
    import tribond

    download(model)
    return tribond.load(model, device=device, dtype=dtype)


def download(model: str) -> "Path":
    """The file or folder of a model; with a progress bar if it has to be downloaded."""
    from tribond.checkpoints.registry import find

    with download_progress() as report_progress:
        return find(model, progress=report_progress)


@contextmanager
def download_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar a file on standard error, which appears when the first bytes have come."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("downloading {task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    bars = Progress(*columns, console=console(stderr=True), transient=True)
    tasks: dict[str, Any] = {}

    def advance(name: str, done: int, total: int | None) -> None:
        if name not in tasks:
            bars.start()
            tasks[name] = bars.add_task(name, total=total)
        bars.update(tasks[name], completed=done, total=total)

    try:
        yield advance
    finally:
        if tasks:
            bars.stop()


def model_record(potential: "TrainedModel | Ensemble") -> dict[str, Any]:
    """What a result file says about the model it came from."""
    stated = ("name", "level_of_theory", "energy_terms")
    known: dict[str, Any] = {key: potential.metadata[key] for key in stated if key in potential.metadata}
    members = getattr(potential, "num_members", None)
    if members is not None:
        known["members"] = members
    technical = {
        "cutoff_A": getattr(potential, "cutoff", potential.config.cutoff),
        "dtype": str(potential.dtype).removeprefix("torch."),
        "device": str(potential.device),
    }
    return known | technical
