"""A screening that is watched: how fast it is, how long it takes, what failed, the best so far; and what came of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tribond.cli import output
from tribond.cli.live import LINE_EVERY_S, duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from tribond.screening.gather import Tally

SHOWN = 8  # candidates while it runs
REFRESH_S = 1.0


@dataclass(frozen=True)
class State:
    """How far a screening is.

    Attributes:
        title: what is computed.
        tally: of the shards that are done.
        under_way: structures' worth of work that is done in other shards.
        total: structures.
        before: structures that were done when this call began.
        rank: what candidates are ranked by; None: by nothing.
    """

    title: str
    tally: "Tally"
    under_way: float
    total: int
    before: float
    rank: str | None

    @property
    def done(self) -> float:
        """Structures, in part those under way."""
        return min(float(self.total), self.tally.rows + self.under_way)

    def line(self, seconds: float) -> str:
        """In one line."""
        rate = (self.done - self.before) / seconds if seconds > 1 else 0.0
        left = f", {duration((self.total - self.done) / rate)} left" if rate > 0 else ""
        speed = "" if not rate else f", {rate:.1f}/s" if rate >= 1 else f", {60 * rate:.1f}/min"
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.tally.counts.items()))
        failures = ", ".join(f"{count} {kind}" for kind, count in sorted(self.tally.failures.items()))
        best = ""
        if self.tally.best:
            value, _, label, _ = self.tally.best[0]
            best = f"; best {value:.4g} {label}"
        whole = f"{self.done:.0f} of {self.total}{speed}{left}"
        return f"{whole}{f': {counts}' if counts else ''}{f' (failed by {failures})' if failures else ''}{best}"


@contextmanager
def watched(*, quiet: bool) -> Iterator[Callable[[State], None]]:
    """A table that is drawn again every second on a terminal; a line a minute where standard error is a file."""
    terminal = output.console(stderr=True)
    start = last = time.monotonic()
    if quiet or not terminal.is_terminal:

        def tell(state: State) -> None:
            nonlocal last
            now = time.monotonic()
            if not quiet and now - last >= LINE_EVERY_S:
                last = now
                terminal.print(f"{state.title}: {state.line(now - start)}", markup=False, soft_wrap=True)

        yield tell
        return
    from rich.live import Live

    with Live(console=terminal, transient=True, auto_refresh=False) as live:

        def draw(state: State) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= REFRESH_S:
                last = now
                live.update(dashboard(state, now - start), refresh=True)

        yield draw


def dashboard(state: State, seconds: float) -> "RenderableType":
    """All there is to see, for a terminal."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(f"{state.title}: {state.line(seconds)}"),
        Padding(ProgressBar(total=state.total, completed=state.done, width=60), (0, 0, 1, 0)),
    ]
    if state.tally.best:
        parts.append(best_table(state.tally.best[:SHOWN], state.rank))
    return Group(*parts)


def best_table(best: list[list[Any]], rank: str | None) -> "Table":
    """The best candidates."""
    from rich.text import Text

    column = (rank or "").removeprefix("-")
    table = output.plain_table("", column, "number", "formula", "structure", right=(column, "number", ""))
    for place, (value, number, label, formula) in enumerate(best, 1):
        table.add_row(str(place), f"{value:.5g}", str(number), formula, Text(output.printable(label)))
    return table


def counts_table(tally: "Tally") -> "Table":
    """How many came out how."""
    table = output.plain_table("outcome", "structures", "share", right=("structures", "share"))
    for status, count in tally.counts.most_common():
        table.add_row(status, str(count), f"{100 * count / tally.rows:.1f} %")
        if status == "failed":
            for kind, some in tally.failures.most_common():
                table.add_row(f"  {kind}", str(some), "")
    return table
