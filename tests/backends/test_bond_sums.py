"""Vectors of bonds, forces, virials and stresses are the same compiled and by PyTorch."""

import pytest
import torch

from tests.structures import STRUCTURES
from tribond import compiled
from tribond.backends.bond_sums import edge_vectors, forces_virial_stress
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph

pytestmark = pytest.mark.skipif(compiled.library() is None, reason="tribond was installed without a C++ compiler")


@pytest.fixture(params=["batch", *STRUCTURES])
def graph(request) -> AtomGraph:
    names = STRUCTURES if request.param == "batch" else [request.param]
    return AtomGraph.batch([atom_graph(STRUCTURES[name](), 5.0, 4.0) for name in names])


def test_vectors_are_those_of_the_graph(graph):
    torch.testing.assert_close(edge_vectors(graph), graph.edge_vectors(), rtol=0, atol=1e-13)


def test_forces_virials_and_stresses_are_those_of_pytorch(graph, monkeypatch):
    vectors = graph.edge_vectors()
    gradient = torch.randn_like(vectors)
    results = forces_virial_stress(vectors, gradient, graph)
    monkeypatch.setattr(compiled, "library", lambda: None)
    expected = forces_virial_stress(vectors, gradient, graph)
    for result, wanted in zip(results, expected, strict=True):
        torch.testing.assert_close(result, wanted, rtol=1e-12, atol=1e-12, equal_nan=True)
    assert torch.equal(results[1], results[1].transpose(1, 2))


def test_what_knows_its_gradient_keeps_it(graph):
    vectors = graph.edge_vectors()
    gradient = torch.randn_like(vectors).requires_grad_()
    forces, virial, _ = forces_virial_stress(vectors, gradient, graph)
    weights = torch.randn_like(forces), torch.randn_like(virial)
    ((forces * weights[0]).sum() + (virial * weights[1]).sum()).backward()
    centre, neighbour = graph.edge_index
    symmetric = (weights[1] + weights[1].transpose(1, 2)) / 2
    expected = weights[0][centre] - weights[0][neighbour]
    expected = expected + torch.einsum("ex,exy->ey", vectors, symmetric[graph.system_index[centre]])
    torch.testing.assert_close(gradient.grad, expected)
