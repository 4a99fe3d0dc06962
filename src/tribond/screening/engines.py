"""Who computes the shards: processes of this machine, or Ray. Both call the same function, and a crash is handled here."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from operator import length_hint
from pathlib import Path
from typing import Protocol, Self

from tribond.screening.journal import blame
from tribond.screening.plan import Plan
from tribond.screening.pool import Done, Failure, PoolError, each, here
from tribond.screening.shard import Summary, compute_shard

NO_REASON = 3  # shards in a row whose process dies before it has begun with a structure: then it is not the structures
MOST_LOST = 1000  # shards in a row that are lost with a machine, which may have many
NEVER = 1 << 30


class Engine(Protocol):
    """Computes shards somewhere."""

    def run(self, folder: Path, numbers: Iterable[int], waiting: Callable[[], object]) -> Generator[Done[int, Summary]]:
        """Compute shards in whatever order; `numbers` may have more after one is done than it had before.

        Args:
            folder: of the plan.
            numbers: of the shards.
            waiting: called at least twice a second; what it raises ends the work.

        Yields:
            Each shard as it is done: a summary, or how its process died (crash), or an error that is no structure's, or
            "lost" where a machine was.
        """


@dataclass(frozen=True)
class Call:
    """The shared function, as processes get it."""

    folder: str

    def __call__(self, number: int) -> Summary:
        """Compute a shard."""
        return compute_shard(self.folder, number, exit_when_late=True)


@dataclass(frozen=True)
class Local:
    """Processes of this machine, of one thread each.

    Attributes:
        jobs: how many; 0: this process, where a crash ends all and nothing ends what hangs.
    """

    jobs: int

    def run(  # noqa: D102
        self, folder: Path, numbers: Iterable[int], waiting: Callable[[], object]
    ) -> Generator[Done[int, Summary]]:
        if self.jobs:
            jobs = min(self.jobs, max(1, length_hint(numbers, self.jobs)))
            yield from each(Call(str(folder)), numbers, jobs=jobs, waiting=waiting, crashes_at_start=NEVER)
            return
        for number in numbers:
            waiting()
            yield from here(lambda it: compute_shard(folder, it), [number])


class _Queue(Iterator[int]):
    """Numbers that may become more while they are taken."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._waiting = deque(numbers)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        if not self._waiting:
            raise StopIteration
        return self._waiting.popleft()

    def __length_hint__(self) -> int:
        return len(self._waiting)

    def again(self, number: int) -> None:
        self._waiting.append(number)


def run(
    plan: Plan, engine: Engine, numbers: Iterable[int], waiting: Callable[[], object] = lambda: None
) -> Iterator[Summary]:
    """Compute shards, whatever dies on the way.

    Args:
        plan: of the screening.
        engine: who computes.
        numbers: of the shards that are wanted; those that are there are not computed again.
        waiting: called at least twice a second; what it raises ends the work, and what is done stays.

    Yields:
        What came of each shard; `busy` for those that another process is at work on.

    Raises:
        PoolError: if processes die before they have begun with any structure, or cannot read or write the folder.
    """
    queue = _Queue(plan.missing(numbers))
    unexplained = lost = 0
    with closing(engine.run(plan.folder, queue, waiting)) as ended:
        for done in ended:
            if not isinstance(done.result, Failure):
                unexplained = lost = 0
                yield done.result
                continue
            kind, words = done.result.kind, done.result.error
            if kind == "error":
                raise PoolError(f"shard {done.task} cannot be computed: {words}")
            if kind == "crash" and not blame(plan.journal(done.task), words, plan.settings.time_limit_s):
                unexplained += 1
                if unexplained >= NO_REASON:
                    raise PoolError(f"the processes die before they have begun with a structure: {words}")
            lost += kind == "lost"
            if lost >= MOST_LOST:
                raise PoolError(f"{lost} shards in a row were lost with their machines: {words}")
            queue.again(done.task)
