"""The network as a whole: state inputs, properties of a system, gradients, precision."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import make_supercell

from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.models.potential import evaluate
from tribond.nn.config import PRESETS
from tribond.nn.readout import _softmax_per_system

POOLINGS = ["weighted_atom", "weighted_sum", "set2set", "set2set_by_feature", "mean"]
INTENSIVE = [pooling for pooling in POOLINGS if pooling != "weighted_sum"]
WITH_ATOMS = [name for name in STRUCTURES if name != "no_atoms"]


def graph_of(*structures) -> AtomGraph:
    """A batch, from names or Atoms."""
    atoms = [STRUCTURES[s]() if isinstance(s, str) else s for s in structures]
    return AtomGraph.batch([atom_graph(a, 5.0, 4.0) for a in atoms])


def properties(model, graph: AtomGraph) -> torch.Tensor:
    return model.property(graph.edge_vectors(), graph).detach()


def assert_close(actual, expected) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


# Intensive properties, (8) and (9)


@pytest.mark.parametrize("readout", POOLINGS)
def test_a_property_does_not_depend_on_what_else_is_in_the_batch(readout):
    model = random_model(small_config(readout=readout, num_targets=2))
    together = properties(model, graph_of(*STRUCTURES))
    assert together.shape == (len(STRUCTURES), 2)
    for name, value in zip(STRUCTURES, together, strict=True):
        assert_close(properties(model, graph_of(name))[0], value)
    assert together.std(dim=0).min() > 1e-3


@pytest.mark.parametrize("readout", POOLINGS)
def test_a_property_does_not_depend_on_the_order_of_atoms_or_how_the_system_is_turned(readout):
    model = random_model(small_config(readout=readout))
    atoms = STRUCTURES["slab"]()
    other = atoms[::-1]
    other.rotate(40, (1, 2, 3), rotate_cell=True)
    assert_close(properties(model, graph_of(other)), properties(model, graph_of(atoms)))


@pytest.mark.parametrize("readout", INTENSIVE)
def test_a_property_is_intensive(readout):
    model = random_model(small_config(readout=readout))
    crystal = STRUCTURES["crystal"]()
    supercell = make_supercell(crystal, [[1, 1, 0], [-1, 1, 0], [0, 0, 1]])
    assert_close(properties(model, graph_of(supercell)), properties(model, graph_of(crystal)))


@pytest.mark.parametrize("readout", POOLINGS)
def test_a_property_of_nothing_is_a_number(readout):
    model = random_model(small_config(readout=readout))
    assert torch.isfinite(properties(model, graph_of("no_atoms", "methanol", "no_atoms"))).all()


@pytest.mark.parametrize("readout", POOLINGS)
def test_a_class_is_a_probability(readout):
    config = small_config(readout=readout)
    model = random_model(config)
    classifier = random_model(replace(config, classification=True))
    graph = graph_of(*STRUCTURES)
    assert_close(properties(classifier, graph), torch.sigmoid(properties(model, graph)))


def test_mean_pooling_is_the_mean_of_the_atoms():
    model = random_model(small_config(readout="mean"))
    graph = graph_of("methanol")
    nodes = model.features(graph.edge_vectors(), graph).nodes
    assert_close(properties(model, graph)[0], model.readout.mlp(nodes.mean(dim=0)).detach())


def test_weighted_pooling_is_an_average_by_learned_weights():
    model = random_model(small_config(readout="weighted_atom"))
    graph = graph_of("methanol")
    nodes = model.features(graph.edge_vectors(), graph).nodes
    pooling = model.readout.pooling
    weight = torch.sigmoid(pooling.weight(nodes))
    average = (weight * pooling.features(nodes)).sum(0) / weight.sum()
    assert_close(properties(model, graph)[0], model.readout.mlp(average).detach())


def test_a_weighted_sum_is_not_divided_by_the_weights():
    model = random_model(small_config(readout="weighted_sum"))
    graph = graph_of("methanol")
    nodes = model.features(graph.edge_vectors(), graph).nodes
    pooling = model.readout.pooling
    total = (torch.sigmoid(pooling.weight(nodes)) * pooling.features(nodes)).sum(0)
    assert_close(properties(model, graph)[0], model.readout.mlp(total).detach())


def test_set2set_asks_as_often_as_told():
    one, three = (
        properties(random_model(small_config(readout="set2set", set2set_steps=steps)), graph_of("methanol"))
        for steps in (1, 3)
    )
    assert (one - three).abs().max() > 1e-6


def test_set2set_attends_by_softmax():
    model = random_model(small_config(readout="set2set", set2set_steps=1))
    graph = graph_of("methanol")
    nodes = model.features(graph.edge_vectors(), graph).nodes
    zeros = torch.zeros(1, 1, 16, dtype=torch.float64)
    query = model.readout.pooling.lstm(torch.zeros(1, 1, 32, dtype=torch.float64), (zeros, zeros))[0][0, 0]
    answer = torch.softmax(nodes @ query, dim=0) @ nodes
    assert_close(properties(model, graph)[0], model.readout.mlp(torch.cat([query, answer])).detach())


def test_set2set_by_feature_attends_feature_by_feature():
    model = random_model(small_config(readout="set2set_by_feature", set2set_steps=1))
    graph = graph_of("methanol")
    pooling = model.readout.pooling
    nodes = pooling.dense(model.features(graph.edge_vectors(), graph).nodes)
    zeros = torch.zeros(1, 1, 16, dtype=torch.float64)
    query = pooling.lstm(torch.zeros(1, 1, 32, dtype=torch.float64), (zeros, zeros))[0][0, 0]
    answer = (torch.softmax(nodes * query, dim=0) * nodes).sum(0)
    assert_close(properties(model, graph)[0], model.readout.mlp(torch.cat([query, answer])).detach())


def test_attention_survives_scores_of_any_size():
    """exp(1000) is more than any float holds."""
    score = torch.tensor([[1000.0, 0.0], [1000.0, 0.0], [-1000.0, 5.0], [-2000.0, 5.0]])
    shares = _softmax_per_system(score, torch.tensor([0, 0, 2, 2]), 3)
    assert shares.tolist() == [[0.5, 0.5], [0.5, 0.5], [1.0, 0.5], [0.0, 0.5]]


@pytest.mark.parametrize("is_log", [False, True])
def test_a_property_comes_in_its_own_unit(is_log):
    graph = graph_of("methanol", "crystal")
    plain = properties(random_model(small_config(readout="mean")), graph)
    scaled = properties(
        random_model(small_config(readout="mean", target_mean=-1.5, target_std=2.0, target_is_log=is_log)), graph
    )
    assert_close(scaled, (2 * plain - 1.5).exp() if is_log else 2 * plain - 1.5)


# State inputs


def with_state(graph: AtomGraph, config) -> AtomGraph:
    """The graph with a different state for every system."""
    number = torch.arange(graph.num_systems)
    if config.state == "categorical":
        return replace(graph, state=number % config.state_size)
    return replace(graph, state=torch.sin(number[:, None] + torch.arange(config.state_size).double()))


@pytest.mark.parametrize("readout", ["extensive", *POOLINGS])
@pytest.mark.parametrize("state", ["continuous", "projected", "categorical"])
def test_every_system_reads_its_own_state(state, readout):
    config = small_config(readout=readout, state=state, state_size=4, state_features=5)
    model = random_model(config)
    graph = with_state(graph_of("methanol", "crystal", "methanol", "no_atoms", "isolated_atom"), config)

    def values(graph: AtomGraph) -> list[torch.Tensor]:
        if readout != "extensive":
            return list(properties(model, graph))
        return list(evaluate(model, graph).atomic_energies.split(graph.atoms_per_system().tolist()))

    together = values(graph)
    for single, value in zip(graph.split(), together, strict=True):
        assert_close(values(single)[0], value)
    assert (together[0] - together[2]).abs().max() > 1e-6  # the same molecule in another state


@pytest.mark.parametrize("state", ["continuous", "projected", "categorical"])
def test_forces_know_the_state_and_stay_the_slope_of_the_energy(state):
    config = small_config(state=state, state_size=4, state_features=5)
    model = random_model(config)
    graph = with_state(graph_of("isolated_atom", "methanol"), config).split()[1]
    forces = evaluate(model, graph).forces
    step = torch.zeros_like(graph.positions)
    step[2, 1] = 1e-4
    forth, back = (evaluate(model, replace(graph, positions=graph.positions + s)).energy for s in (step, -step))
    assert forces[2, 1].item() == pytest.approx(-((forth - back) / 2e-4).item(), abs=1e-7)


@pytest.mark.parametrize(
    ("kind", "wanted"), [("continuous", "2 numbers"), ("projected", "2 numbers"), ("categorical", "from 0 to 1")]
)
def test_a_missing_state_is_named(kind, wanted):
    model = random_model(small_config(state=kind, state_size=2))
    with pytest.raises(ConfigError, match=f"{wanted}.*none was given"):
        evaluate(model, graph_of("methanol"))


def test_a_state_of_another_size_is_refused():
    model = random_model(small_config(state="continuous", state_size=2))
    graph = replace(graph_of("methanol"), state=torch.zeros(1, 3, dtype=torch.float64))
    with pytest.raises(ConfigError, match=r"2 numbers.*shape \(1, 3\)"):
        evaluate(model, graph)


def test_the_hidden_layers_of_the_state_update_are_as_many_as_told():
    model = random_model(small_config(state="continuous", state_size=2, state_hidden=(7, 9)))
    assert [layer.out_features for layer in model.blocks[0].state_update.layers] == [7, 9, 64]


def test_a_state_that_the_model_does_not_take_is_refused():
    graph = replace(graph_of("methanol"), state=torch.zeros(1, 2, dtype=torch.float64))
    with pytest.raises(ConfigError, match="state"):
        evaluate(random_model(small_config()), graph)


# Gradients and precision


def no_gradient(model, loss: torch.Tensor) -> list[str]:
    """Names of the parameters that the loss does not depend on."""
    model.zero_grad()
    loss.backward()
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@pytest.mark.parametrize("dialect", PRESETS)
def test_energies_forces_and_stress_train_every_parameter(dialect):
    model = random_model(small_config(dialect))
    result = evaluate(model, graph_of("skewed_crystal", "crystal", "methanol", "no_atoms"), create_graph=True)
    loss = result.energy.square().sum() + result.forces.square().sum() + result.stress[:2].square().sum()
    without = no_gradient(model, loss)
    if model.config.block_order == "atom_first":  # as published: nobody reads the bonds of the last block
        without = [name for name in without if not name.startswith("blocks.1.bond_update")]
    assert without == []


@pytest.mark.parametrize("target", ["forces", "stress"])
def test_forces_and_stress_alone_train_all_but_the_constants(target):
    model = random_model(small_config())
    result = evaluate(model, graph_of("skewed_crystal", "crystal"), create_graph=True)
    assert no_gradient(model, getattr(result, target).square().sum()) == []


@pytest.mark.parametrize("state", ["none", "continuous", "categorical"])
@pytest.mark.parametrize("readout", POOLINGS)
def test_properties_train_every_parameter(readout, state):
    config = small_config(readout=readout, state=state, state_size=0 if state == "none" else 3)
    model = random_model(config)
    graph = graph_of("skewed_crystal", "crystal", "methanol")
    graph = graph if state == "none" else with_state(graph, config)
    assert no_gradient(model, model.property(graph.edge_vectors(), graph).square().sum()) == []


def test_the_slope_of_a_force_loss_is_right():
    """Second derivatives through everything, as training takes them, against differences."""
    model = random_model(small_config())
    graph = graph_of("methanol", "skewed_crystal")
    weight = model.blocks[0].three_body.bond_update.core[0].weight

    def loss() -> torch.Tensor:
        result = evaluate(model, graph, create_graph=True)
        return result.forces.square().sum() + result.stress[1].square().sum()

    loss().backward()
    with torch.no_grad():
        found = weight.grad[3, 4].item()
        values = []
        for step in (1e-4, -2e-4):
            weight[3, 4] += step
            values.append(loss().item())
        weight[3, 4] += 1e-4
    assert found == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-5)


def test_training_on_a_molecule_gives_no_nan_though_its_stress_is():
    model = random_model(small_config())
    result = evaluate(model, graph_of("methanol", "crystal"), create_graph=True)
    assert torch.isnan(result.stress[0]).all()
    (result.energy.sum() + result.stress[1].square().sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("dialect", PRESETS)
def test_float32_agrees_with_float64(dialect):
    """Asked for in mace#249: an energy to 1e-6 eV an atom, a force to 1e-5 eV/Å, the reference energies in full."""
    exact = random_model(small_config(dialect))
    rounded = random_model(small_config(dialect), dtype=torch.float32)
    rounded.load_state_dict(exact.state_dict())
    graph = graph_of(*WITH_ATOMS)
    a, b = evaluate(exact, graph), evaluate(rounded, graph)
    largest = max(1.0, a.forces.abs().max().item())
    np.testing.assert_allclose(b.atomic_energies, a.atomic_energies, rtol=1e-6, atol=1e-6 * largest)
    np.testing.assert_allclose(b.forces, a.forces, rtol=0, atol=1e-5 * largest)
    assert b.energy.dtype == b.forces.dtype == torch.float64


def test_constants_of_a_float64_model_never_were_float32():
    model = random_model(small_config("matgl_pyg"))
    again = random_model(small_config("matgl_pyg"), dtype=torch.float32).double()
    names = [name for name, buffer in model.named_buffers() if "norms" in name or "wave_numbers" in name]
    assert names
    for name in names:
        buffer = model.get_buffer(name)
        assert buffer.dtype == torch.float64
        assert (buffer != again.get_buffer(name)).any()  # as they would be after rounding
