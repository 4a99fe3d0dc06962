"""Many structures computed by a pool of processes, each once, whatever is killed on the way."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from ase import Atoms

from tribond.results.record import fingerprint
from tribond.screening.pool import Done, Failure, each, here
from tribond.screening.store import Store
from tribond.screening.works import Computed, Work

FAILED = "failed"
COUNTED = ("converged", "ok", "not converged", FAILED)


@dataclass(frozen=True)
class Entry:
    """One structure of many.

    Attributes:
        label: how tables call it, such as file@frame.
        key: what its row is found by: the structure itself, and which time it came.
        atoms: the structure; empty if it could not be read.
        error: why it could not be read.
    """

    label: str
    key: str
    atoms: Atoms
    error: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far it is.

    Attributes:
        done, total: structures.
        done_atoms, total_atoms: their atoms, which tell better how much is left.
        before: structures that an earlier call had computed.
        counts: structures by status.
    """

    done: int
    total: int
    done_atoms: int
    total_atoms: int
    before: int
    counts: dict[str, int]


def entries(structures: Iterable[tuple[str, Atoms | str]]) -> list[Entry]:
    """Give each structure its key.

    Args:
        structures: label and structure, or label and why there is none.
    """
    times: Counter[str] = Counter()
    found = []
    for label, it in structures:
        error = it if isinstance(it, str) else None
        atoms = Atoms() if isinstance(it, str) else it
        mark = fingerprint(atoms) if error is None else f"unreadable {label}"
        found.append(Entry(label, f"{mark} {times[mark]}", atoms, error))
        times[mark] += 1
    return found


def compute(
    wanted: Sequence[Entry],
    work: Work,
    store: Store,
    *,
    jobs: int,
    time_limit_s: float | None = None,
    on_progress: Callable[[Progress], object] = lambda _progress: None,
) -> Progress:
    """Compute what the store does not have yet, the largest structures first, and put it there as it comes.

    What has killed its process is tried again, for that may be a matter of the machine, and so is what took too long, with more
    time; other failures stay.

    Args:
        wanted: all structures, also those that are done.
        work: what is done with them.
        store: open; it gets a row a structure, failed ones too.
        jobs: processes; 0: this one, where a crash ends all, and there is no time limit.
        time_limit_s: for one structure.
        on_progress: called at least twice a second; what it raises stops the work, and what is done stays.

    Raises:
        PoolError: if the processes cannot work at all.
    """
    known = {key: row for key, row in store.by_key().items() if not _worth_another_try(row, time_limit_s)}
    statuses = {key: row["status"] for key, row in known.items()}
    counter = _Counter(wanted, statuses)
    todo = []
    for entry in wanted:
        if entry.error is not None and (entry.key not in known or known[entry.key]["error"] != entry.error):
            store.add(_failed(entry, Failure("error", entry.error)), entry.atoms)
            if entry.key not in known:
                counter.add(entry, FAILED)
        elif entry.key not in known:
            todo.append(entry)
    todo.sort(key=lambda entry: (entry.key in store, -len(entry.atoms)))  # what has crashed before comes last
    on_progress(counter.progress())
    if not todo:
        store.commit()
        return counter.progress()
    alone: list[tuple[Entry, ...]] = []  # of batches that failed as a whole
    for tasks in (_batches(todo, work.batch_atoms), alone):
        if jobs:
            pool = each(
                _Call(work),
                tasks,
                jobs=jobs,
                time_limit_s=None if time_limit_s is None else lambda task: time_limit_s * len(task),
                waiting=lambda: on_progress(counter.progress()),
                prepare=work.prepare,
            )
        else:
            pool = here(_Call(work), tasks)
        with closing(pool) as ended:  # at once, should on_progress raise
            for done in ended:
                if isinstance(done.result, Failure) and len(done.task) > 1:
                    alone += [(entry,) for entry in done.task]
                    continue
                for entry, computed in _rows(done):
                    store.add(computed.row, computed.atoms, computed.arrays)
                    counter.add(entry, computed.row["status"])
                on_progress(counter.progress())
    store.commit()
    return counter.progress()


@dataclass(frozen=True)
class _Call:
    """The work for a task, which in a process is nothing but structures."""

    work: Work

    def __call__(self, task: tuple[Entry, ...]) -> list[Computed]:
        return self.work(tuple(entry.atoms for entry in task))


def _batches(todo: Sequence[Entry], atoms: int) -> Iterator[tuple[Entry, ...]]:
    """Entries in order, together up to a number of atoms."""
    batch: list[Entry] = []
    size = 0
    for entry in todo:
        if batch and size + len(entry.atoms) > atoms:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(entry)
        size += len(entry.atoms)
    if batch:
        yield tuple(batch)


def _rows(done: Done[tuple[Entry, ...], list[Computed]]) -> Iterator[tuple[Entry, Computed]]:
    """Each entry with its whole row."""
    if isinstance(done.result, Failure):
        (entry,) = done.task
        yield entry, Computed(_failed(entry, done.result), entry.atoms)
        return
    for entry, computed in zip(done.task, done.result, strict=True):
        yield entry, replace(computed, row={**_identity(entry), **computed.row})


def _identity(entry: Entry) -> dict[str, Any]:
    if entry.error is not None:
        return {"label": entry.label, "key": entry.key}
    return {
        "label": entry.label,
        "key": entry.key,
        "formula": entry.atoms.get_chemical_formula(),
        "num_atoms": len(entry.atoms),
    }


def _failed(entry: Entry, failure: Failure) -> dict[str, Any]:
    return {
        **_identity(entry),
        "status": FAILED,
        "failure": failure.kind,
        "error": failure.error,
        "seconds": failure.seconds,
    }


def _worth_another_try(row: Mapping[str, Any], time_limit_s: float | None) -> bool:
    if row.get("failure") == "time":
        return time_limit_s is None or time_limit_s > (row.get("seconds") or 0.0)
    return row.get("failure") == "crash"


class _Counter:
    """Structures, atoms and outcomes so far."""

    def __init__(self, wanted: Sequence[Entry], before: Mapping[str, str]) -> None:
        self.total, self.total_atoms = len(wanted), sum(len(entry.atoms) for entry in wanted)
        self.done = self.done_atoms = 0
        self.counts: Counter[str] = Counter()
        for entry in wanted:
            if entry.key in before:
                self.add(entry, before[entry.key])
        self.before = self.done

    def add(self, entry: Entry, status: str) -> None:
        self.done += 1
        self.done_atoms += len(entry.atoms)
        self.counts[status] += 1

    def progress(self) -> Progress:
        counts = {status: self.counts[status] for status in COUNTED if self.counts[status]}
        return Progress(self.done, self.total, self.done_atoms, self.total_atoms, self.before, counts)
