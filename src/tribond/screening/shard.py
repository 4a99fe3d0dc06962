"""One shard computed: the same function for every engine. What is there is not computed again."""

import faulthandler
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pyarrow import parquet

from tribond.screening.columns import DUPLICATE, FAILED, FILTERED, MADE_UNTRUE, OK, best_by
from tribond.screening.journal import Journal, Outcome
from tribond.screening.packing import pack, schema
from tribond.screening.plan import Plan, load, read_input, write_table
from tribond.screening.pool import failure_of
from tribond.screening.steps import Rows, Step, make

BEST = 20  # candidates of a shard that its summary names
SUMMARY = b"tribond_shard"


@dataclass(frozen=True)
class Summary:
    """What came of a shard.

    Attributes:
        number: of the shard.
        counts: rows by status.
        failures: failed rows by kind.
        best: value that is ranked by, number, label and formula of the best that are kept, the best first.
        seconds: of one core.
        busy: whether another process was at work on it, so that nothing was done here.
    """

    number: int
    counts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    best: list[list[Any]] = field(default_factory=list)
    seconds: float = 0.0
    busy: bool = False

    @property
    def rows(self) -> int:
        """Structures."""
        return sum(self.counts.values())


def compute_shard(folder: Path | str, number: int, *, exit_when_late: bool = False) -> Summary:
    """Compute a shard of a plan, and write it as a whole. It goes on where a process that was killed stopped.

    Args:
        folder: of the plan.
        number: of the shard.
        exit_when_late: end this process when a structure takes longer than `time_limit_s`; for processes that have
            nothing else to do and are started again.

    Raises:
        ConfigError: if the folder holds no plan.
        OSError: if the folder cannot be read or written.
    """
    plan = load(folder)
    if plan.shard(number).exists():
        return read_summary(plan.shard(number))
    lock = _lock(plan, number)
    try:
        with lock:
            if plan.shard(number).exists():
                return read_summary(plan.shard(number))
            limit = plan.settings.time_limit_s if exit_when_late else None
            rows = computed(plan, *read_input(plan.input(number)), plan.journal(number), limit)
            summary = _write(plan, number, rows)
            plan.journal(number).unlink(missing_ok=True)
        Path(lock.lock_file).unlink(missing_ok=True)  # whoever takes another one sees that the shard is there
    except Timeout:
        return Summary(number, busy=True)
    return summary


def is_busy(plan: Plan, number: int) -> bool:
    """Whether another process is at work on a shard."""
    try:
        with _lock(plan, number):
            return False
    except Timeout:
        return True


def _lock(plan: Plan, number: int) -> FileLock:
    """Held by the process that computes a shard; a process that dies holds nothing."""
    plan.journal(number).parent.mkdir(parents=True, exist_ok=True)
    return FileLock(plan.journal(number).with_suffix(".lock"), timeout=0)


def computed(
    plan: Plan, values: list[dict[str, Any]], structures: list[Any], journal: Path, time_limit_s: float | None
) -> Rows:
    """All steps on some rows.

    Args:
        plan: of the screening.
        values: of the rows as they came in.
        structures: None for those that could not be read.
        journal: file that keeps what is done.
        time_limit_s: end this process when a structure takes longer; None: never.
    """
    rows = Rows(values, structures)
    for row, it in enumerate(values):
        it.setdefault("seconds", 0.0)
        if structures[row] is None:
            it |= {"status": FAILED, "step": "0 read", "failure": "error"}
        else:
            rows.active.append(row)
    with Journal(journal) as book:
        for number, step in enumerate(make(plan)):
            _do(step, number, plan.settings.steps[number].kind, rows, book, time_limit_s)
    for row in rows.active:
        values[row]["status"] = OK
    return rows


