"""Check a potential on a GPU against float64 on the CPU, and time it: one command for a machine one has just got.

Run it as ``python benchmarks/check_device.py --device cuda``. Prints a table in Markdown and ends with status 1 if
energies differ by more than 1e-6 eV/atom or forces by more than 1e-5 eV/Å in float32.
"""

import argparse
import statistics
import sys
import time

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule

import tribond

ENERGY_TOLERANCE = 1e-6  # eV/atom
FORCE_TOLERANCE = 1e-5  # eV/Å


def structures() -> dict[str, Atoms]:
    """Every kind of structure, rattled."""
    kinds = {
        "Si crystal": bulk("Si", cubic=True).repeat((2, 2, 2)),
        "NaCl crystal": bulk("NaCl", "rocksalt", 5.64).repeat((2, 2, 2)),
        "one-atom cell": bulk("Cu"),
        "slab": fcc111("Al", (2, 2, 3), vacuum=8.0),
        "molecule": molecule("CH3CH2OH"),
        "isolated atom": Atoms("Xe"),
    }
    for seed, atoms in enumerate(kinds.values()):
        atoms.rattle(0.05, seed=seed)
    return kinds


def median_ms(potential: tribond.Potential, atoms: Atoms, repeats: int) -> tuple[float, int]:
    """Median time of energy, forces and stress, the graph not counted, and the number of bonds."""
    graph = potential.graph(atoms)
    times = []
    for _ in range(repeats + 3):
        if potential.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        potential.evaluate(graph)
        if potential.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[3:]), graph.num_edges


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="default", help="name or path, as tribond.load takes it")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--largest", type=int, default=8, help="repeats of the cubic Si cell along each axis")
    arguments = parser.parse_args()
    exact = tribond.load_potential(arguments.model, device="cpu", dtype="float64")
    fast = tribond.load_potential(arguments.model, device=arguments.device, dtype="float32")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if fast.device.type == 'cuda' else 'CPU'}\n")
    print("| structure | energy difference, eV/atom | force difference, eV/Å |\n|---|---|---|")
    failed = False
    for name, atoms in structures().items():
        want, got = exact.predict(atoms)[0], fast.predict(atoms)[0]
        energy = abs(got.energy - want.energy) / len(atoms)
        force = float(np.abs(got.forces - want.forces).max())
        failed |= energy > ENERGY_TOLERANCE or force > FORCE_TOLERANCE
        print(f"| {name} | {energy:.1e} | {force:.1e} |", flush=True)
    print("\n| atoms | bonds | float32, ms | µs per atom |\n|---|---|---|---|")
    repeat = 2
    while repeat <= arguments.largest:
        atoms = bulk("Si", cubic=True).repeat((repeat, repeat, repeat))
        milliseconds, bonds = median_ms(fast, atoms, 10)
        print(f"| {len(atoms)} | {bonds} | {milliseconds:.2f} | {1000 * milliseconds / len(atoms):.1f} |", flush=True)
        repeat *= 2
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
