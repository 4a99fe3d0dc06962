"""Structures through a package's contract, and what it must give."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
import numpy as np
import torch

from tests.structures import STRUCTURES
from tribond.graph.atom_graph import AtomGraph
from tribond.models.force_field import Evaluation
from tribond.models.potential import Potential, evaluate


def inputs(graph: AtomGraph) -> tuple[torch.Tensor, ...]:
    """The six tensors of the contract for one system of which all atoms count."""
    owned = torch.ones_like(graph.atomic_numbers, dtype=torch.bool)
    shifts = graph.cell_shifts @ graph.cell[0]
    return graph.positions, graph.atomic_numbers, owned, graph.edge_index, shifts, graph.angle_edges


def assert_outputs(outputs, expected: Evaluation, *, energy: float, forces: float) -> None:
    """Energies within `energy` eV/atom, forces within `forces` eV/Å, the virial within as much times 5 Å a bond."""
    total, atomic, on_atoms, virial = (output.double().numpy() for output in outputs)
    atoms = len(on_atoms)
    assert total.shape == ()
    assert virial.shape == (3, 3)
    np.testing.assert_allclose(total, expected.energy[0], rtol=0, atol=energy * max(atoms, 1))
    np.testing.assert_allclose(atomic, expected.atomic_energies, rtol=0, atol=energy)
    np.testing.assert_allclose(on_atoms, expected.forces, rtol=0, atol=forces)
    np.testing.assert_allclose(virial, expected.virial[0], rtol=0, atol=5 * forces * max(atoms, 1))


def assert_like(run, potential: Potential, *, energy: float, forces: float) -> None:
    """`run` gives for every structure what the network gives in float64 by automatic differentiation."""
    largest = 0.0
    for build in STRUCTURES.values():
        graph = potential.graph(build())
        expected = evaluate(potential.model, graph, create_graph=True)
        expected = Evaluation(**{name: it.detach() for name, it in vars(expected).items()})
        assert_outputs(run(*inputs(graph)), expected, energy=energy, forces=forces)
        largest = max(largest, expected.forces.abs().max().item() if graph.num_atoms else 0.0)
    assert largest > 1e-3  # there was something to compare


@contextmanager
def shapes_unchecked() -> Iterator[None]:
    """While a function is traced its sizes are symbols, which the checks of shapes in the tests take for no integers."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