def _do(step: Step, number: int, kind: str, rows: Rows, book: Journal, time_limit_s: float | None) -> None:
    """One step on all rows that have come so far."""
    name = f"{number + 1} {kind}"
    todo = []
    # The duplicates that a journal knows must have left before others are compared.
    for row in list(rows.active):
        known = book.done.get((number, row))
        if known is None:
            todo.append(row)
        else:
            _apply(rows, row, name, kind, known)
    suspect = {row for row in todo if step.batched and (number, row) in book.alone}
    single = [row for row in todo if row in suspect]
    together = [row for row in todo if row not in suspect]
    for batch in (*([row] for row in single), *step.batches(rows, together)):
        if step.kept:
            book.begin(number, batch)
        with _watch(None if time_limit_s is None else time_limit_s * len(batch)):
            outcomes = _outcomes(step, rows, batch)
        for row, outcome in zip(batch, outcomes, strict=True):
            if step.kept:
                book.end(number, row, outcome)
            _apply(rows, row, name, kind, outcome)


def _outcomes(step: Step, rows: Rows, batch: Sequence[int]) -> list[Outcome]:
    start = time.perf_counter()
    try:
        found = step.compute(rows, batch)
    except ImportError:
        raise  # a package is missing: no matter of the structure
    except Exception as error:  # noqa: BLE001, it is what the table says of this row
        if len(batch) > 1:
            return [_outcomes(step, rows, [row])[0] for row in batch]
        failure = failure_of(error)
        found = [Outcome(failure=(failure.kind, failure.error))]
    seconds = (time.perf_counter() - start) / len(batch)
    return [Outcome(it.values | {"seconds": seconds}, it.atoms, it.failure) for it in found]


def _apply(rows: Rows, row: int, name: str, kind: str, outcome: Outcome) -> None:
    """Put what came of a row into it."""
    values = rows.values[row]
    new = dict(outcome.values)
    values["seconds"] += new.pop("seconds", 0.0)
    left = None
    if outcome.failure is not None:
        left = {"status": FAILED, "failure": outcome.failure[0], "error": outcome.failure[1]}
    elif kind == "deduplicate" and new.get("duplicate_of") is not None:
        left = {"status": DUPLICATE}
    elif not new.pop("passed", True):
        left = {"status": FILTERED}
    else:
        for stale in MADE_UNTRUE.get(kind, ()):
            values.pop(stale, None)
    values |= new
    if outcome.atoms is not None:
        rows.structures[row] = outcome.atoms
    if left is not None:
        values |= left | {"step": name}
        rows.active.remove(row)


@contextmanager
def _watch(limit_s: float | None) -> Iterator[None]:
    """End this process, whatever it is doing, when a block takes too long."""
    if limit_s is None:
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        faulthandler.dump_traceback_later(limit_s, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _write(plan: Plan, number: int, rows: Rows) -> Summary:
    counts = Counter(it["status"] for it in rows.values)
    failures = Counter(it["failure"] for it in rows.values if it["status"] == FAILED)
    seconds = sum(it["seconds"] for it in rows.values)
    summary = Summary(number, dict(counts), dict(failures), best(plan, rows.values), seconds)
    metadata = {SUMMARY.decode(): json.dumps(asdict(summary))}
    of = schema(plan.columns, metadata, structures=True)
    packed = [it | pack(atoms) for it, atoms in zip(rows.values, rows.structures, strict=True)]
    write_table(plan.shard(number), packed, of)
    return summary


def best(plan: Plan, values: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """The best of the rows that are kept: value, number, label and formula."""
    by = best_by(plan.settings.steps, plan.settings.rank_by)
    if by is None:
        return []
    sign, name = (-1, by[1:]) if by.startswith("-") else (1, by)
    known = [it for it in values if it["status"] == OK and it.get(name) is not None]
    known.sort(key=lambda it: (sign * it[name], it["number"]))
    return [[it[name], it["number"], it["label"], it["formula"]] for it in known[:BEST]]


def read_summary(path: Path) -> Summary:
    """The summary of a shard that is there."""
    return Summary(**json.loads(parquet.read_schema(path).metadata[SUMMARY]))
