"""What ASE adds to the engine in a step of dynamics: `python benchmarks/dynamics.py`.

Times are those of the processor in one thread, the median of many steps, so that other work on the machine counts little.
The engine is the list of neighbours with its bonds, and energy, forces and stress; the rest is ASE's: integrator,
thermostat, calculator.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ase.build import bulk

import tribond
from tribond.integrations.ase import Calculator
from tribond.simulation.integrators import Integrator
from tribond.simulation.stages import ENSEMBLES, make_stage
from tribond.simulation.start import degrees_of_freedom, draw_velocities, prepare


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="default")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    potential = tribond.load(arguments.model, device="cpu", dtype=arguments.dtype)
    print("| ensemble | atoms | step (ms) | engine (ms) | ASE (ms) | ASE / engine |\n|---|---|---|---|---|---|")
    for cells, steps in ((2, arguments.steps), (4, arguments.steps // 3)):
        for ensemble in ENSEMBLES:
            step, engine = measure(potential, cells, ensemble, steps)
            rest = step - engine
            print(
                f"| {ensemble} | {8 * cells**3} | {1e3 * step:.2f} | {1e3 * engine:.2f} | {1e3 * rest:.2f} | "
                f"{100 * rest / engine:.1f} % |",
                flush=True,
            )


def measure(potential: Any, cells: int, ensemble: str, steps: int) -> tuple[float, float]:
    """Median seconds of a step of hot silicon, and of the engine's part in it."""
    atoms = bulk("Si", cubic=True) * (cells, cells, cells)
    settings = {"ensemble": ensemble, "temperature_K": 600, "steps": 1000, "timestep_fs": 2.0}
    stage = make_stage(settings, atoms)
    moving = prepare(atoms, ensemble)
    generator = np.random.default_rng(0)
    draw_velocities(moving, 600.0, ensemble, generator)
    calculator = Calculator(potential)
    moving.calc = calculator
    spent: list[float] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any) -> Any:
            start = time.process_time()
            try:
                return function(*given)
            finally:
                spent.append(time.process_time() - start)

        return wrapped

    # The two calls of a step that do not belong to ASE.
    calculator._graph = timed(calculator._graph)  # noqa: SLF001
    calculator._potential = _Timed(potential, timed(potential.evaluate))  # noqa: SLF001
    integrator = Integrator(stage, moving, degrees_of_freedom(atoms, ensemble), generator)
    whole, inside = [], []
    for number in range(1, steps + 4):
        spent.clear()
        start = time.process_time()
        integrator.step(number)
        whole.append(time.process_time() - start)
        inside.append(sum(spent))
    return statistics.median(whole[3:]), statistics.median(inside[3:])


class _Timed:
    """A potential whose evaluations are timed."""

    def __init__(self, potential: Any, evaluate: Callable[..., Any]) -> None:
        self._potential = potential
        self.evaluate = evaluate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._potential, name)


if __name__ == "__main__":
    main()
