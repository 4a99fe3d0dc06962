"""A batch is nothing but its systems: any number, in any order, of any kind.

Asked for in mattersim#163, schnetpack#763 and chgnet#73: indices must not get mixed up when systems are collated.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tribond.models.potential
from tests.structures import STRUCTURES


def assert_same(actual, expected, tolerance: float = 1e-10) -> None:
    assert actual.energy == pytest.approx(expected.energy, abs=tolerance)
    np.testing.assert_allclose(actual.atomic_energies, expected.atomic_energies, rtol=0, atol=tolerance)
    np.testing.assert_allclose(actual.forces, expected.forces, rtol=0, atol=tolerance)
    assert (actual.stress is None) == (expected.stress is None)
    if actual.stress is not None:
        np.testing.assert_allclose(actual.stress, expected.stress, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def alone(potential):
    """The prediction of every structure by itself."""
    return {name: potential.predict(build())[0] for name, build in STRUCTURES.items()}


@given(names=st.lists(st.sampled_from(sorted(STRUCTURES)), min_size=1, max_size=8), order=st.randoms())
def test_a_batch_equals_its_systems_one_by_one_in_any_order(potential, alone, names, order):
    order.shuffle(names)
    predictions = potential.predict([STRUCTURES[name]() for name in names])
    assert len(predictions) == len(names)
    for name, prediction in zip(names, predictions, strict=True):
        assert_same(prediction, alone[name])


def test_a_batch_equals_its_systems_in_every_dialect(every_potential, structures):
    together = every_potential.predict(structures.values())
    for atoms, prediction in zip(structures.values(), together, strict=True):
        assert_same(prediction, every_potential.predict(atoms)[0])


def test_a_batch_equals_its_systems_in_float32(make_potential, structures):
    potential = make_potential(dtype=torch.float32)
    together = potential.predict(structures.values())
    for atoms, prediction in zip(structures.values(), together, strict=True):
        assert_same(prediction, potential.predict(atoms)[0], tolerance=2e-5)


@pytest.mark.parametrize("limit", [1, 100, 200])
def test_long_lists_are_cut_into_batches_of_few_bonds_in_order(potential, alone, monkeypatch, limit):
    """Asked for in torch-sim#159 and #276: memory is bounded by bonds, and one structure may always have more."""
    names = sorted(STRUCTURES) * 2
    sizes = []
    evaluate = tribond.models.potential.Potential.evaluate

    def watched(self, graph):
        sizes.append((graph.num_systems, graph.num_edges))
        return evaluate(self, graph)

    monkeypatch.setattr("tribond.models.trained_model.BATCH_EDGES", limit)
    monkeypatch.setattr(tribond.models.potential.Potential, "evaluate", watched)
    predictions = potential.predict([STRUCTURES[name]() for name in names])
    assert len(sizes) > 1
    assert sum(systems for systems, _ in sizes) == len(names)
    assert all(edges <= limit for systems, edges in sizes if systems > 1)
    for name, prediction in zip(names, predictions, strict=True):
        assert_same(prediction, alone[name])


def test_any_iterable_will_do(potential, alone):
    predictions = potential.predict(STRUCTURES[name]() for name in ("slab", "methanol"))
    assert_same(predictions[0], alone["slab"])
    assert_same(predictions[1], alone["methanol"])


def test_one_structure_gives_a_list_of_one(potential, alone, structures):
    predictions = potential.predict(structures["methanol"])
    assert len(predictions) == 1
    assert_same(predictions[0], alone["methanol"])
