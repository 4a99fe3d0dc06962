"""Gradients by the weights from the compiled pass are those of automatic differentiation, whatever the loss is made of."""

import copy
from functools import cache

import pytest
import torch
from ase.build import bulk

from tests.backends.conformance import Conformance
from tests.backends.reference import LIBRARIES, VARIANTS
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES, rattled
from tribond import compiled
from tribond.backends import native
from tribond.backends.choose import Evaluator
from tribond.backends.trainable import COVERAGE, trainable
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.models.potential import evaluate

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="tribond was installed without a C++ compiler")


class TestTrainable(Conformance):
    coverage = COVERAGE

    def compute(self, model, vectors, graph):
        return trainable(native.Engine(model, compiled.library()), model, vectors, graph)


class ByAutograd(Evaluator):
    """Leaves everything to automatic differentiation."""

    def trainable(self, *_):
        return None


@pytest.fixture(params=LIBRARIES)
def library(request, monkeypatch) -> str:
    """Evaluations go through one library after the other."""
    monkeypatch.setattr(compiled, "library", lambda: LIBRARIES[request.param])
    return request.param


def random_loss(graph, parts=("energy", "forces", "stress")):
    """A loss with random weights for every number; curved, so that its derivatives depend on the result."""
    periodic = graph.pbc.all(dim=1)
    shapes = {"energy": (graph.num_systems,), "forces": (graph.num_atoms, 3), "stress": (graph.num_systems, 3, 3)}
    generator = torch.Generator().manual_seed(5)
    noise = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}

    def loss(result):
        total = torch.zeros((), dtype=torch.float64)
        for name in parts:
            wanted, value = noise[name], getattr(result, name)
            if name == "stress":
                wanted, value = wanted[periodic], 100 * value[periodic]
            total = total + (wanted * value).sum() + 0.1 * (value - wanted).square().sum()
        return total

    return loss


def gradients(model, graph, loss, evaluator=None):
    """Of every trained weight, by name; None where autograd finds no way from the loss to a weight."""
    value = loss(evaluate(model, graph, create_graph=True, evaluator=evaluator))
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
    return dict(zip(trained, found, strict=True))


def assert_same(found, expected, rtol=1e-10):
    """Each tensor to rounding, measured by its largest number."""
    assert found.keys() == expected.keys()
    assert any(value is not None and value.any() for value in expected.values())
    for name, value in found.items():
        wanted = torch.zeros_like(value) if expected[name] is None else expected[name]
        largest = wanted.abs().max().item()
        torch.testing.assert_close(
            value, wanted.to(value.dtype), rtol=0, atol=rtol * largest, msg=lambda m, n=name: f"{n}: {m}"
        )


@cache
def expected_gradients(variant, graph):
    """By automatic differentiation, once for all libraries."""
    name, changes = VARIANTS[variant]
    return gradients(random_model(small_config(name, **changes)), graph, random_loss(graph), ByAutograd())


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_those_of_automatic_differentiation(graph, library, variant):
    name, changes = VARIANTS[variant]
    model = random_model(small_config(name, **changes))
    assert_same(gradients(model, graph, random_loss(graph)), expected_gradients(variant, graph))


@pytest.mark.parametrize("variant", VARIANTS)
def test_single_precision_stays_close_to_double(graph, library, variant):
    name, changes = VARIANTS[variant]
    model = random_model(small_config(name, **changes), dtype=torch.float32)
    found = gradients(model, graph, random_loss(graph))
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert_same(found, expected_gradients(variant, graph), rtol=1e-4)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_alone_too(library, structure):
    """Also one without atoms, one without bonds, and one without angles."""
    model = random_model(small_config())
    alone = atom_graph(STRUCTURES[structure](), 5.0, 4.0)
    loss = random_loss(alone)
    found = gradients(model, alone, loss)
    if alone.num_atoms == 0:
        assert not any(value.any() for value in found.values())
    else:
        assert_same(found, gradients(model, alone, loss, ByAutograd()))


@pytest.mark.parametrize("parts", [("energy",), ("forces",), ("stress",)])
def test_each_part_of_a_loss_alone(graph, parts):
    model = random_model(small_config("matgl_dgl"))
    loss = random_loss(graph, parts)
    assert_same(gradients(model, graph, loss), gradients(model, graph, loss, ByAutograd()))


@pytest.mark.parametrize("variant", ["paper", "matgl_dgl", "m3gnet_pytorch"])
def test_many_tiles_and_parts_and_atoms_with_more_bonds_than_a_tile(library, variant, threads):
    sparse = rattled(bulk("Si", cubic=True).repeat((2, 2, 2)), 0.1)
    dense = rattled(bulk("Cu", a=2.4, cubic=True), 0.05)
    batch = AtomGraph.batch([atom_graph(atoms, 5.0, 4.0) for atoms in (sparse, dense, sparse)])
    assert torch.bincount(batch.edge_index[0]).max() > 96
    model = random_model(small_config(variant))
    loss = random_loss(batch)
    threads(2)
    assert_same(gradients(model, batch, loss), gradients(model, batch, loss, ByAutograd()))


