"""The loss against its formula, and what missing labels do to it and to its gradient."""

import numpy as np
import pytest
import torch

from tribond.data.dataset import FrameDataset, LabeledGraph
from tribond.data.frames import Frame
from tribond.models.potential import evaluate
from tribond.training.loss import Loss
from tribond.units import EV_PER_A3_TO_GPA


@pytest.fixture
def model(make_model):
    return make_model(elements=("Cu", "Al", "Ni"), dtype=torch.float32)


@pytest.fixture
def batch_of(model):
    def batch(structures):
        frames = []
        for atoms in structures:
            known = atoms.calc.results
            stress = known.get("stress")
            if stress is not None:
                xx, yy, zz, yz, xz, xy = stress
                stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
            frames.append(Frame(atoms, known.get("energy"), known.get("forces"), stress, "test"))
        dataset = FrameDataset(frames, model.config, np.zeros((1, 3)))
        return LabeledGraph.batch([dataset[index] for index in range(len(frames))])

    return batch


def huber(errors, delta):
    size = np.abs(errors)
    return np.where(size <= delta, size**2 / 2, delta * (size - delta / 2)).mean()


def test_the_formula(model, alloys, batch_of):
    structures = alloys(3)
    batch = batch_of(structures)
    result = evaluate(model, batch.graph)
    terms = Loss(energy=2.0, forces=3.0, stress=0.5, huber_delta=0.2)(result, batch)
    energy = result.energy.numpy() / 4 - [atoms.get_potential_energy() / 4 for atoms in structures]
    forces = result.forces.numpy() - np.concatenate([atoms.get_forces() for atoms in structures])
    stress = result.stress.numpy() - [atoms.get_stress(voigt=False) for atoms in structures]
    expected = [huber(energy, 0.2), huber(forces, 0.2), huber(stress * EV_PER_A3_TO_GPA, 0.2)]
    assert [float(terms.energy), float(terms.forces), float(terms.stress)] == pytest.approx(expected, rel=1e-5)
    assert float(terms.total) == pytest.approx(np.dot([2.0, 3.0, 0.5], expected), rel=1e-5)
    total, count = terms.absolute_errors["stress"]
    assert count == 27
    assert total / count == pytest.approx(np.abs(stress).mean() * EV_PER_A3_TO_GPA, rel=1e-5)


@pytest.mark.parametrize("missing", [("energy",), ("forces",), ("stress",), ("energy", "forces", "stress")])
def test_missing_labels_do_not_count(model, alloys, batch_of, missing):
    labels = [name for name in ("energy", "forces", "stress") if name not in missing]
    structures = [*alloys(2), *alloys(1, seed=1, labels=labels)]
    whole, part = batch_of(structures[:2]), batch_of(structures)
    loss = Loss()
    with_it, without = (loss(evaluate(model, batch.graph), batch) for batch in (part, whole))
    for name in missing:
        assert float(getattr(with_it, name)) == pytest.approx(float(getattr(without, name)), rel=1e-5)
        assert with_it.absolute_errors[name][1] == without.absolute_errors[name][1]


def test_a_batch_without_labels_has_a_gradient_of_zero(model, alloys, batch_of):
    batch = batch_of(alloys(2, labels=()))
    terms = Loss()(evaluate(model, batch.graph, create_graph=True), batch)
    terms.total.backward()
    assert float(terms.total.detach()) == 0
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert not weight.grad.any(), name


def test_a_molecule_in_the_batch_leaves_the_gradient_finite(model, alloys, dimer, batch_of):
    batch = batch_of([dimer, *alloys(1)])
    terms = Loss()(evaluate(model, batch.graph, create_graph=True), batch)
    terms.total.backward()
    assert terms.absolute_errors["stress"][1] == 9
    for name, weight in model.named_parameters():
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.any(), name
