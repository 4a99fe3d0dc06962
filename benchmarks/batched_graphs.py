"""Graphs of many small crystals: from structures one by one, from tensors, and from a list that is kept.

    python -m benchmarks.batched_graphs structures.extxyz

Milliseconds of processor time on one thread, the least of many, for all crystals together. Bonds are those of the built-in
potential, up to 5 Å.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice

import ase.io
import numpy as np
import torch
from ase import Atoms

from tribond.graph.atom_graph import AtomGraph
from tribond.graph.batch_skin import VerletBatch
from tribond.graph.build import atom_graph
from tribond.graph.systems import graph_from_tensors

CUTOFFS = {"cutoff": 5.0, "threebody_cutoff": 4.0}


def tensors(structures: list[Atoms]) -> dict[str, torch.Tensor]:
    """What a batched program holds."""
    return {
        "positions": torch.from_numpy(np.concatenate([atoms.positions for atoms in structures])),
        "cell": torch.from_numpy(np.stack([atoms.cell.array for atoms in structures])),
        "pbc": torch.from_numpy(np.stack([atoms.pbc for atoms in structures])),
        "atomic_numbers": torch.from_numpy(np.concatenate([atoms.numbers for atoms in structures])),
        "system_index": torch.arange(len(structures)).repeat_interleave(torch.tensor([len(a) for a in structures])),
    }


def as_structures(given: dict[str, torch.Tensor]) -> list[Atoms]:
    """Atoms of a batch, as programs make them that know structures alone."""
    arrays = {name: tensor.numpy() for name, tensor in given.items()}
    ends = np.bincount(arrays["system_index"]).cumsum()
    parts = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [
        Atoms(arrays["atomic_numbers"][part], arrays["positions"][part], cell=cell, pbc=pbc)
        for part, cell, pbc in zip(parts, arrays["cell"], arrays["pbc"], strict=True)
    ]


def least(function: Callable[[], object], times: int = 30) -> float:
    """Milliseconds of processor time."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)
    return 1e3 * min(spent)


def moving(given: dict[str, torch.Tensor], jumping: int) -> Iterator[dict[str, torch.Tensor]]:
    """Small moves of all atoms; of so many systems, others each time, moves far beyond the skin."""
    random, systems = np.random.default_rng(0), cycle(range(len(given["cell"])))
    positions = given["positions"].clone()
    while True:
        positions = positions.clone()
        for system in islice(systems, jumping):
            positions[given["system_index"] == system] += 2.0
        yield given | {"positions": positions + 0.02 * torch.from_numpy(random.standard_normal(positions.shape))}


def kept(given: dict[str, torch.Tensor], jumping: int, times: int = 30) -> float:
    """Milliseconds of a step with a list that is kept."""
    batch, ready = VerletBatch(*CUTOFFS.values()), iter(list(islice(moving(given, jumping), times)))
    batch(**given)
    return least(lambda: batch(**next(ready)), times)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=1, help="along every axis")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    structures = []
    for atoms in ase.io.iread(arguments.structures):
        if atoms.pbc.all() and 4 <= len(atoms) <= 20:
            plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
            structures.append(plain.repeat(arguments.repeat))
        if len(structures) == arguments.count:
            break
    given = tensors(structures)
    graph = graph_from_tensors(**given, **CUTOFFS)
    print(f"{graph.num_systems} crystals, {graph.num_atoms} atoms, {graph.num_edges} bonds; ms")
    one_by_one = least(lambda: AtomGraph.batch([atom_graph(atoms, **CUTOFFS) for atoms in structures]))
    print(f"from Atoms                            {one_by_one:8.2f}")
    through = least(lambda: AtomGraph.batch([atom_graph(atoms, **CUTOFFS) for atoms in as_structures(given)]))
    print(f"from tensors through Atoms            {through:8.2f}")
    print(f"from tensors                          {least(lambda: graph_from_tensors(**given, **CUTOFFS)):8.2f}")
    for jumping in (0, 1, 10):
        print(f"from a kept list, {jumping:2} systems renewed    {kept(given, jumping):8.2f}", flush=True)


if __name__ == "__main__":
    main()
