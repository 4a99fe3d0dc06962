"""Relaxations one after the other by ASE, as users of a code have them: runs in the environment of that code.

    python -m benchmarks.relax_one_by_one CODE COUNT STEPS

Prints seconds and steps as JSON. Nothing of tribond is needed here.
"""

import json
import sys
import time
import warnings

from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from benchmarks.speed.codes import CODES, adapter
from benchmarks.speed.crystals import mixed


def main() -> None:
    """Relax so many mixed crystals, each for so many steps."""
    code, count, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("ignore")
    module = adapter(code)
    calculator = module.calculator(module.load(**dict(CODES[code].options)))
    structures = mixed(count)
    first = structures[0].copy()
    first.calc = calculator
    first.get_potential_energy()  # what a code does once
    begin = time.perf_counter()
    done = 0
    for atoms in structures:
        atoms.calc = calculator
        with LBFGS(FrechetCellFilter(atoms), logfile=None) as optimizer:
            optimizer.run(fmax=1e-9, steps=steps)
            done += optimizer.nsteps
    print(json.dumps({"seconds": time.perf_counter() - begin, "steps": done, "versions": module.versions()}))


if __name__ == "__main__":
    main()
