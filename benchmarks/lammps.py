"""Time of a step and memory of a process in LAMMPS, against tribond's engine in Python, turn by turn.

    python -m benchmarks.lammps --plugin .../tribondplugin.so [--atoms 512 4096] [--rounds 7]

A turn measures each set-up once; the table gives medians over the turns, and medians of the ratios within a turn, so that
other work on the machine disturbs all alike. The engine's time is energy, forces and stress of a graph that is there
already; LAMMPS' time is a whole step of dynamics at constant energy, with its own list of neighbours.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

import tribond
from tribond.checkpoints.native import save_model
from tribond.integrations.lammps.build import PLUGIN, default_folder
from tribond.integrations.lammps.deck import write_data
from tribond.integrations.lammps.find import lammps_command, mpiexec_command

SETUPS = ((1, 1), (1, 2), (2, 1))  # ranks, threads of each
PEAK = "PEAK MEMORY"
# Runs a program and says how much memory it took: MPI starts it in place of LAMMPS.
WATCH = f"""
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], close_fds=False)  # MPI talks through one
print("{PEAK}", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""
DECK = """
plugin load {plugin}
units metal
read_data atoms.data
pair_style tribond threads {threads}
pair_coeff * * model.safetensors Si
velocity all create 300 4928 loop geom
fix motion all nve
timestep 0.001
thermo 1000
run 2
run {steps}
"""


def crystal(size: int) -> Atoms:
    """Silicon, atoms moved a little: 8 size³ atoms."""
    atoms = bulk("Si", "diamond", a=5.47, cubic=True) * (size, size, size)
    atoms.rattle(0.05, seed=0)
    return atoms


Times = tuple[float, float]  # s, by the clock and of the processors


def engine(potential: tribond.Potential, atoms: Atoms, threads: int, repeats: int) -> Times:
    """Median time of an evaluation without the search for neighbours."""
    torch.set_num_threads(threads)
    graph = potential.graph(atoms)
    potential.evaluate(graph)
    times = []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        potential.evaluate(graph)
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return median(it[0] for it in times), median(it[1] for it in times)


def lammps(folder: Path, plugin: Path, ranks: int, threads: int, steps: int) -> tuple[Times, list[float]]:
    """Mean time of a step, and the peak memory of each rank in MB."""
    (folder / "in.speed").write_text(DECK.format(plugin=plugin, threads=threads, steps=steps))
    command = [*(mpiexec_command() or []), "-n", str(ranks), sys.executable, "watch.py", *(lammps_command() or [])]
    done = subprocess.run(
        [*command, "-in", "in.speed", "-log", "none"], cwd=folder, capture_output=True, text=True, check=True
    )
    loop = re.findall(rf"Loop time of (\S+) on .* for {steps} steps", done.stdout)[-1]
    use = float(re.findall(r"(\S+)% CPU use", done.stdout)[-1]) / 100 * ranks
    return (float(loop) / steps, float(loop) / steps * use), [
        float(it) / 1024 for it in re.findall(rf"{PEAK} (\d+)", done.stdout)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugin", type=Path, default=default_folder() / PLUGIN)
    parser.add_argument("--model", default="default")
    parser.add_argument("--atoms", type=int, nargs="+", default=[512, 4096])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement, about")
    options = parser.parse_args()
    potential = tribond.load(options.model, dtype="float32")
    print(
        f"{'atoms':>6} {'ranks x threads':>16} {'ms a step':>10} {'/ engine':>9} {'/ 1 x 2':>8} {'CPU ms':>8} {'/ engine':>9} {'MB a rank':>10}"
    )
    for count in options.atoms:
        atoms = crystal(round((count / 8) ** (1 / 3)))
        times: dict[tuple[int, int], list[Times]] = {it: [] for it in SETUPS}
        engines: dict[int, list[Times]] = {1: [], 2: []}
        memory: dict[tuple[int, int], list[float]] = {}
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            save_model(folder / "model.safetensors", potential.model, potential.metadata)
            write_data(folder / "atoms.data", atoms, ["Si"])
            (folder / "watch.py").write_text(WATCH)
            guess = engine(potential, atoms, 1, 1)
            steps = max(3, round(options.seconds / guess[0]))
            for _ in range(options.rounds):
                for threads, measured in engines.items():
                    measured.append(engine(potential, atoms, threads, steps))
                for setup, measured in times.items():
                    seconds, memory[setup] = lammps(folder, options.plugin.resolve(), *setup, steps)
                    measured.append(seconds)
        for threads, measured in engines.items():
            wall, cpu = 1e3 * np.median(measured, axis=0)
            print(f"{len(atoms):>6} {f'engine x {threads}':>16} {wall:>10.1f} {'':>9} {'':>8} {cpu:>8.1f}")
        for (ranks, threads), measured in times.items():
            wall, cpu = 1e3 * np.median(measured, axis=0)
            to_engine = np.median(np.divide(measured, engines[ranks * threads]), axis=0)
            to_threads = np.median(np.divide(measured, times[1, 2]), axis=0)
            print(
                f"{len(atoms):>6} {f'{ranks} x {threads}':>16} {wall:>10.1f} {to_engine[0]:>9.2f} {to_threads[0]:>8.2f} "
                f"{cpu:>8.1f} {to_engine[1]:>9.2f} {max(memory[ranks, threads]):>10.0f}"
            )


if __name__ == "__main__":
    main()
