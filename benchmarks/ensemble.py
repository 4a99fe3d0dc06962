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
TURNS = 25


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


def fastest(steps: Sequence[Callable[[Atoms], object]], frames: Sequence[Atoms]) -> list[float]:
    """The shortest time of each kind of step, ms, taken in turn: what else runs on the machine only makes them longer."""
    times = np.full(len(steps), np.inf)
    for atoms in frames:
        for index, step in enumerate(steps):
            start = time.process_time()
            step(atoms)
            times[index] = min(times[index], time.process_time() - start)
    found: list[float] = (1e3 * times).tolist()
    return found


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    potentials = members()
    print("atoms   one (ms)   four one by one   ensemble   ensemble / one")
    for cells in (1, 2, 4):
        atoms = bulk("Si", cubic=True) * (cells, cells, cells)
        random = np.random.default_rng(0)
        frames = []
        for _ in range(TURNS):
            atoms.positions += 0.01 * random.normal(size=atoms.positions.shape)
            frames.append(atoms.copy())
        singles = [tribond.Calculator(it) for it in potentials]
        together = tribond.Calculator(tribond.Ensemble(potentials))
        steps = (
            tribond.Calculator(potentials[0]).calculate,
            lambda it, singles=singles: [single.calculate(it) for single in singles],
            together.calculate,
        )
        one, each, ensemble = fastest(steps, frames)
        print(f"{len(atoms):5}   {one:8.2f}   {each:15.2f}   {ensemble:8.2f}   {ensemble / one:14.2f}", flush=True)


if __name__ == "__main__":
    main()
