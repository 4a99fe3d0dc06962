"""The pass with written-out derivatives gives what automatic differentiation gives, for every dialect and chunk."""

import numpy as np
import pytest
import torch

from tests.backends.reference import VARIANTS, by_autograd
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond.backends import chunked
from tribond.backends.chunked import energy_and_gradient, supports
from tribond.graph.build import atom_graph
from tribond.models.potential import Potential
from tribond.nn.config import PRESETS


@pytest.mark.parametrize("bonds", [1, 7, 100_000])
@pytest.mark.parametrize("variant", VARIANTS)
def test_energies_and_derivatives_are_those_of_automatic_differentiation(graph, monkeypatch, variant, bonds):
    name, changes = VARIANTS[variant]
    model = random_model(small_config(name, **changes))
    assert supports(model.config)
    monkeypatch.setattr(chunked, "CHUNK_BYTES", bonds * 2 * model.config.update_hidden[0] * 8)
    energies, gradient = energy_and_gradient(model, graph.edge_vectors(), graph)
    expected_energies, expected = by_autograd(model, graph)
    torch.testing.assert_close(energies, expected_energies, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-14 * max(1.0, expected.abs().max().item()))
    assert expected.abs().max() > 1e-3


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_alone_too(structure):
    model = random_model(small_config())
    graph = atom_graph(STRUCTURES[structure](), 5.0, 4.0)
    energies, gradient = energy_and_gradient(model, graph.edge_vectors(), graph)
    expected_energies, expected = by_autograd(model, graph)
    torch.testing.assert_close(energies, expected_energies, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", PRESETS)
def test_single_precision_stays_close_to_double(name):
    """1e-6 eV/atom and 1e-5 eV/Å, with energies of a few eV an atom."""
    double = Potential(random_model(small_config(name)))
    single = double.to(dtype="float32")
    for build in STRUCTURES.values():
        want, got = double.predict(build())[0], single.predict(build())[0]
        assert got.energy == pytest.approx(want.energy, abs=1e-6 * max(len(want.forces), 1))
        np.testing.assert_allclose(got.forces, want.forces, rtol=0, atol=1e-5)


def test_two_runs_give_the_same_bit_by_bit(graph):
    model = random_model(small_config(), dtype=torch.float32)
    first, second = (energy_and_gradient(model, graph.edge_vectors(), graph) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_nothing_that_it_is_given_changes(graph):
    model = random_model(small_config())
    vectors = graph.edge_vectors()
    before = vectors.clone(), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    energy_and_gradient(model, vectors, graph)
    assert torch.equal(vectors, before[0])
    assert all(torch.equal(tensor, before[1][name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    "changes", [{"state": "categorical", "state_size": 2}, {"update_hidden": ()}, {"readout": "mean"}]
)
def test_what_it_does_not_compute_it_says(changes):
    assert not supports(small_config(**changes))