def test_wide_features_with_fewer_columns_than_whole_vectors(library):
    model = random_model(small_config(node_features=70, edge_features=130, update_hidden=(67, 50)))
    crystal = atom_graph(STRUCTURES["crystal"](), 5.0, 4.0)
    loss = random_loss(crystal)
    assert_same(gradients(model, crystal, loss), gradients(model, crystal, loss, ByAutograd()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_number_of_threads_gives_the_same_bit_by_bit(library, dtype, threads):
    """Trainings that were interrupted go on to the same weights, on another number of processors too."""
    model = random_model(small_config(), dtype=dtype)
    batch = atom_graph(rattled(bulk("Si", cubic=True).repeat((3, 2, 2)), 0.1), 5.0, 4.0)
    loss_by = torch.ones(batch.num_atoms, dtype=torch.float64), torch.sin(batch.edge_vectors())
    results = []
    for number in (1, 2, 5, 2):
        threads(number)
        energies, gradient = trainable(native.Engine(model, compiled.library()), model, batch.edge_vectors(), batch)
        results.append(torch.autograd.grad((energies, gradient), list(model.parameters()), loss_by))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, results[0], strict=True))


def test_frozen_weights_have_no_gradient(graph):
    model = random_model(small_config())
    for parameter in (*model.atom_embedding.parameters(), *model.blocks[0].parameters()):
        parameter.requires_grad_(False)
    loss = random_loss(graph)
    found = gradients(model, graph, loss)
    assert 0 < len(found) < len(list(model.parameters()))
    assert_same(found, gradients(model, graph, loss, ByAutograd()))
    loss(evaluate(model, graph, create_graph=True)).backward()
    for name, weight in model.named_parameters():
        assert (weight.grad is not None) == (name in found), name
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert not evaluate(model, graph, create_graph=True).forces.requires_grad


def test_a_training_goes_the_same_way(graph):
    """Ten steps of Adam: the loss is the same to rounding in every one of them, and falls."""
    curves = []
    start = random_model(small_config())
    for evaluator in (Evaluator(), ByAutograd()):
        model, loss = copy.deepcopy(start), random_loss(graph)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        curve = []
        for _ in range(10):
            optimizer.zero_grad()
            value = loss(evaluate(model, graph, create_graph=True, evaluator=evaluator))
            value.backward()
            optimizer.step()
            curve.append(value.item())
        curves.append(curve)
    assert curves[0] == pytest.approx(curves[1], rel=1e-9)
    assert curves[0][-1] < curves[0][0]


def test_gradients_of_two_batches_add_up_and_weights_changed_unseen_are_heeded(graph):
    model = random_model(small_config())
    evaluator, loss = Evaluator(), random_loss(graph)
    first = gradients(model, graph, loss, evaluator)
    both = loss(evaluate(model, graph, create_graph=True, evaluator=evaluator))
    both = both + loss(evaluate(model, graph, create_graph=True, evaluator=evaluator))
    twice = dict(zip(first, torch.autograd.grad(both, list(model.parameters())), strict=True))
    assert_same(twice, {name: 2 * value for name, value in first.items()})
    model.atom_embedding.weight.data.mul_(1.5)  # as callbacks do that put averaged weights into a model
    assert_same(gradients(model, graph, loss, evaluator), gradients(model, graph, loss, ByAutograd()))
    expected = evaluate(model, graph, create_graph=True, evaluator=ByAutograd()).energy
    torch.testing.assert_close(evaluate(model, graph, evaluator=evaluator).energy, expected.detach())


def test_a_second_derivative_by_the_weights_is_refused(graph):
    model = random_model(small_config())
    energy = evaluate(model, graph, create_graph=True).energy.sum()
    with pytest.raises(NotImplementedError, match=r"cannot be differentiated again.*model.atomic_energies"):
        torch.autograd.grad(energy, list(model.parameters()), create_graph=True)


def test_models_that_the_pass_does_not_compute_are_trained_by_autograd(graph):
    model = random_model(small_config(update_hidden=()))
    assert Evaluator().trainable(model, graph.edge_vectors(), graph) is None
    model = random_model(small_config())
    calls = []
    model.readout.register_forward_hook(lambda *_: calls.append(1))
    gradients(model, graph, random_loss(graph))
    assert calls == [1]


def test_derivatives_of_another_size_are_refused(graph):
    model = random_model(small_config())
    vectors = graph.edge_vectors()
    wrong = torch.ones(graph.num_atoms), torch.ones(graph.num_edges)
    with pytest.raises(ValueError, match="a tensor of shape"):
        native.Engine(model, compiled.library()).weight_gradients(
            vectors, graph, wrong, [None] * len(native.weights(model))
        )


def test_bonds_beyond_the_cutoff_have_no_part_in_gradients(library):
    model = random_model(small_config("m3gnet_pytorch"))
    tight, loose = (
        AtomGraph.batch([atom_graph(STRUCTURES[name](), cutoff, 4.0) for name in ("crystal", "methanol")])
        for cutoff in (5.0, 5.8)
    )
    loss = random_loss(tight)
    assert_same(gradients(model, loose, loss), gradients(model, tight, loss, ByAutograd()))
