"""One code, timed on demand: started by `workers.Worker` in the environment of that code.

    python -m benchmarks.speed.worker CODE [CHECKPOINT]

Reads requests from standard input, one JSON object a line, and answers each with one: what took how long, or `error`.
Every evaluation is energy, forces and stress in float32, the neighbour list included.
"""

import gc
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from benchmarks.speed.codes import CODES, adapter
from benchmarks.speed.crystals import mixed, named
from benchmarks.speed.labels import random_labels
from tribond.speed.memory import PeakMemory, give_back

MIXED, TRAINED = 64, 32  # structures
REPEATS = 3  # where memory is measured; the first one also pays for asking the system for it
OFTEN = 7  # repeats of something small


class Bench:
    """Everything that a code can be asked for; the public methods are the requests."""

    def __init__(self, code: str, checkpoint: str | None) -> None:
        self.code = adapter(code)
        self.model = self.code.load(checkpoint, **dict(CODES[code].options))
        self.calculator = self.code.calculator(self.model)  # for dynamics, as its users have it
        searching = getattr(self.code, "searching_calculator", None)
        self.searching = self.calculator if searching is None else searching(self.model)
        self.crystals: dict[str, Atoms] = {}
        self.batch_size = 0

    def versions(self) -> dict[str, Any]:
        """The packages that matter."""
        return {"python": sys.version.split()[0], **self.code.versions()}

    def step(self, structure: str, turn: int) -> dict[str, Any]:
        """Energy, forces and stress through the code's ASE calculator."""
        return {"seconds": self._evaluate(structure, turn)}

    def batch(self, turn: int) -> dict[str, Any]:
        """Many mixed crystals the way the code does many; the first time it finds the fastest size of a batch."""
        if not self.batch_size:
            sizes = self.code.BATCH_SIZES
            self.batch_size = min(sizes, key=lambda size: min(self._predict_all(size, seed) for seed in (0, 1)))
        return {"seconds": self._predict_all(self.batch_size, turn), "batch_size": self.batch_size}

    def training(self, turn: int) -> dict[str, Any]:  # noqa: ARG002 - the next step is another one by itself
        """One step of training."""
        return {"seconds": _timed(self._training_step)}

    def dynamics(self, structure: str, steps: int, turn: int) -> dict[str, Any]:
        """Steps of Langevin dynamics at 300 K in ASE."""
        atoms = self._crystal(structure).copy()
        random = np.random.RandomState(turn)
        MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=random)
        atoms.calc = self.calculator
        dynamics = Langevin(atoms, 1.0 * units.fs, temperature_K=300, friction=0.01 / units.fs, rng=random)
        atoms.get_forces()
        return {"seconds": _timed(lambda: dynamics.run(steps)) / steps}

    def memory(self, structure: str, reference: str | None) -> dict[str, Any]:
        """Peak memory above that after import and loading the model; right in a process that did nothing yet.

        The reference, a structure much smaller, is timed before and after: on a machine whose speed drifts, sizes measured
        minutes apart cannot be compared.
        """
        memory = PeakMemory()
        self._evaluate("Si 8", 0)  # what a library makes once, thread pools and compiled functions, is counted
        around = self._evaluate_often(reference) if reference else []
        seconds = [self._evaluate(structure, turn) for turn in range(REPEATS)]
        peak = memory.peak()
        around += self._evaluate_often(reference) if reference else []
        return {"seconds": seconds, "peak_bytes": peak, "reference_seconds": around}

    def _evaluate_often(self, structure: str) -> list[float]:
        return [self._evaluate(structure, turn) for turn in range(1 + OFTEN)][1:]

    def multiply(self) -> dict[str, Any]:
        """Floating-point operations a second of matrix multiplication; of PyTorch, so ask a code that has it."""
        from tribond.speed.limit import multiply_rate

        return {"rate": multiply_rate()}

    @cached_property
    def _training_step(self) -> Callable[[], None]:
        structures = mixed(TRAINED)
        return self.code.training_step(self.model, structures, random_labels(structures))

    def _crystal(self, name: str) -> Atoms:
        if name not in self.crystals:
            self.crystals[name] = named(name)
        return self.crystals[name]

    def _evaluate(self, structure: str, turn: int) -> float:
        atoms = self._crystal(structure).copy()
        atoms.rattle(0.001, seed=turn)
        return _timed(lambda: self.searching.calculate(atoms, ["energy", "forces", "stress"], ["positions"]))

    def _predict_all(self, batch_size: int, turn: int) -> float:
        structures = mixed(MIXED)
        for atoms in structures:
            atoms.rattle(0.001, seed=turn)
        return _timed(lambda: self.code.predict_all(self.model, structures, batch_size))


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Answer every line."""
    warnings.simplefilter("ignore")
    code, *checkpoint = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    bench = Bench(code, *checkpoint or [None])
    print(json.dumps(bench.versions()), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(bench, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001 - whatever a code raises is its result
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"}
        gc.collect()
        give_back()  # the other codes need memory, too
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
