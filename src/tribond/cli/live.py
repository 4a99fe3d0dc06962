"""A calculation that is watched while it runs: how far it is, what it says, how long it still takes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tribond.cli import output

LINE_EVERY_S = 60.0  # where standard error is a file


@dataclass(frozen=True)
class Progress:
    """How far a calculation is.

    Attributes:
        done: parts that are done, of `total`.
        total: all parts; None where nobody knows.
        state: numbers worth watching, in a few words.
    """

    done: float
    total: float | None
    state: str = ""


@contextmanager
def live(label: str, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A line with a bar and the time left, on a terminal; a line every minute where standard error is a file."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    terminal = output.console(stderr=True)
    if quiet or not terminal.is_terminal:
        start = last = time.monotonic()

        def tell(progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            if quiet or now - last < LINE_EVERY_S:
                return
            last = now
            left = ""
            if progress.total and progress.done:
                left = f", {duration((now - start) * (progress.total / progress.done - 1))} left at most"
            terminal.print(f"{output.printable(label)}: {progress.state}{left}", markup=False, soft_wrap=True)

        yield tell
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=terminal, transient=True) as bars:
        task = bars.add_task(output.shown(label), total=None, state="")
        yield lambda it: bars.update(task, completed=it.done, total=it.total, state=output.shown(it.state))


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
