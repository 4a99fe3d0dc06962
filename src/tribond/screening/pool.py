"""Work handed out one by one to processes of one thread each. What crashes or hangs costs its own task, nothing else."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as TooLong
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

from tribond.errors import TribondError

Task = TypeVar("Task")
Result = TypeVar("Result")
AHEAD = 3  # tasks a process that wait at its door
POLL_S = 0.5  # so often the caller is asked whether to go on
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CRASHES_AT_START = 3  # so many before anything went well, or pools lost in a row: then it is not the structures

LOST = object()


class PoolError(TribondError):
    """The processes of a pool do not work at all."""


@dataclass(frozen=True)
class Failure:
    """Why a task has no result.

    Attributes:
        kind: error, crash or time.
        error: in words.
        seconds: that it was given, if they were too few.
    """

    kind: str
    error: str
    seconds: float | None = None


@dataclass(frozen=True)
class Done(Generic[Task, Result]):
    """A task, and its result or its failure."""

    task: Task
    result: Result | Failure


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def each(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    jobs: int,
    time_limit_s: Callable[[Task], float] | None = None,
    waiting: Callable[[], object] = lambda: None,
    prepare: Callable[[], object] | None = None,
    crashes_at_start: int = CRASHES_AT_START,
) -> Generator[Done[Task, Result]]:
    """Do all tasks in processes of their own, and yield each as it is done, in whatever order.

    Args:
        work: what is done; it and the tasks are pickled. An error that it raises is the failure of that task.
        tasks: taken from the iterator as they are needed; it may have more after a task is done than it had before.
        jobs: processes.
        time_limit_s: how long a task may take; None: for ever. Its process is ended then, and another one started.
        waiting: called at least twice a second; what it raises ends the pool.
        prepare: called in each process before its first task, whose time has not begun yet; pickled like the work.
        crashes_at_start: so many before anything went well, or as many as processes, and it is not the tasks.

    Raises:
        PoolError: if the first processes all die, or none comes to its first task: not enough memory, or a broken
            installation.
    """
    todo = iter(tasks)
    running: dict[Future[Result], Task] = {}
    crashed, broken, well = 0, 0, False
    pool = _pool(jobs, prepare)
    try:
        while True:
            whole = _hand_out(pool, work, todo, jobs * (1 + AHEAD) - len(running), time_limit_s, running)
            if not running:
                break
            ended, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            waiting()
            for future in ended:
                result = _outcome(future)
                if result is LOST:
                    whole = False
                    continue
                done = Done(running.pop(future), result)
                died = isinstance(result, Failure) and result.kind == "crash"
                well, crashed = well or not died, crashed + died
                broken = broken if died else 0
                if not well and crashed >= max(crashes_at_start, jobs):
                    raise PoolError(f"the processes of the pool die at once: {done.result.error}")
                yield done
            if not whole:
                broken += 1
                if broken >= CRASHES_AT_START:
                    raise PoolError("the processes of the pool die before they begin: is there enough memory for them?")
                todo = chain(list(running.values()), todo)  # nobody knows whether they were begun
                running.clear()
                _end(pool)
                pool = _pool(jobs, prepare)
        pool.close()
    finally:
        _end(pool)


def _pool(jobs: int, prepare: Callable[[], object] | None) -> ProcessPool:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPool(max_workers=jobs, initializer=_alone, initargs=(prepare,), context=spawn)


def _hand_out(
    pool: ProcessPool,
    work: Callable[[Task], Result],
    todo: Iterator[Task],
    number: int,
    time_limit_s: Callable[[Task], float] | None,
    running: dict[Future[Result], Task],
) -> bool:
    """Give the pool some more tasks.

    Returns:
        Whether it takes them. One whose processes all died does not; then the last of `running` stands for a task not taken.
    """
    for task in islice(todo, number):
        limit = None if time_limit_s is None else time_limit_s(task)
        try:
            running[pool.schedule(work, args=(task,), timeout=limit)] = task
        except RuntimeError:
            running[Future()] = task
            return False
    return True


def _end(pool: ProcessPool) -> None:
    if pool.active:
        pool.stop()
    with suppress(KeyboardInterrupt):
        pool.join()


def here(work: Callable[[Task], Result], tasks: Iterable[Task]) -> Generator[Done[Task, Result]]:
    """The same in this process, for a few tasks that are not worth others."""
    for task in tasks:
        try:
            yield Done(task, work(task))
        except Exception as error:  # noqa: BLE001, it is what the table says of this task
            yield Done(task, failure_of(error))


def failure_of(error: Exception) -> Failure:
    """What a table says of an error that a task raised."""
    if isinstance(error, MemoryError):
        return Failure("error", "not enough memory for so many atoms")
    expected = isinstance(error, TribondError | OSError)
    return Failure("error", f"{'' if expected else f'{type(error).__name__}: '}{error}")


def _outcome(future: Future[Any]) -> Any:
    """The result or the failure of a task; LOST if the pool has lost it with all of its processes."""
    try:
        return future.result()
    except TooLong as error:
        limit = error.args[1] if len(error.args) > 1 else None
        return Failure("time", "it took too long" if limit is None else f"it took longer than {limit:g} s", limit)
    except BrokenProcessPool:
        return LOST
    except ProcessExpired as error:
        code = error.exitcode
        how = f"signal {-code}, {_name(-code)}" if code is not None and code < 0 else f"exit status {code}"
        return Failure("crash", f"its process died ({how})")
    except Exception as error:  # noqa: BLE001, it is what the table says of this task
        return failure_of(error)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _alone(prepare: Callable[[], object] | None) -> None:
    """In each process: Ctrl-C is for the one that hands out the work, and every library has one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # libraries look at these when they are loaded
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    if prepare is not None:
        with suppress(Exception):  # the work will say it again, and then it is the failure of a task
            prepare()
    # What was loaded before the lines above: threads of BLAS that wait for work cost two processes half of their speed.
    threadpool_limits(1)
