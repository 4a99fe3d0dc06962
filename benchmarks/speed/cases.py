"""What is measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.speed.codes import CODES
from benchmarks.speed.worker import MIXED, TRAINED

SIZES = (8, 64, 512, 4096)  # silicon atoms
LARGE = (32768, 97336)  # ... for tribond alone
DENSE = (512, 4096, *LARGE)  # ... at three times the density
MEMORY = (64, 512, 4096)
REFERENCE = 512  # atoms; the time of an atom in larger systems is compared with that in this one
MD_STEPS = 10


@dataclass(frozen=True)
class Case:
    """Something that several codes do in turns.

    Attributes:
        name: as in the table; of a structure its name in `crystals.named`.
        kind: "step", "batch", "training" or "dynamics", a method of `worker.Bench`.
        request: the arguments of that method.
        turns: that count.
        warm_up: turns before, that do not.
        per: what one answer in seconds is for: 1 step, or so many structures.
        goal: how many times faster than the fastest peer tribond shall be.
        near_limit: how many times the limit tribond shall need at most.
    """

    name: str
    kind: str
    turns: int
    warm_up: int = 2
    request: dict[str, Any] = field(default_factory=dict)
    per: int = 1
    goal: float | None = None
    near_limit: float | None = None

    @property
    def structure(self) -> str | None:
        """The structure whose step is timed; None for other kinds."""
        return self.request["structure"] if self.kind == "step" else None

    def takes_part(self, code: str) -> bool:
        """Whether a code is there for this."""
        return self.kind in (CODES[code].only or (self.kind,))


def _step(structure: str, turns: int, warm_up: int, **goals: Any) -> Case:
    return Case(structure, "step", turns, warm_up, {"structure": structure}, **goals)


CASES = (
    _step("Si 8", 15, 3, goal=4.0),
    _step("Si 64", 11, 3, goal=6.0),
    _step("Si 512", 5, 2, goal=6.0, near_limit=2.0),
    _step("LiFePO4 1008", 3, 1, goal=6.0, near_limit=2.0),
    _step("Si 4096", 3, 1, goal=6.0, near_limit=2.0),
    Case("Langevin MD, Si 64", "dynamics", 5, 1, {"structure": "Si 64", "steps": MD_STEPS}, goal=6.0),
    Case(f"{MIXED} mixed crystals", "batch", 3, 1, per=MIXED, goal=6.0),
    Case(f"training step of {TRAINED}", "training", 5, 2, per=TRAINED, goal=3.0),
)


@dataclass(frozen=True)
class Alone:
    """One code and one structure in a process of its own: peak memory, and time.

    Attributes:
        code: as in `codes.CODES`.
        structure: its name in `crystals.named`.
        reference: a small structure to time before and after; None for none.
    """

    code: str
    structure: str
    reference: str | None = None

    @property
    def name(self) -> str:
        """For progress and results."""
        return f"{self.structure}, {self.code} alone"


def alone(codes: Sequence[str]) -> list[Alone]:
    """Memory of all codes, and all sizes of tribond."""
    wanted = [Alone(code, f"Si {size}") for size in MEMORY for code in codes if not CODES[code].only]
    if "tribond" in codes:
        wanted += [Alone("tribond", f"Si {size}") for size in LARGE]
        wanted += [Alone("tribond", f"Si {size} dense") for size in DENSE]
    return [_with_reference(it) for it in wanted]


def _with_reference(it: Alone) -> Alone:
    _, size, *dense = it.structure.split()
    if it.code != "tribond" or int(size) <= REFERENCE:
        return it
    return replace(it, reference=" ".join(["Si", str(REFERENCE), *dense]))
