"""Relax many small crystals, atoms and cells: by torch-sim's batched FIRE, and one by one with ASE's.

    python -m benchmarks.torchsim_relax structures.extxyz --filter unit --threads 1

Both follow ASE's FIRE with the same filter of the cell, threshold and limit of steps. Says seconds of wall and of
processor time, which other work on the machine disturbs less, how many evaluations of a system there were, and how far
the relaxed energies are apart. Needs torch-sim: pip install '.[torchsim]'.
"""

import argparse
import time
import warnings
from importlib.metadata import version
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.filters import FrechetCellFilter, UnitCellFilter
from ase.optimize import FIRE

import tribond
from tribond.graph.atom_graph import AtomGraph
from tribond.models.potential import Potential

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit.script, which torch-sim calls
    import torch_sim

    from tribond.integrations.torchsim import TorchSimModel

FILTERS = {"unit": UnitCellFilter, "frechet": FrechetCellFilter}
OLD = not hasattr(torch_sim, "Optimizer")  # torch-sim 0.3


class Counted(TorchSimModel):
    """Counts what is evaluated, and the time that it takes."""

    systems = 0
    calls = 0
    seconds = 0.0
    searching = 0.0

    def forward(self, state: Any, **others: Any) -> dict[str, torch.Tensor]:
        """As it is, counted."""
        start = time.process_time()
        result = super().forward(state, **others)
        self.seconds += time.process_time() - start
        self.systems += len(state.cell)
        self.calls += 1
        return result

    def graph(self, state: Any) -> AtomGraph:
        """As it is, timed."""
        start = time.process_time()
        graph = super().graph(state)
        self.searching += time.process_time() - start
        return graph


def chosen(path: str, count: int, rattle: float) -> list[Atoms]:
    """Periodic crystals of 4 to 20 atoms, right-handed, their atoms moved a little."""
    found = []
    for atoms in ase.io.iread(path):
        if atoms.pbc.all() and 4 <= len(atoms) <= 20 and np.linalg.det(atoms.cell.array) > 0:
            plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
            plain.rattle(rattle, seed=len(found))
            found.append(plain)
        if len(found) == count:
            break
    return found


def batched(
    structures: list[Atoms], model: Counted, filter_name: str, fmax: float, steps: int, bonds: int | None
) -> Any:
    """The relaxed state."""
    if OLD:
        which = {"unit": torch_sim.unit_cell_fire, "frechet": torch_sim.frechet_cell_fire}[filter_name]
        settings = {"optimizer": which}
    else:
        settings = {
            "optimizer": torch_sim.Optimizer.fire,
            "init_kwargs": {"cell_filter": getattr(torch_sim.CellFilter, filter_name)},
        }
    return torch_sim.optimize(
        model.initial_state(structures),
        model,
        convergence_fn=torch_sim.generate_force_convergence_fn(force_tol=fmax, include_cell_forces=True),
        max_steps=steps,
        steps_between_swaps=1,
        autobatcher=model.in_flight(max_bonds=bonds),
        **settings,
    )


def one_by_one(
    structures: list[Atoms], potential: Potential, filter_name: str, fmax: float, steps: int
) -> tuple[list[float], int]:
    """Relaxed energies, and the evaluations made."""
    energies, evaluations = [], 0
    for structure in structures:
        atoms = structure.copy()
        atoms.calc = tribond.Calculator(potential)
        optimizer = FIRE(FILTERS[filter_name](atoms), logfile=None)
        optimizer.run(fmax=fmax, steps=steps)
        energies.append(atoms.get_potential_energy() / len(atoms))
        evaluations += optimizer.nsteps + 1
    return energies, evaluations


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--filter", choices=FILTERS, default="unit")
    parser.add_argument("--fmax", type=float, default=0.02, help="eV/Å")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rattle", type=float, default=0.05, help="Å")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--max-bonds", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--skip-ase", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    structures = chosen(arguments.structures, arguments.count, arguments.rattle)
    potential = tribond.load(dtype=arguments.dtype)
    sizes = [len(atoms) for atoms in structures]
    print(f"{len(structures)} crystals of {min(sizes)} to {max(sizes)} atoms, {sum(sizes)} in all", flush=True)
    for warm in structures[:2]:
        potential.predict(warm)
    common = (arguments.filter, arguments.fmax, arguments.steps)

    model = Counted(potential)
    wall, processor = time.perf_counter(), time.process_time()
    state = batched(structures, model, *common, arguments.max_bonds)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"torch-sim {version('torch-sim-atomistic')}: {wall:.1f} s, processor {processor:.1f} s, of which tribond "
        f"{model.seconds:.1f} s and its neighbours {model.searching:.1f} s; {model.calls} batches, {model.systems} "
        f"systems evaluated, {model.searches} searched",
        flush=True,
    )
    if arguments.skip_ase:
        return
    wall, processor = time.perf_counter(), time.process_time()
    energies, evaluations = one_by_one(structures, potential, *common)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"ASE: {wall:.1f} s, processor {processor:.1f} s; {evaluations} systems evaluated")
    apart = np.abs(state.energy.numpy() / sizes - energies)
    print(
        f"energies apart: median {np.median(apart):.1e}, largest {apart.max():.1e} eV/atom; {(apart > 1e-3).sum()} above 1e-3"
    )


if __name__ == "__main__":
    main()
