"""One frozen config describes a model; the presets are the published ones, and nonsense is refused by name."""

import json
from dataclasses import FrozenInstanceError

import pytest
import torch

from tests.small_models import small_config
from tribond.errors import ConfigError, UnknownElementError
from tribond.nn.config import MATERIALS_PROJECT_ELEMENTS, PRESETS, M3GNetConfig, preset
from tribond.nn.m3gnet import M3GNet


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    config = preset(name)
    assert M3GNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_model(name):
    config = small_config(name)
    model = M3GNet(config)
    assert model.config is config
    assert model.dtype == torch.float32


def test_the_default_is_the_paper():
    """5 Å and 4 Å, three blocks of 64 features, three n and three l: the 227,549 trained numbers that it reports."""
    config = preset("paper")
    assert config == M3GNetConfig(elements=MATERIALS_PROJECT_ELEMENTS)
    assert (config.cutoff, config.threebody_cutoff) == (5.0, 4.0)
    assert (config.max_n, config.max_l, config.num_blocks, config.node_features) == (3, 3, 3, 64)
    assert len(config.elements) == 89
    trained = sum(parameter.numel() for parameter in M3GNet(config).parameters())
    assert trained + (95 - 89) * 64 == 227_549  # its code has rows for 95 elements, six of which it never meets


# What the published codes do, where they differ from the paper's own.
MATGL = {
    "edge_basis": "spherical_bessel",
    "update_hidden": (64, 64),
    "readout_hidden": (64, 64, 64),
    "atom_gate_activation": "linear",
    "bond_embedding_bias": True,
}
MATTERSIM = {
    "max_n": 4,
    "max_l": 4,
    "node_features": 128,
    "edge_features": 128,
    "update_hidden": (128,),
    "readout_hidden": (128, 128),
    "angle_gate": "centre",
}
DIFFERENCES = {
    "paper": {},
    "matgl_pyg": MATGL,
    "matgl_dgl": MATGL | {"message_target": "neighbour"},
    "mattersim": MATTERSIM,
    "m3gnet_pytorch": {
        "max_n": 4,
        "max_l": 4,
        "num_blocks": 4,
        "angle_gate": "centre",
        "block_order": "atom_first",
        "atom_gate_activation": "linear",
        "edge_gate_bias": True,
    },
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_dialect_differs_from_the_paper_in_what_its_code_does(name):
    paper, config = preset("paper").to_dict(), preset(name).to_dict()
    not_used = {"elements", "readout_weight_hidden", "set2set_layers"}  # by an energy
    found = {field: value for field, value in config.items() if value != paper[field] and field not in not_used}
    assert found == DIFFERENCES[name]


def test_presets_can_be_changed_field_by_field():
    config = preset("matgl_pyg", elements=["Li", "O"], max_n=5)
    assert config.elements == ("Li", "O")
    assert config.max_n == 5
    assert config.edge_basis == "spherical_bessel"
    assert config.num_edge_basis == 15
    assert config.atomic_numbers == (3, 8)


def test_a_config_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        small_config().cutoff = 6.0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"elements": ()}, "elements"),
        ({"elements": ("Li", "Xx")}, "Xx"),
        ({"elements": ("Li", "X")}, "elements"),
        ({"elements": ("Li", "O", "Li")}, "elements"),
        ({"cutoff": 3.0}, "threebody_cutoff"),
        ({"cutoff": float("nan")}, "cutoff"),
        ({"threebody_cutoff": 0.0}, "threebody_cutoff"),
        ({"threebody_cutoff": -1.0}, "threebody_cutoff"),
        ({"cutoff": "5"}, "cutoff"),
        ({"cutoff": float("inf")}, "cutoff"),
        ({"max_n": 0}, "max_n"),
        ({"max_n": 2.5}, "max_n"),
        ({"update_hidden": 64}, "update_hidden"),
        ({"update_hidden": (64, 0)}, "update_hidden"),
        ({"set2set_steps": 0}, "set2set_steps"),
        ({"num_targets": 2}, "num_targets"),
        ({"readout": "weighted_atom", "readout_hidden": ()}, "readout_hidden"),
        ({"max_l": 0}, "max_l"),
        ({"max_l": 5}, "max_l"),
        ({"num_blocks": 0}, "num_blocks"),
        ({"node_features": 0}, "node_features"),
        ({"edge_features": 0}, "edge_features"),
        ({"num_targets": 0}, "num_targets"),
        ({"edge_basis": "gaussian"}, "edge_basis"),
        ({"angle_gate": "neighbour"}, "angle_gate"),
        ({"message_target": "both"}, "message_target"),
        ({"block_order": "random"}, "block_order"),
        ({"readout": "sam"}, "readout"),
        ({"readout": "sum", "target_is_log": True}, "target_is_log"),
        ({"readout": "sum", "classification": True}, "classification"),
        ({"readout": "mean", "num_targets": 2, "target_mean": (1.0,)}, "target_mean"),
        ({"readout": "mean", "classification": "exclusive"}, "num_targets"),
        ({"state": "continuous"}, "state_size"),
        ({"state_size": 3}, "state_size"),
        ({"state": "something", "state_size": 3}, "state"),
        ({"classification": True}, "classification"),
        ({"target_mean": 1.0}, "target_mean"),
        ({"readout": "mean", "target_std": float("nan")}, "target_std"),
        ({"readout": "mean", "target_is_log": 1}, "target_is_log"),
        ({"readout": "mean", "target_std": 0.0}, "target_std"),
        ({"readout": "mean", "target_std": -1.0}, "target_std"),
        ({"readout": "mean", "target_mean": True}, "target_mean"),
        ({"set2set_steps": 10**12}, "set2set_steps"),
        ({"state_hidden": 64}, "state_hidden"),
        ({"num_blocks": 10**6}, "num_blocks"),
        ({"max_n": 10**6}, "max_n"),
        ({"node_features": 10**18}, "node_features"),
        ({"update_hidden": (True,)}, "update_hidden"),
        ({"update_hidden": (10**12,)}, "update_hidden"),
        ({"update_hidden": (1,) * 20_000}, "update_hidden"),
        ({"cutoff": True, "threebody_cutoff": True}, "cutoff"),
        ({"cutoff": 1e-300, "threebody_cutoff": 1e-300}, "cutoff"),
        ({"cutoff": 1e300}, "cutoff"),
        ({"state": "categorical", "state_size": 10**15}, "state_size"),
    ],
)
def test_values_out_of_range_are_refused_by_the_name_of_the_field(changes, named):
    with pytest.raises(ConfigError, match=named):
        preset("paper", **changes)


def test_an_unknown_field_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="cut_off.*threebody_cutoff"):
        preset("paper", cut_off=6.0)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="megnet.*paper.*mattersim"):
        preset("megnet")


def test_a_config_needs_elements():
    with pytest.raises(ConfigError, match="elements"):
        M3GNetConfig.from_dict({"cutoff": 6.0})


def test_unknown_elements_are_named_with_the_known_ones():
    with pytest.raises(UnknownElementError, match="Fe, Au.*H C O Si Cu"):
        small_config().check_elements([1, 79, 8, 26])
    small_config().check_elements([1, 6, 8])
