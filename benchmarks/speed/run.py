"""Measure: codes in turns, then every code alone for its memory."""

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from benchmarks.speed.cases import Alone, Case
from benchmarks.speed.codes import CODES
from benchmarks.speed.log import Log
from benchmarks.speed.workers import Worker, WorkerError

REST = 0.02  # seconds between two codes, in which threads that spin fall asleep


class Team:
    """A process for every code, started when it is needed, and again if it has died.

    Args:
        pythons: the interpreter of every code.
        threads: for each of them.
        cache: a folder for what PyTorch compiles.
    """

    def __init__(self, pythons: Mapping[str, Path], threads: int, cache: Path) -> None:
        self.pythons = pythons
        self.threads = threads
        self.cache = cache
        self.workers: dict[str, Worker] = {}

    def start(self, code: str) -> Worker:
        """A process that nobody else uses.

        Raises:
            WorkerError: if it cannot start.
        """
        return Worker(code, self.pythons[code], self.threads, cache=self.cache)

    def ask(self, code: str, do: str, **request: Any) -> dict[str, Any]:
        """Have the process of a code do something.

        Raises:
            WorkerError: if it cannot.
        """
        if code not in self.workers or not self.workers[code].alive:
            self.dismiss(code)
            self.workers[code] = self.start(code)
        return self.workers[code].ask(do, **request)

    def dismiss(self, *codes: str) -> None:
        """End processes, so that they take no memory."""
        for code in codes:
            if code in self.workers:
                self.workers.pop(code).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss(*list(self.workers))


def in_turns(case: Case, codes: Sequence[str], team: Team, log: Log) -> None:
    """One case: every code once in every turn, so that a machine whose speed drifts is unfair to nobody.

    Codes that fail are named in the log, and are not asked again.
    """
    codes = [code for code in codes if case.takes_part(code)]
    done = len(log.turns(case.name, codes))
    if done >= case.turns or not codes:
        return
    errors: dict[str, str] = {}
    for turn in range(done - case.warm_up, case.turns):
        answers: dict[str, Any] = {}
        for code in codes:
            if code in errors:
                continue
            time.sleep(REST)
            try:
                answers[code] = team.ask(code, case.kind, **case.request, turn=max(turn, 0))
            except WorkerError as error:
                errors[code] = str(error)
                say(f"{case.name}: {CODES[code].label} fails: {error}")
        shown = ", ".join(f"{code} {1e3 * answer['seconds']:.4g} ms" for code, answer in answers.items())
        counted = f"turn {turn + 1} of {case.turns}" if turn >= done else "warm-up"
        say(f"{case.name}, {counted}: {shown}")
        if turn >= done:
            log.add(
                case=case.name,
                turn=turn,
                seconds={code: answer["seconds"] for code, answer in answers.items()},
                errors=errors,
                rate=multiply_rate(team) if "tribond" in codes else None,
                batch_size={code: answer["batch_size"] for code, answer in answers.items() if "batch_size" in answer},
            )


def multiply_rate(team: Team) -> float:
    """Operations a second of matrix multiplication at this moment, in a process like the others."""
    rate: float = team.ask("tribond", "multiply")["rate"]
    return rate


def alone(what: Alone, team: Team, log: Log) -> None:
    """Peak memory, and time, of one code for one structure in a fresh process."""
    if log.alone(what.code, what.structure) is not None:
        return
    record: dict[str, Any] = {"alone": what.code, "structure": what.structure}
    try:
        with ExitStack() as stack:
            worker = stack.enter_context(team.start(what.code))
            record |= worker.ask("memory", structure=what.structure, reference=what.reference)
            if what.code == "tribond":
                with suppress(WorkerError):  # what was measured counts without it
                    record |= worker.ask("multiply")
        median = statistics.median(record["seconds"])
        say(f"{what.name}: {1e3 * median:.4g} ms, {record['peak_bytes'] / 1e6:.0f} MB")
    except WorkerError as error:
        record["error"] = str(error)
        say(f"{what.name}: fails: {error}")
    log.add(**record)


def say(text: str) -> None:
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)
