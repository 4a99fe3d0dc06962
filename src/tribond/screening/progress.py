"""How far the shards under way are, read from their journals: also of those that other machines compute."""

from dataclasses import dataclass, field
from pathlib import Path

from tribond.screening.plan import WORKING, Plan
from tribond.screening.settings import WITH_MODEL

END = b'["end"'
JOURNALED = {*WITH_MODEL, "deduplicate"}


@dataclass
class Pulse:
    """Looks at the journals again and again, each time at what is new.

    Attributes:
        plan: of the screening.
    """

    plan: Plan
    _read: dict[Path, tuple[int, int]] = field(default_factory=dict)  # bytes, ends

    def rows(self) -> float:
        """Structures' worth of work that is done in shards under way."""
        steps = sum(step.kind in JOURNALED for step in self.plan.settings.steps)
        found: dict[Path, tuple[int, int]] = {}
        total = 0.0
        for path in (self.plan.folder / WORKING).glob("*.jsonl"):
            done, ends = self._read.get(path, (0, 0))
            try:
                with path.open("rb") as file:
                    file.seek(done)
                    new = file.read()
            except OSError:
                continue  # it has just become a shard
            whole = new.rfind(b"\n") + 1
            ends += sum(line.startswith(END) for line in new[:whole].split(b"\n"))
            found[path] = (done + whole, ends)
            total += min(ends / max(1, steps), self.plan.sizes[int(path.stem)])
        self._read = found
        return total
