"""The fastest backend is taken that computes a model, and what is changed in the model is never missed."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from tests.backends.reference import by_autograd
from tests.small_models import random_model, small_config
from tribond import compiled
from tribond.backends import choose, native
from tribond.backends.choose import backend, describe
from tribond.models.potential import Potential, evaluate

FAST = "compiled" if compiled.library() else "autograd"


def forces(model, graph):
    _, gradient = by_autograd(model, graph)
    centre, neighbour = graph.edge_index
    zero = torch.zeros_like(graph.positions)
    return zero.index_add(0, centre, gradient).index_add(0, neighbour, -gradient)


def check(potential, atoms):
    """The potential's forces are those of its model as it is now."""
    expected = forces(potential.model, potential.graph(atoms))
    np.testing.assert_allclose(potential.predict(atoms)[0].forces, expected, rtol=1e-10, atol=1e-12)


@pytest.fixture
def atoms(structures):
    return structures["methanol"]


@pytest.fixture
def potential():
    return Potential(random_model(small_config()))


def test_an_energy_on_a_cpu_is_computed_by_the_fastest(potential, atoms):
    assert backend(potential.model) == FAST
    check(potential, atoms)


@pytest.mark.parametrize("changes", [{"update_hidden": ()}, {"state": "categorical", "state_size": 2}])
def test_models_that_no_backend_computes_are_left_to_automatic_differentiation(changes):
    assert backend(random_model(small_config(**changes))) == "autograd"


def test_potentials_that_no_backend_computes_are_computed_all_the_same(atoms):
    check(Potential(random_model(small_config(update_hidden=()))), atoms)


def test_without_a_compiled_library_pytorch_does_it(potential, atoms, monkeypatch):
    before = potential.predict(atoms)[0]
    monkeypatch.setattr(compiled, "library", lambda: None)
    assert backend(potential.model) == "autograd"
    assert backend(potential.model, 10**5) == "chunked"
    assert "install tribond where there is a C++ compiler" in describe(potential.model)
    np.testing.assert_allclose(potential.predict(atoms)[0].forces, before.forces, rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(compiled.library() is None, reason="tribond was installed without a C++ compiler")
def test_the_description_names_what_it_was_compiled_for(potential):
    assert describe(potential.model) == f"C++ for {compiled.library().instruction_set}"


def test_weights_that_change_are_packed_again(potential, atoms):
    check(potential, atoms)
    before = potential.predict(atoms)[0]
    with torch.no_grad():
        potential.model.blocks[0].bond_update.phi.core[0].weight.mul_(1.5)
    check(potential, atoms)
    assert np.abs(potential.predict(atoms)[0].forces - before.forces).max() > 1e-6
    potential.model.load_state_dict(random_model(small_config(), seed=3).state_dict())
    check(potential, atoms)
    potential.model.readout.phi.core[0].weight = nn.Parameter(potential.model.readout.phi.core[0].weight * 2)
    check(potential, atoms)
    potential.model.reference_energy.set(reference=[1.0, 2.0, 3.0, 4.0, 5.0])
    now = potential.predict(atoms)[0].energy
    assert now == pytest.approx(evaluate(potential.model, potential.graph(atoms)).energy.item(), abs=1e-12)
    assert now != pytest.approx(before.energy, abs=1e-3)
    potential.model = random_model(small_config("matgl_dgl"), seed=4)
    check(potential, atoms)


def test_a_weight_in_the_place_of_one_that_is_gone_is_another_weight(potential, atoms):
    """Memory is given out again, and a new tensor counts its changes from zero as the old one did."""
    layer = potential.model.blocks[0].bond_update.phi.core[0]
    for factor in (1.1, 1.2, 1.3):
        layer.weight = nn.Parameter(layer.weight.detach() * factor, requires_grad=False)
        check(potential, atoms)
        layer.weight = nn.Parameter(layer.weight.detach() * factor, requires_grad=False)
        layer.weight = nn.Parameter(layer.weight.detach() * factor, requires_grad=False)
        check(potential, atoms)


@pytest.mark.skipif(
    compiled.library() is None, reason="PyTorch's differentiation refuses tensors of its inference mode"
)
def test_models_of_inference_mode_are_computed(atoms):
    with torch.inference_mode():
        potential = Potential(random_model(small_config()))
    expected = Potential(random_model(small_config())).predict(atoms)[0].forces
    np.testing.assert_array_equal(potential.predict(atoms)[0].forces, expected)


def test_backward_hooks_are_heeded_too(potential):
    handle = potential.model.readout.register_full_backward_hook(lambda *_: None)
    assert backend(potential.model) == "autograd"
    handle.remove()
    assert backend(potential.model) == FAST


def test_unchanged_weights_are_packed_once(potential, atoms, monkeypatch):
    if compiled.library() is None:
        pytest.skip("tribond was installed without a C++ compiler")
    packed = []

    class Counted(native.Engine):
        def __init__(self, *given, **named):
            packed.append(1)
            super().__init__(*given, **named)

    monkeypatch.setattr(choose.native, "Engine", Counted)
    for _ in range(3):
        potential.predict(atoms)
    assert len(packed) == 1


def test_hooks_and_layers_of_another_make_are_heeded(potential, atoms):
    """They are only seen by the modules of `nn`, which then compute."""
    calls = []
    handle = potential.model.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    potential.predict(atoms)
    assert len(calls) == 1
    handle.remove()
    assert backend(potential.model) == FAST
    before = potential.predict(atoms)[0].energy

    class Shifted(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1.0

    next(layer for layer in potential.model.modules() if type(layer) is nn.Linear).__class__ = Shifted
    assert backend(potential.model) == "autograd"
    assert potential.predict(atoms)[0].energy != before


def test_potentials_that_were_used_can_be_copied_and_sent_to_other_processes(potential, atoms):
    expected = potential.predict(atoms)[0].forces
    for twin in (copy.deepcopy(potential), pickle.loads(pickle.dumps(potential))):
        with torch.no_grad():
            assert np.array_equal(twin.predict(atoms)[0].forces, expected)
            twin.model.atom_embedding.weight.mul_(2)
        check(twin, atoms)
    assert np.array_equal(potential.predict(atoms)[0].forces, expected)
