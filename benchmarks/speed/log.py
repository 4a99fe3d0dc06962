"""What was measured, one JSON object a line, written as it comes: an interrupted run loses nothing and goes on."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Log:
    """The file of a run.

    Args:
        path: made if it is not there.
        anew: forget what is in it.
    """

    def __init__(self, path: Path, *, anew: bool = False) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if anew or not path.exists():
            path.write_text("", encoding="utf-8")
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):  # cut off while it was written
            lines = lines[:-1]
            path.write_text("".join(lines), encoding="utf-8")
        self.records: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def add(self, **record: Any) -> None:
        """Append a record, and see that it is on the disk."""
        self.records.append(record)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def turns(self, case: str, codes: Iterable[str]) -> list[dict[str, Any]]:
        """The turns of a case in which exactly these codes took part."""
        took_part = set(codes)
        return [
            record
            for record in self.records
            if record.get("case") == case and record["seconds"].keys() | record["errors"].keys() == took_part
        ]

    def alone(self, code: str, structure: str) -> dict[str, Any] | None:
        """What one code needed for a structure in a process of its own, if it has been measured."""
        for record in self.records:
            if record.get("alone") == code and record["structure"] == structure:
                return record
        return None


def state_of_the_code() -> str:
    """The commit, with a mark of its own for every other state of the files that matter: results do not mix."""
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    changed = _git("diff", "HEAD", "--", "src", "benchmarks")
    return f"{commit}-{hashlib.sha256(changed.encode()).hexdigest()[:8]}" if changed else commit


def machine(threads: int) -> dict[str, Any]:
    """What the numbers hold for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_GB": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "threads": threads,
    }


def _git(*arguments: str) -> str:
    """What git says, or nothing where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
