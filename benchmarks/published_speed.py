"""tribond against the home code of a checkpoint, on the same file and machine, turn by turn.

    python benchmarks/published_speed.py CODE CHECKPOINT PYTHON [CODE CHECKPOINT PYTHON ...] --threads 2

PYTHON is the interpreter of an environment in which CODE (see speed_worker.py) is installed. Prints a Markdown table of
medians in milliseconds; both take turns, so that a machine whose speed drifts is unfair to neither.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from speed_worker import STRUCTURES

WORKER = Path(__file__).with_name("speed_worker.py")
WARM_UP = 2


class Worker:
    """A process that times one code."""

    def __init__(self, code: str, checkpoint: str, python: str, threads: int) -> None:
        threading = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), str(threads))
        self.process = subprocess.Popen(
            [python, str(WORKER), code, checkpoint],
            env=os.environ | threading,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.input: Any = self.process.stdin
        self.output: Any = self.process.stdout
        if self.answer() != "ready":
            sys.exit(f"{code} cannot load {checkpoint} with {python}")

    def answer(self) -> str:
        """The next line that the process prints."""
        return self.output.readline().strip()

    def milliseconds(self, structure: str) -> float:
        """One evaluation."""
        print(structure, file=self.input, flush=True)
        return float(self.answer())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triples", nargs="+", metavar="CODE CHECKPOINT PYTHON")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    if len(given.triples) % 3:
        parser.error("give CODE, CHECKPOINT and PYTHON, three by three")
    print("| checkpoint | structure | home code, ms | tribond, ms | times faster |")
    print("|---|---|---:|---:|---:|")
    for code, checkpoint, python in zip(*[iter(given.triples)] * 3, strict=True):
        with (
            Worker(code, checkpoint, python, given.threads) as home,
            Worker("tribond", checkpoint, sys.executable, given.threads) as ours,
        ):
            for structure in STRUCTURES:
                pairs = [
                    (home.milliseconds(structure), ours.milliseconds(structure)) for _ in range(given.repeats + WARM_UP)
                ][WARM_UP:]
                theirs, own = (statistics.median(times) for times in zip(*pairs, strict=True))
                ratio = statistics.median(a / b for a, b in pairs)
                print(f"| {Path(checkpoint).name} | {structure} | {theirs:.0f} | {own:.0f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
