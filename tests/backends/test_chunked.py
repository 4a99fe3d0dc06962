"""`nn`, differentiated part by part, gives what it gives as a whole."""

import pytest
import torch

from tests.backends.conformance import Conformance, batch
from tests.backends.reference import by_autograd
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond.backends import chunked
from tribond.backends.chunked import energy_and_gradient, parts, supports


class TestChunked(Conformance):
    coverage = chunked.COVERAGE
    unsorted = "computed"

    def compute(self, model, vectors, graph):
        return energy_and_gradient(model, vectors, graph)


@pytest.mark.parametrize("bonds", [1, 40, 10**6])
@pytest.mark.parametrize("variant", ["paper", "matgl_dgl", "m3gnet_pytorch"])
def test_parts_of_any_size_give_the_same(monkeypatch, variant, bonds):
    model = random_model(small_config(variant))
    graph = batch(*STRUCTURES)
    monkeypatch.setattr(chunked, "PART_BYTES", bonds * 12 * 16 * 8)
    energies, gradient = energy_and_gradient(model, graph.edge_vectors(), graph)
    expected = by_autograd(model, graph)
    torch.testing.assert_close(energies, expected[0], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(gradient, expected[1], rtol=1e-11, atol=1e-14 * expected[1].abs().max().item())


def test_parts_hold_every_bond_once_and_whole_atoms():
    graph = batch(*STRUCTURES)
    found = parts(graph, 40, 0)
    assert [part.bonds.start for part in found[1:]] == [part.bonds.stop for part in found[:-1]]
    assert (found[0].bonds.start, found[-1].bonds.stop) == (0, graph.num_edges)
    assert sum(part.angles.stop - part.angles.start for part in found) == len(graph.angle_edges)
    centres = [set(graph.edge_index[0, part.bonds].tolist()) for part in found]
    assert sum(map(len, centres)) == len(set.union(*centres))
    assert max(part.bonds.stop - part.bonds.start for part in found) < 200


@pytest.mark.parametrize("changes", [{"update_hidden": ()}, {"readout_hidden": ()}])
def test_what_the_kernels_do_not_know_it_computes(changes):
    model = random_model(small_config(**changes))
    assert supports(model.config)
    graph = batch("crystal", "methanol")
    for found, wanted in zip(
        energy_and_gradient(model, graph.edge_vectors(), graph), by_autograd(model, graph), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("changes", [{"state": "categorical", "state_size": 2}, {"readout": "mean"}])
def test_what_it_does_not_compute_it_says(changes):
    assert not supports(small_config(**changes))
