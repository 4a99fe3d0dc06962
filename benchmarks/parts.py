"""Time and memory of PyTorch's ways to energies and forces, one a process: `python -m benchmarks.parts whole 8`.

Arguments: `parts` (backends/chunked.py), `whole` (automatic differentiation) or `compiled`, and n for silicon of 8 n³ atoms.
Printed are seconds of processor time, the best of three on one thread, and MB beyond what there was before.
"""

import resource
import sys
import time

import numpy as np
import torch
from ase.build import bulk

from tribond import compiled
from tribond.backends import chunked, native
from tribond.graph.build import atom_graph
from tribond.nn.config import PRESETS
from tribond.nn.m3gnet import M3GNet


def main() -> None:
    """Run one way."""
    way, repeats = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    atoms = bulk("Si", cubic=True) * (repeats, repeats, repeats)
    atoms.positions += np.random.default_rng(0).normal(0, 0.05, atoms.positions.shape)
    model = M3GNet(PRESETS["paper"]).requires_grad_(requires_grad=False)
    graph = atom_graph(atoms, 5.0, 4.0)
    vectors = graph.edge_vectors()

    def whole() -> None:
        leaf = vectors.clone().requires_grad_()
        torch.autograd.grad(model.atomic_energies(leaf, graph).sum(), leaf)

    def by_parts() -> None:
        chunked.energy_and_gradient(model, vectors, graph)

    def compiled_pass() -> None:
        loaded = compiled.library()
        assert loaded is not None, "needs the compiled kernels"  # noqa: S101
        native.Engine(model, loaded).energy_and_gradient(vectors, graph)

    run = {"whole": whole, "parts": by_parts, "compiled": compiled_pass}[way]
    before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{way}, {len(atoms)} atoms: {min(times):.3f} s, {more:.0f} MB")


if __name__ == "__main__":
    main()
