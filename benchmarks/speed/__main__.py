"""tribond against the other M3GNets, turn by turn on this machine: time, memory, and how far from the limit.

    make bench                                            # everything, some fifteen minutes
    make bench ARGS="--codes tribond matgl --cases 'Si 64' 'Si 512'"
    make bench ARGS=--publish                             # also write docs/speed.md and docs/images/

Results come to .bench/results/ as they are measured; the same command goes on where an interrupted one stopped, and
--anew begins again. After a change of the code there is a new file by itself.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.speed import pictures, report, summary
from benchmarks.speed.cases import CASES, alone
from benchmarks.speed.codes import CODES, USUAL
from benchmarks.speed.environments import EnvironmentFailedError, python_of
from benchmarks.speed.log import ROOT, Log, machine, state_of_the_code
from benchmarks.speed.run import Team, in_turns, say
from benchmarks.speed.run import alone as measure_alone
from benchmarks.speed.workers import WorkerError

BENCH = ROOT / ".bench"
PAGE, IMAGES = ROOT / "docs" / "speed.md", ROOT / "docs" / "images"
ALONE = "alone"  # stands for memory and scaling among the cases


def main() -> None:
    """Measure what has not been measured, and report."""
    given = _arguments()
    pythons, absent = _environments(given.codes)
    codes = list(pythons)
    log = Log(BENCH / "results" / f"{state_of_the_code()}-{given.threads}-threads.jsonl", anew=given.anew)
    say(f"results go to {log.path.relative_to(ROOT)}")
    with Team(pythons, given.threads, BENCH / "compiled") as team:
        versions, failing = _introduce(codes, team)
        absent |= failing
        codes = [code for code in codes if code not in absent]
        log.add(machine=machine(given.threads), versions=versions, absent=absent, when=time.strftime("%Y-%m-%d %H:%M"))
        for case in CASES:
            if case.name in given.cases:
                in_turns(case, codes, team, log)
        team.dismiss(*codes)
        if ALONE in given.cases:
            for what in alone(codes):
                measure_alone(what, team, log)
    _report(log, codes, publish=given.publish)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*(case.name for case in CASES), ALONE]
    parser.add_argument("--codes", nargs="+", choices=CODES, default=list(USUAL), metavar="CODE", help=", ".join(CODES))
    parser.add_argument("--cases", nargs="+", choices=names, default=names, metavar="CASE", help=", ".join(names))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--anew", action="store_true", help="forget what was measured of this state of the code")
    parser.add_argument("--publish", action="store_true", help="write docs/speed.md and docs/images/")
    return parser.parse_args()


def _environments(codes: list[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreters of the codes that can be installed, and why others cannot."""
    pythons, absent = {}, {}
    for code in codes:
        try:
            pythons[code] = python_of(code, BENCH / "envs")
        except EnvironmentFailedError as error:
            absent[code] = str(error)
            say(f"{CODES[code].label} is left out: {error}")
    return pythons, absent


def _introduce(codes: list[str], team: Team) -> tuple[dict[str, Any], dict[str, str]]:
    """Start all codes. Their versions, and what those that do not start say."""
    versions, failing = {}, {}
    for code in codes:
        try:
            versions[code] = team.ask(code, "versions")
            say(f"{CODES[code].label} is ready")
        except WorkerError as error:
            failing[code] = str(error)
            say(f"{CODES[code].label} is left out: {error}")
    return versions, failing


def _report(log: Log, codes: list[str], *, publish: bool) -> None:
    """Tables to the terminal, everything to JSON, pictures."""
    from benchmarks.speed.codes.tribond_code import config
    from tribond.speed.limit import flops_per_bond

    flops, rate = flops_per_bond(config()), summary.overall_rate(log)
    compared, single = summary.comparisons(log, codes, flops), summary.singles(log)
    found = summary.goals(compared, single)
    start = next(record for record in reversed(log.records) if "versions" in record)
    lines: list[str] = []
    if compared:
        lines += [*report.comparison_table(compared, codes), ""]
    if single:
        lines += [*report.memory_table(single, codes), "", *report.scaling_table(single, flops), ""]
    lines += [*report.goal_lines(found), ""]
    where = start["machine"]
    commit = log.path.stem.removesuffix(f"-{where['threads']}-threads")
    speed = f", matrix multiplication {rate / 1e9:.0f} GFLOP/s" if rate else ""
    lines += [
        f"{where['processor']}, {where['threads']} threads{speed}; float32; {start['when']}, commit {commit}; medians.",
        "",
        *report.remarks(codes, start["versions"], start["absent"]),
    ]
    print("\n" + "\n".join(lines))
    content = {
        **start,
        "state": log.path.stem,
        "flops_per_bond": flops,
        "goals": [vars(goal) for goal in found],
        "records": log.records,
    }
    result = log.path.with_suffix(".json")
    result.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    say(f"wrote {result.relative_to(ROOT)}")
    _draw(compared, single, IMAGES if publish else log.path.parent, flops, rate)
    if publish:
        PAGE.write_text(PAGE_START + "\n".join(lines) + "\n", encoding="utf-8")
        say(f"wrote {PAGE.relative_to(ROOT)}")


def _draw(
    compared: list[summary.Comparison], single: list[summary.Single], folder: Path, flops: int, rate: float | None
) -> None:
    limit = None
    if rate:
        bonds_per_atom = summary.count_bonds("Si 512") / 512
        microseconds = 1e6 * bonds_per_atom * flops / rate
        limit = lambda _: microseconds  # noqa: E731 - the same for every size
    speed, memory = folder / "speed.svg", folder / "memory.svg"
    if points := pictures.time_points(compared, single):
        pictures.draw(points, "µs per atom and step", speed, limit)
        say(f"drew {speed.relative_to(ROOT)}")
    if points := pictures.memory_points(single):
        pictures.draw(points, "MB above import", memory)
        say(f"drew {memory.relative_to(ROOT)}")


PAGE_START = """# Speed and memory

Written by `make bench ARGS=--publish`, which takes some fifteen minutes. All codes come from their released packages, compute
models of the same size (three blocks, 64 features, cutoffs of 5 and 4 Å; differences are at the end) with random weights in
float32, and take turns on the same machine. A step is the neighbour list, energy, forces and stress through the code's own
ASE calculator. The columns of the first table are medians; *× fastest peer* is the median of the ratios of the 3 to 15
turns, which on a machine whose speed drifts is not the ratio of the medians. The *limit* is the time of the matrix products
alone at the rate of matrix multiplication that was measured in the same turn. The 64 mixed crystals have 17 atoms on average
and 43 bonds an atom, the 32 of a training step 15 and 40.

The other tables are of one code alone in a fresh process, the median of three steps, with the rate of multiplication after
them; peak memory is that above what the process held after import. *× 512 atoms* is the time of an atom over that of one among
512, timed in the same process before and after. tribond takes up to 380 MB more than it must in order not to compute things
twice ([engine.md](engine.md)); without that, systems need 1.3 to 1.5 kB a bond, always the same.

![Time per atom](images/speed.svg)
![Peak memory](images/memory.svg)

"""

if __name__ == "__main__":
    sys.exit(main())
