"""What is done of a shard under way, line by line: a process that dies costs the structure it died of, nothing else.

    ["begin", step, [rows], seconds since 1970]
    ["end", step, row, values, structure, error]
    ["died", step, [rows], kind, words]

Lines are written before the next structure begins; the last one may be torn. Numbers come back to the last bit.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from ase import Atoms

from tribond.screening.packing import pack, unpack

DEATHS = 2  # of a process with one structure before the structure is given up: the first may have had other reasons


@dataclass(frozen=True)
class Outcome:
    """What a step made of a row.

    Attributes:
        values: of its columns.
        atoms: the structure, where the step has changed it.
        failure: kind and words; None where all went well.
    """

    values: dict[str, Any] = field(default_factory=dict)
    atoms: Atoms | None = None
    failure: tuple[str, str] | None = None


class Journal:
    """Of one shard.

    Args:
        path: of the file; what is there is taken up.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[tuple[int, int], Outcome] = {}  # step, row
        self.alone: set[tuple[int, int]] = set()  # rows that are not computed with others any more
        self.open: tuple[int, list[int], float] | None = None  # what had begun and did not end
        deaths: Counter[tuple[int, int]] = Counter()
        for line in _lines(path):
            kind, step = line[0], line[1]
            if kind == "begin":
                self.open = (step, line[2], line[3])
            elif kind == "end":
                _, _, row, values, packed, failure = line
                atoms = None if packed is None else unpack(packed)
                self.done[step, row] = Outcome(values, atoms, None if failure is None else tuple(failure))
                if self.open and self.open[0] == step and row in self.open[1]:
                    rest = [it for it in self.open[1] if it != row]
                    self.open = (step, rest, self.open[2]) if rest else None
            elif kind == "died":
                rows, why, words = line[2], line[3], line[4]
                self.alone |= {(step, row) for row in rows}
                self.open = None
                if len(rows) == 1:
                    deaths[step, rows[0]] += 1
                    if why == "time" or deaths[step, rows[0]] >= DEATHS:
                        self.done[step, rows[0]] = Outcome(failure=(why, words))

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size
        self._file = self.path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def begin(self, step: int, rows: Sequence[int]) -> None:
        """Rows are about to be computed."""
        self._write(["begin", step, list(rows), time.time()])

    def end(self, step: int, row: int, outcome: Outcome) -> None:
        """A row is computed."""
        packed = None if outcome.atoms is None else pack(outcome.atoms)
        self.done[step, row] = outcome
        self._write(["end", step, row, outcome.values, packed, outcome.failure])

    def died(self, step: int, rows: Sequence[int], kind: str, words: str) -> None:
        """The process died while it computed rows."""
        self._write(["died", step, list(rows), kind, words])

    def _write(self, line: list[Any]) -> None:
        self._file.write(json.dumps(line, default=_plain) + "\n")
        self._file.flush()  # to the system, which keeps it when the process is killed


def blame(path: Path, words: str, time_limit_s: float) -> bool:
    """Note that a shard's process has died, and of which structure.

    Args:
        path: of the journal.
        words: how it died.
        time_limit_s: for one structure; what had taken so long was ended for that.

    Returns:
        Whether a structure is to blame; otherwise it died before it had begun with any.
    """
    journal = Journal(path)
    if journal.open is None:
        return False
    step, rows, since = journal.open
    late = time.time() - since >= time_limit_s * len(rows)
    with journal:
        if late:
            journal.died(step, rows, "time", f"it took longer than {time_limit_s:g} s")
        else:
            journal.died(step, rows, "crash", words)
    return True


def _lines(path: Path) -> list[list[Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    found = []
    for line in text.split("\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue  # torn by a kill
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is nothing for a journal")
