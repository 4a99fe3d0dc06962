"""tribond against the home code of a checkpoint, on the same file and machine, turn by turn.

    python -m benchmarks.speed.published CODE CHECKPOINT PYTHON [CODE CHECKPOINT PYTHON ...] --threads 2

CODE is a name in codes.CODES, CHECKPOINT a file or folder in the format of that code, and PYTHON the interpreter of an
environment in which it is installed: that of `make bench`, .bench/envs/NAME/bin/python, or one with another version.
Prints a Markdown table of medians in milliseconds.
"""

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.speed.codes import CODES
from benchmarks.speed.workers import Worker, WorkerError

STRUCTURES = ("Si 8", "Si 64", "Si 512", "LiFePO4 224")
WARM_UP = 2


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triples", nargs="+", metavar="CODE CHECKPOINT PYTHON")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    if len(given.triples) % 3:
        parser.error("give CODE, CHECKPOINT and PYTHON, three by three")
    triples = list(zip(*[iter(given.triples)] * 3, strict=True))
    for code, _, _ in triples:
        if code not in CODES:
            parser.error(f"unknown code {code}; there are {', '.join(CODES)}")
    print("| checkpoint | structure | home code, ms | tribond, ms | times faster |")
    print("|---|---|---:|---:|---:|")
    for code, checkpoint, python in triples:
        try:
            with (
                Worker(code, python, given.threads, checkpoint) as home,
                Worker("tribond", sys.executable, given.threads, checkpoint) as ours,
            ):
                for structure in STRUCTURES:
                    _compare(home, ours, structure, Path(checkpoint).name, given.repeats)
        except WorkerError as error:
            sys.exit(f"{code} with {checkpoint} and {python}: {error}")


def _compare(home: Worker, ours: Worker, structure: str, name: str, repeats: int) -> None:
    """Print one row: both in turns, so that a machine whose speed drifts is unfair to neither."""
    pairs = [
        tuple(1e3 * worker.ask("step", structure=structure, turn=turn)["seconds"] for worker in (home, ours))
        for turn in range(repeats + WARM_UP)
    ][WARM_UP:]
    theirs, own = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"| {name} | {structure} | {theirs:.0f} | {own:.0f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
