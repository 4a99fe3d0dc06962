"""What an ensemble costs: the time of a step of dynamics with one member, four one by one, and four as an ensemble.

    python benchmarks/ensemble.py

Silicon at random displacements, the size of the built-in potential, float32, one thread; times of the processor, so that other
work on the machine counts less. A step is the list of neighbours with its skin, energy, forces and stress. Members that are
evaluated one by one each keep their own list, as four calculators do.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

import tribond

MEMBERS = 4
REPEATS = 25


def members() -> list[tribond.Potential]:
    """The built-in potential, and copies with other weights: the time does not depend on them."""
    first = tribond.load_potential(device="cpu", dtype="float32")
    found = [first]
    for seed in range(1, MEMBERS):
        model = tribond.load_potential(device="cpu", dtype="float32").model
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.01 * weight.abs().mean() * torch.randn(weight.shape, generator=generator))
        found.append(tribond.Potential(model))
    return found


def seconds(step: Callable[[Atoms], object], frames: Sequence[Atoms]) -> float:
    """Median time of a step."""
    times = []
    for atoms in frames:
        start = time.process_time()
        step(atoms)
        times.append(time.process_time() - start)
    return float(np.median(times[2:]))


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    potentials = members()
    print("atoms   one (ms)   four one by one   ensemble   ensemble / one")
    for cells in (1, 2, 4):
        atoms = bulk("Si", cubic=True) * (cells, cells, cells)
        random = np.random.default_rng(0)
        frames = []
        for _ in range(REPEATS + 2):
            atoms.positions += 0.01 * random.normal(size=atoms.positions.shape)
            frames.append(atoms.copy())
        singles = [tribond.Calculator(it) for it in potentials]
        together = tribond.Calculator(tribond.Ensemble(potentials))
        one = seconds(singles[0].calculate, frames)
        each = seconds(lambda it, singles=singles: [single.calculate(it) for single in singles], frames)
        ensemble = seconds(together.calculate, frames)
        print(
            f"{len(atoms):5}   {1e3 * one:8.2f}   {1e3 * each:15.2f}   {1e3 * ensemble:8.2f}   {ensemble / one:10.2f}"
        )


if __name__ == "__main__":
    main()
