"""What a screening will cost: a few of its structures computed, and the rest told from them."""

import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms

from tribond.screening.columns import FAILED, OK
from tribond.screening.plan import make
from tribond.screening.prepare import Screening
from tribond.screening.settings import WITH_REFERENCES, Deduplicate, Settings, Step
from tribond.screening.shard import compute_shard
from tribond.screening.works import Model

SAMPLE = 50  # structures
BUDGET_S = 300.0  # no more structures are begun after so long


@dataclass(frozen=True)
class Forecast:
    """What is expected.

    Attributes:
        total: structures of all sources; `unreadable` of them cannot be read.
        unreadable: see there.
        sampled: structures that were computed.
        failed: of these.
        kept: of these.
        largest: atoms of the largest structure of all.
        seconds: of one core for a structure: mean of those computed.
        error: of the mean, its standard error.
        hours: on so many cores as were asked for.
        hours_error: standard error of these.
        memory_GB: of each process, at its largest while these were computed.
        left_out: steps whose cost is not in it.
    """

    total: int
    unreadable: int
    sampled: int
    failed: int
    kept: int
    largest: int
    seconds: float
    error: float
    hours: float
    hours_error: float
    memory_GB: float
    left_out: tuple[str, ...]


def forecast(
    screening: Screening, model: Model, cores: int, told: Callable[[int], object], *, sample: int = SAMPLE
) -> Forecast:
    """Read all structures, compute some that are drawn at random, and the largest one.

    Deduplication and hulls are left out: what they cost depends on all the others.

    Args:
        screening: as its file says it.
        model: the potential.
        cores: that there will be.
        told: called with the number of each structure that is read, and of each that is computed; it may raise.
        sample: how many are computed.
    """
    drawn, largest, total, unreadable = _drawn(screening, sample, told)
    steps: list[Step] = [it for it in screening.settings.steps if not isinstance(it, Deduplicate)]
    comparing = next((n for n, it in enumerate(steps) if it.kind in WITH_REFERENCES), None)
    left_out: set[str] = {it.kind for it in screening.settings.steps if isinstance(it, Deduplicate)}
    if comparing is not None:  # what follows a hull may need its columns; filters take fewer out than there will be
        known: list[Step] = [it for it in steps if it.kind not in WITH_REFERENCES and it.kind != "filter"]
        left_out |= {it.kind for it in steps} - {it.kind for it in known}
        steps = list(known)
    wanted = screening.settings.model_copy(update={"steps": steps, "references": None, "rank_by": None})
    chosen = [it for it in [largest, *drawn] if it is not None]
    times, statuses = [], []
    with TemporaryDirectory(prefix="tribond-") as folder:
        for number, (label, atoms) in enumerate(_warm(chosen)):
            row, seconds = _one(Path(folder) / str(number), wanted, model, label, atoms)
            told(number)
            if number >= 2:  # the first loads the potential; the largest is not drawn at random
                times.append(seconds)
                statuses.append(row)
            if sum(times) > BUDGET_S:
                break
    mean = float(np.mean(times)) if times else 0.0
    error = float(np.std(times, ddof=1) / np.sqrt(len(times))) if len(times) > 1 else float("nan")
    readable = total - unreadable
    return Forecast(
        total,
        unreadable,
        len(times),
        sum(it == FAILED for it in statuses),
        sum(it == OK for it in statuses),
        0 if largest is None else len(largest[1]),
        mean,
        error,
        mean * readable / cores / 3600,
        error * readable / cores / 3600,
        _peak_gigabytes(),
        tuple(sorted(left_out)),
    )


def _drawn(
    screening: Screening, sample: int, told: Callable[[int], object]
) -> tuple[list[tuple[str, Atoms]], tuple[str, Atoms] | None, int, int]:
    """Some structures, each with the same chance; the largest; how many there are, and how many cannot be read."""
    draw = random.Random(0)
    drawn: list[tuple[str, Atoms]] = []
    largest: tuple[str, Atoms] | None = None
    total = unreadable = 0
    for label, it in screening.structures():
        told(total)
        total += 1
        if isinstance(it, str):
            unreadable += 1
            continue
        if largest is None or len(it) > len(largest[1]):
            largest = (label, it)
        if len(drawn) < sample:
            drawn.append((label, it))
        elif (place := draw.randrange(total - unreadable)) < sample:
            drawn[place] = (label, it)
    draw.shuffle(drawn)
    return drawn, largest, total, unreadable


def _warm(chosen: list[tuple[str, Atoms]]) -> Iterator[tuple[str, Atoms]]:
    """The last once more at the beginning, when everything is loaded."""
    yield from (chosen[-1:] + chosen) if chosen else []


def _one(folder: Path, wanted: Settings, model: Model, label: str, atoms: Atoms) -> tuple[str, float]:
    """Status of a structure, and the seconds that all its steps took."""
    make(folder, wanted, model, [(label, atoms)])
    start = time.perf_counter()
    summary = compute_shard(folder, 0)
    return next(iter(summary.counts)), time.perf_counter() - start


def _peak_gigabytes() -> float:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9
