"""tribond as it is used on a GPU: correctness, then dynamics by the calculator, batches, batched relaxation, training.

    PYTHONPATH=src:. python benchmarks/gpu/everyday.py [--device cuda]

Ends with status 1 if the calculator differs from float64 on the CPU by more than 3e-6 eV/atom, 1e-5 eV/Å or 1e-6 eV/Å³.
Medians; every number counts everything from structures to results. `TRITON_INTERPRET=1 ... --device cpu` is a rehearsal on a
few atoms in Triton's interpreter, for whoever changes this file.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.md.verlet import VelocityVerlet

import tribond
from benchmarks.speed.codes import tribond_code
from benchmarks.speed.crystals import mixed
from benchmarks.speed.labels import random_labels
from tribond.models import recorded

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cuda")
arguments = parser.parse_args()
REHEARSAL = arguments.device == "cpu"

# Float32 on a CPU is off by 1e-6 eV for a single xenon atom, whose energy is made of large parts.
TOLERANCES = {"energy, eV/atom": 3e-6, "forces, eV/Å": 1e-5, "stress, eV/Å³": 1e-6}
KINDS = {
    "Si crystal": lambda: bulk("Si", cubic=True).repeat(2),
    "NaCl crystal": lambda: bulk("NaCl", "rocksalt", 5.64, cubic=True),
    "one-atom cell": lambda: bulk("Cu"),
    "slab": lambda: fcc111("Al", (2, 2, 3), vacuum=8.0),
    "molecule": lambda: molecule("CH3CH2OH"),
    "isolated atom": lambda: Atoms("Xe"),
}


def say(*words: object) -> None:
    """At once, also into a file."""
    print(*words, flush=True)


def synchronize() -> None:
    """Wait for the device."""
    if arguments.device != "cpu":
        torch.cuda.synchronize()


def check(potential: tribond.Potential) -> bool:
    """Print the errors of recorded steps, moved once and strained once; False if one is too large."""
    exact = tribond.load_potential("default", device="cpu", dtype="float64")
    calculator = tribond.Calculator(potential)
    say("| structure | recorded | " + " | ".join(TOLERANCES) + " |\n|---|---|" + "---:|" * len(TOLERANCES))
    fine = True
    kinds = ("molecule", "isolated atom") if REHEARSAL else tuple(KINDS)
    for seed, name in enumerate(kinds):
        atoms = KINDS[name]()
        largest = np.zeros(3)
        was_recorded = False
        for turn in range(3):
            atoms.rattle(0.05, seed=10 * seed + turn)
            if turn == 2:
                atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=bool(atoms.pbc.all()))
            step = potential.recorder(1.0)
            was_recorded = step is not None and any(step(atoms) is not None for _ in range(2))
            calculator.calculate(atoms)
            expected = exact.predict(atoms)[0]
            found = calculator.results
            difference = [
                abs(found["energy"] - expected.energy) / len(atoms),
                np.abs(found["forces"] - expected.forces).max(),
                0.0
                if expected.stress is None
                else np.abs(found["stress"] - expected.stress.flat[[0, 4, 8, 5, 2, 1]]).max(),
            ]
            largest = np.maximum(largest, difference)
        bad = [error > allowed for error, allowed in zip(largest, TOLERANCES.values(), strict=True)]
        cells = [f"{error:.1e}{' !' if wrong else ''}" for error, wrong in zip(largest, bad, strict=True)]
        say(f"| {name} | {'yes' if was_recorded else 'NO !'} | " + " | ".join(cells) + " |")
        fine &= was_recorded and not any(bad)
    return fine


@contextmanager
def as_before() -> Iterator[None]:
    """Without recording: what the calculator did before."""
    most, recorded.MOST_ATOMS = recorded.MOST_ATOMS, 0
    try:
        yield
    finally:
        recorded.MOST_ATOMS = most


def dynamics(potential: tribond.Potential, repeats: tuple[int, ...], steps: int) -> None:
    """Print what a step of constant energy by ASE takes, recorded and not, and how far the total energy has drifted."""
    say(
        "\n| silicon, atoms | recorded, ms a step | not recorded | total energy after, meV/atom |\n|---:|---:|---:|---:|"
    )
    for repeat in repeats:
        took: dict[str, float] = {}
        drift = 0.0
        for way in ("recorded", "not"):
            atoms = bulk("Si", cubic=True).repeat(repeat) if repeat else molecule("CH4")
            spread = np.sqrt(atoms.get_masses() * units.kB * 600)[:, None]
            atoms.set_momenta(spread * np.random.default_rng(0).standard_normal((len(atoms), 3)))
            atoms.calc = tribond.Calculator(potential)
            run = VelocityVerlet(atoms, 1 * units.fs)

            def go(run: Any = run, atoms: Atoms = atoms) -> tuple[float, float]:
                run.run(1 if REHEARSAL else 10)
                start_energy, start = atoms.get_total_energy(), time.perf_counter()
                run.run(steps)
                seconds = time.perf_counter() - start
                return 1000 * seconds / steps, 1000 * (atoms.get_total_energy() - start_energy) / len(atoms)

            if way == "recorded":
                took[way], drift = go()
            else:
                with as_before():
                    took[way], _ = go()
        say(f"| {len(atoms)} | **{took['recorded']:.2f}** | {took['not']:.2f} | {drift:+.3f} |")


def batches(potential: tribond.Potential, structures: list[Atoms]) -> None:
    """Print how many crystals a second `predict` does, and how many the network alone does once graphs are there."""
    potential.predict(structures)
    synchronize()
    start = time.perf_counter()
    potential.predict(structures)
    everything = len(structures) / (time.perf_counter() - start)
    graphs = list(potential._batches(structures, None))  # noqa: SLF001 - the batches that `predict` makes
    for graph in graphs:
        potential.evaluate(graph)
    synchronize()
    start = time.perf_counter()
    for graph in graphs:
        potential.evaluate(graph)
    synchronize()
    alone = len(structures) / (time.perf_counter() - start)
    say(
        f"\n{len(structures)} mixed crystals, {sum(map(len, structures))} atoms: {everything:.0f} crystals a second by "
        f"`predict`, {alone:.0f} by the network alone"
    )


def batched_relaxation(potential: tribond.Potential, structures: list[Atoms], steps: int) -> None:
    """Print how fast torch-sim relaxes atoms and cells, and how fast ASE does a few of them one by one."""
    if find_spec("torch_sim") is None:
        say("\nbatched relaxation: torch-sim is not installed here")
        return
    from benchmarks.torchsim_relax import Counted, batched, one_by_one

    model = Counted(potential)
    start = time.perf_counter()
    batched(structures, model, "frechet", 0.02, steps, None)
    synchronize()
    seconds = time.perf_counter() - start
    few = structures[: max(1, len(structures) // 50)]
    start = time.perf_counter()
    one_by_one(few, potential, "frechet", 0.02, steps)
    alone = (time.perf_counter() - start) / len(few)
    say(
        f"\nrelaxation of {len(structures)} crystals to 0.02 eV/Å, at most {steps} steps of FIRE: {len(structures) / seconds:.1f} "
        f"crystals a second by torch-sim ({model.calls} batches, {model.systems} systems evaluated), {1 / alone:.2f} by ASE one by one"
    )


def training(structures: list[Atoms], steps: int) -> None:
    """Print how many crystals a second a training learns from: graphs, forces, stresses, loss, gradient, Adam."""
    potential = tribond_code.load()
    there = tribond.Potential(potential.model.to(arguments.device))
    step = tribond_code.training_step(there, structures, random_labels(structures), device=arguments.device)
    times = []
    for turn in range(steps + 3):
        start = time.perf_counter()
        step()
        synchronize()
        if turn >= 3:
            times.append(time.perf_counter() - start)
    say(
        f"\ntraining, {len(structures)} crystals a step: {len(structures) / statistics.median(times):.0f} crystals a second"
    )


def main() -> None:
    """Print everything."""
    torch.set_num_threads(min(16, torch.get_num_threads()))
    if REHEARSAL:
        recorded.triton_runs_on = lambda _: True
        say("a rehearsal: the times mean nothing\n")
    else:
        say(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    potential = tribond.load_potential("default", device=arguments.device, dtype="float32")
    parts: list[Callable[[], object]] = [
        lambda: dynamics(potential, (0,) if REHEARSAL else (2, 4, 8), 1 if REHEARSAL else 200),
        lambda: batches(potential, mixed(2 if REHEARSAL else 1000)),
        lambda: batched_relaxation(potential, mixed(2 if REHEARSAL else 1000), 2 if REHEARSAL else 200),
        lambda: training(mixed(2 if REHEARSAL else 32), 1 if REHEARSAL else 30),
        lambda: training(mixed(2 if REHEARSAL else 256), 1 if REHEARSAL else 10),
    ]
    fine = check(potential)
    for part in parts:
        try:
            part()
        except Exception as error:  # noqa: BLE001 - the other parts shall be seen, too
            fine = False
            say(f"\nfailed: {error!r:.500}")
    sys.exit(not fine)


if __name__ == "__main__":
    main()
