"""One code and one checkpoint, timed on demand: started by published_speed.py in the environment of that code.

    python speed_worker.py CODE CHECKPOINT

CODE is tribond, tensorflow, matgl_dgl, matgl_pyg or mattersim. Reads names of structures from standard input, and
answers each with the milliseconds that energy, forces and stress took, graph included, through the code's own ASE
calculator, in float32.
"""

import os
import sys
import time
import types
import warnings
from typing import Any

from ase import Atoms
from ase.build import bulk

STRUCTURES = ("Si 8", "Si 64", "Si 512", "LiFePO4 224")


def structure(name: str) -> Atoms:
    """A crystal of so many atoms, rattled."""
    element, size = name.split()
    if element == "Si":
        repeat = round((int(size) / 8) ** (1 / 3))
        atoms = bulk("Si", cubic=True).repeat((repeat,) * 3)
    else:
        atoms = olivine().repeat((2, 2, 2))
    atoms.rattle(0.05, seed=1)
    return atoms


def olivine() -> Atoms:
    """LiFePO4, Pnma; lattice and sites rounded."""
    from ase.spacegroup import crystal

    sites = {
        "Li": (0, 0, 0),
        "Fe": (0.282, 0.25, 0.975),
        "P": (0.095, 0.25, 0.418),
        "O1": (0.097, 0.25, 0.743),
        "O2": (0.457, 0.25, 0.206),
        "O3": (0.166, 0.047, 0.285),
    }
    symbols = [name.rstrip("123") for name in sites]
    atoms = crystal(symbols, list(sites.values()), spacegroup=62, cellpar=[10.33, 6.01, 4.69, 90, 90, 90])
    return Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)


def calculator(code: str, checkpoint: str) -> Any:
    """The ASE calculator of a code."""
    if code == "tribond":
        import tribond

        return tribond.Calculator(tribond.load(checkpoint, device="cpu", dtype="float32"))
    if code == "tensorflow":
        from m3gnet.models import M3GNet, M3GNetCalculator, Potential

        return M3GNetCalculator(potential=Potential(M3GNet.from_dir(checkpoint)), compute_stress=True)
    if code.startswith("matgl"):
        if code == "matgl_dgl":
            os.environ["MATGL_BACKEND"] = "DGL"
            without_data_loader_of_dgl()
        import matgl
        from matgl.ext.ase import PESCalculator

        return PESCalculator(matgl.load_model(checkpoint))
    from mattersim.forcefield import MatterSimCalculator, Potential

    return MatterSimCalculator(potential=Potential.from_checkpoint(checkpoint, device="cpu"), device="cpu")


def without_data_loader_of_dgl() -> None:
    """DGL's data loader wants an older PyTorch; nothing here needs it."""

    class Empty(types.ModuleType):
        __path__: tuple[str, ...] = ()

        def __getattr__(self, name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    for name in ("dgl.graphbolt", "dgl.graphbolt.impl"):
        sys.modules[name] = Empty(name)


def main() -> None:
    """Answer every line."""
    warnings.simplefilter("ignore")
    code, checkpoint = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    calculate = calculator(code, checkpoint).calculate
    structures = {name: structure(name) for name in STRUCTURES}
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        atoms = structures[line.strip()].copy()
        atoms.rattle(0.001, seed=time.time_ns() % 2**32)
        start = time.perf_counter()
        calculate(atoms, ["energy", "forces", "stress"], ["positions"])
        print(1e3 * (time.perf_counter() - start), file=answers, flush=True)


if __name__ == "__main__":
    main()
