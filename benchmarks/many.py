"""How fast many small crystals are relaxed: by the pool, by one process, by ASE alone, and by other codes.

    python -m benchmarks.many [--count 200] [--steps 20] [--peers matgl mattersim] [--peer-count 20]

All relax atoms and cell of the same mixed crystals (4 to 72 atoms) for the same number of steps of LBFGS. "Engine alone" is as
many evaluations of the same crystals on one thread, neighbours included, without ASE. Peers have random weights of
the same size, like the ones of `make bench`, and all threads; their times do not depend on weights.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

import tribond
from benchmarks.speed.codes import CODES
from benchmarks.speed.crystals import mixed
from benchmarks.speed.environments import python_of
from tribond.properties.relax import relax
from tribond.screening.engines import Engine, Local, run
from tribond.screening.many import compute, entries
from tribond.screening.plan import make
from tribond.screening.pool import cores
from tribond.screening.ray_engine import Ray
from tribond.screening.settings import Settings
from tribond.screening.store import Store
from tribond.screening.works import Model, Relax

ROOT = Path(__file__).parents[1]
SHARD = 4  # crystals: small, so that two processes end at nearly the same time
TINY = 1e-9  # eV/Å: nobody gets there, all do their steps


def main() -> None:
    """Time everything, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--peers", nargs="*", default=["matgl", "mattersim"])
    parser.add_argument("--peer-count", type=int, default=20)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # scipy's, of the logarithms in ASE's filter
    structures, steps = mixed(given.count), given.steps
    rows: list[tuple[str, float]] = []

    def took(name: str, action: Callable[[], Any], count: int = given.count) -> None:
        begin = time.perf_counter()
        seconds = action() or time.perf_counter() - begin
        rows.append((name, count / seconds))
        print(f"{name}: {count / seconds:.2f} crystals a second", flush=True)

    took("engine alone, one thread", lambda: engine_alone(structures, steps))
    took("one process, one thread, without a pool", lambda: one_by_one(structures, steps, threads=1))
    took("the same with ASE's FrechetCellFilter", lambda: with_ases_filter(structures, steps))
    took("pool of one process", lambda: pool(structures, steps, 1))
    took(f"pool of {cores()} processes", lambda: pool(structures, steps, cores()))
    took(f"tribond screen, pool of {cores()}", lambda: screened(structures, steps, Local(cores())))
    if find_spec("ray") is not None:
        took(f"tribond screen, Ray on {cores()} cores", lambda: screened(structures, steps, Ray(None, cores())))
    for code in given.peers:
        python = python_of(code, ROOT / ".bench")
        took(
            f"{CODES[code].label}, ASE one by one",
            lambda c=code, p=python: peer(p, c, given.peer_count, steps),
            given.peer_count,
        )
    best = rows[4][1]
    print(
        f"\n| {given.count} crystals, {steps} steps each, {cores()} cores | crystals a second | the pool is faster by |\n|---|---|---|"
    )
    for name, rate in rows:
        print(f"| {name} | {rate:.2f} | {best / rate:.2f} |")


def calculator() -> Any:
    """As the processes of the pool have it."""
    return tribond.Calculator(tribond.load(dtype="float64", device="cpu"))


def engine_alone(structures: list[Atoms], steps: int) -> float:
    """Seconds of as many evaluations as the relaxations take, at places that move a little."""
    torch.set_num_threads(1)
    found, seconds = calculator(), 0.0
    for atoms in structures:
        moving = atoms.copy()
        for step in range(steps + 1):
            moving.positions += 1e-3 * (-1) ** step
            begin = time.perf_counter()
            found.calculate(moving)
            seconds += time.perf_counter() - begin
    return seconds


def one_by_one(structures: list[Atoms], steps: int, threads: int) -> None:
    """`relax` in this process."""
    torch.set_num_threads(threads)
    found = calculator()
    for atoms in structures:
        relax(atoms, found, fmax_eV_per_A=TINY, steps=steps)


def with_ases_filter(structures: list[Atoms], steps: int) -> None:
    """ASE's optimizer and cell filter, nothing recorded."""
    torch.set_num_threads(1)
    found = calculator()
    for atoms in structures:
        moving = atoms.copy()
        moving.calc = found
        with LBFGS(FrechetCellFilter(moving), logfile=None) as optimizer:
            optimizer.run(fmax=TINY, steps=steps)


def pool(structures: list[Atoms], steps: int, jobs: int) -> float:
    """Seconds from the first result on: starting processes takes some seconds, which thousands of structures do not see."""
    first: list[float] = []

    def on_progress(progress: Any) -> None:
        if progress.done and not first:
            first.append(time.perf_counter())
            first.append(progress.done)

    work = Relax(Model("default"), (("fmax_eV_per_A", TINY), ("steps", steps)))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "a.db") as store:
        wanted = entries((str(number), atoms) for number, atoms in enumerate(structures))
        compute(wanted, work, store, jobs=jobs, on_progress=on_progress)
    seconds = time.perf_counter() - first[0]
    return seconds * len(structures) / (len(structures) - first[1])


def screened(structures: list[Atoms], steps: int, engine: Engine) -> float:
    """Seconds from the first shard on, for the same reason."""
    relaxation = {"relax": {"fmax_eV_per_A": TINY, "steps": steps}}
    settings = Settings.model_validate({"sources": [{"files": "x"}], "steps": [relaxation], "shard_size": SHARD})
    with tempfile.TemporaryDirectory() as folder:
        named = ((str(number), atoms) for number, atoms in enumerate(structures))
        made = make(Path(folder) / "out", settings, Model("default"), named)
        ends = [time.perf_counter() for _ in run(made, engine, range(len(made.sizes)))]
    return (ends[-1] - ends[0]) * len(ends) / (len(ends) - 1)


def peer(python: Path, code: str, count: int, steps: int) -> float:
    """Seconds of another code in its environment, all threads."""
    command = [str(python), "-m", "benchmarks.relax_one_by_one", code, str(count), str(steps)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{code} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if found["steps"] != count * steps:
        print(f"{code}: {found['steps']} steps instead of {count * steps}")
    return float(found["seconds"]) * count * steps / max(found["steps"], 1)


if __name__ == "__main__":
    main()
