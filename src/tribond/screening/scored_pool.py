"""Scores of all structures of many files, a few hundred at a time, kept so that the same call goes on where it was stopped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.errors import StructureError
from tribond.files import atomic_path
from tribond.models.ensemble import Ensemble
from tribond.models.potential import Potential
from tribond.reading.chunks import read_chunks
from tribond.reading.content import Options
from tribond.results.job import Job
from tribond.screening.scores import Scores, score

AT_ONCE = 200  # structures between two marks
NAMED = 5  # structures of each file that are named where they cannot be used


@dataclass
class ScoredPool:
    """What is kept of the structures: not they themselves.

    Attributes:
        scores: of those that the model can describe.
        files: (structures,) which of the files each is from.
        numbers: (structures,) its number there.
        total: structures that were read.
        wrong: the first that cannot be used, in words.
        num_wrong: how many.
    """

    scores: Scores
    files: NDArray[np.int64]
    numbers: NDArray[np.int64]
    total: int = 0
    wrong: list[str] = field(default_factory=list)
    num_wrong: int = 0


def score_files(
    files: Sequence[str],
    model: Potential | Ensemble,
    job: Job,
    *,
    stem: str,
    options: Options | None = None,
    with_spread: bool = True,
    on_chunk: Callable[[int, int], object] = lambda _file, _done: None,
) -> ScoredPool:
    """Score all structures of files, or go on.

    Args:
        files: names, perhaps with @INDEX.
        model: see `score`.
        job: whose folder keeps what is done; it knows files and model.
        stem: of the files in that folder.
        options: what the user says about the files.
        with_spread: see `score`.
        on_chunk: called with the number of the file and how many structures are done; what it raises stops the work.

    Raises:
        StructureError: if a file cannot be read, or nothing in the files can be used.
    """
    parts: list[dict[str, Any]] = []
    pool = ScoredPool(_nothing(), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    for count, (file, chunk) in enumerate(_chunks(files, options)):
        kept = job.file(f"{stem}-{count:06}.npz")
        if kept.is_file():
            with np.load(kept, allow_pickle=False) as archive:
                part = {name: archive[name] for name in archive.files}
        else:
            part = _scored(files[file], file, chunk, model, with_spread=with_spread)
            with atomic_path(kept) as temporary:
                np.savez(temporary, allow_pickle=False, **part)
        parts.append(part)
        pool.total += len(chunk)
        pool.num_wrong += len(part["wrong"])
        pool.wrong += [str(text) for text in part["wrong"][: max(0, NAMED - len(pool.wrong))]]
        on_chunk(file, pool.total)
    usable = [part for part in parts if len(part["numbers"])]
    if not usable:
        reason = f": {pool.wrong[0]}" if pool.wrong else ""
        raise StructureError(f"none of {pool.total} structures can be used{reason}")
    pool.scores = Scores.joined([Scores(part["descriptors"], part["force"], part["energy"]) for part in usable])
    pool.files = np.concatenate([part["files"] for part in usable])
    pool.numbers = np.concatenate([part["numbers"] for part in usable])
    return pool


def fetch(
    files: Sequence[str], wanted: Sequence[tuple[int, int]], options: Options | None = None
) -> dict[tuple[int, int], Atoms]:
    """Some structures of files, by the number of the file and their number in it."""
    of_file = {file for file, _ in wanted}
    left = set(wanted)
    found: dict[tuple[int, int], Atoms] = {}
    for number, name in enumerate(files):
        if number not in of_file:
            continue
        for chunk in read_chunks(name, AT_ONCE, options):
            for index, atoms in chunk:
                if (number, index) in left and isinstance(atoms, Atoms):
                    found[number, index] = atoms
    return found


def _chunks(files: Iterable[str], options: Options | None) -> Iterator[tuple[int, list[tuple[int, Any]]]]:
    for number, name in enumerate(files):
        try:
            for chunk in read_chunks(name, AT_ONCE, options):
                yield number, chunk
        except StructureError as error:
            raise StructureError(f"{name}: {error}") from error


def _scored(
    name: str, file: int, chunk: list[tuple[int, Any]], model: Potential | Ensemble, *, with_spread: bool
) -> dict[str, Any]:
    good = [(number, it) for number, it in chunk if isinstance(it, Atoms)]
    wrong = [f"{name}@{number}: {it}" for number, it in chunk if not isinstance(it, Atoms)]
    numbers = np.array([number for number, _ in good], dtype=np.int64)
    scores = _nothing()
    if good:
        scores, errors = score(model, [atoms for _, atoms in good], with_spread=with_spread)
        wrong += [f"{name}@{numbers[index]}: {text}" for index, text in errors.items()]
        kept = scores.usable
        odd = np.flatnonzero(~kept)
        wrong += [f"{name}@{numbers[it]}: the model gives no finite numbers" for it in odd if it not in errors]
        scores = Scores(scores.descriptors[kept], scores.force_spreads[kept], scores.energy_stds[kept])
        numbers = numbers[kept]
    return {
        "descriptors": scores.descriptors,
        "force": scores.force_spreads,
        "energy": scores.energy_stds,
        "files": np.full(len(numbers), file, dtype=np.int64),
        "numbers": numbers,
        "wrong": np.array(wrong, dtype=np.str_),
    }


def _nothing() -> Scores:
    return Scores(np.zeros((0, 0), dtype=np.float32), np.zeros(0), np.zeros(0))
