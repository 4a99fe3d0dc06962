"""Models of properties: what is learnt, what is masked, what they start from, and that interruptions cost nothing."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.io import write
from safetensors.torch import load_file

import tribond
from tests.small_models import random_model, small_config
from tribond.checkpoints.native import load_model, save_model
from tribond.errors import ConfigError, DataError
from tribond.evaluation.property_metrics import auc, predict_table, property_errors
from tribond.interrupt import Interrupted
from tribond.nn.config import preset
from tribond.nn.m3gnet import M3GNet
from tribond.training.config import ModelConfig
from tribond.training.property_config import (
    PropertyConfig,
    PropertyData,
    PropertyModelConfig,
    PropertyTrainingConfig,
    StateConfig,
    TargetConfig,
)
from tribond.training.property_loss import PropertyLoss
from tribond.training.property_module import PropertyTraining
from tribond.training.property_run import train_property

TINY = {"node_features": 8, "edge_features": 8, "num_blocks": 1, "update_hidden": [8], "readout_hidden": [8]}
HEATS = {"Cu": 24.5, "Al": 24.2, "Ni": 26.1}


def alloys(number, size=4):
    images = []
    for seed in range(number):
        random = np.random.default_rng(seed)
        atoms = bulk("Cu", a=3.5 + 0.5 * random.random(), cubic=True)[:size]
        atoms.symbols = random.choice(["Cu", "Al", "Ni"], len(atoms))
        atoms.rattle(0.05, seed=seed)
        atoms.info["heat"] = sum(HEATS[symbol] for symbol in atoms.symbols)
        atoms.info["stiffness"] = float(np.exp(2 * (atoms.get_volume() / len(atoms) - 13)))
        atoms.info["large"] = "yes" if atoms.get_volume() > 52 else "no"
        images.append(atoms)
    return images


@pytest.fixture
def data(tmp_path):
    images = alloys(24)
    for index in (2, 3, 4, 5):
        del images[index].info["stiffness"]
    write(tmp_path / "alloys.extxyz", images)
    return images


def settings(**changes):
    content = {
        "name": "tiny",
        "output": "out",
        "property": {"targets": [{"name": "stiffness", "log": True, "unit": "GPa"}, {"name": "heat"}]},
        "data": {"files": ["alloys.extxyz"], "validation_folds": 4},
        "model": {"elements": "data", "settings": TINY},
        "steps": 8,
        "edge_budget": 1500,
        "validate_every": 3,
        "accelerator": "cpu",
        "optimizer": {"learning_rate": 0.02, "warmup_steps": 2, "ema_decay": 0.9},
    }
    return PropertyTrainingConfig.model_validate(content | changes)


def train(config, folder):
    return train_property(config, folder, progress=False)


def test_two_targets_of_which_one_is_a_logarithm_are_learnt(data, tmp_path):
    result = train(settings(steps=250, validate_every=50), tmp_path)
    model = tribond.load(result.model_file, device="cpu")
    assert [(it.name, it.unit) for it in model.targets] == [("stiffness", "GPa"), ("heat", "")]
    stiffness, heat = property_errors(predict_table(model, result.train), model)
    assert stiffness.log_mae < 0.8 * stiffness.trivial_log_mae
    assert heat.mae < 0.5 * heat.trivial_mae
    missing = int(np.isnan(result.train.values[:, 0]).sum())
    assert missing > 0
    assert stiffness.count == heat.count - missing


def test_a_sum_over_atoms_grows_with_them_and_knows_the_composition_at_once(data, tmp_path):
    wanted = {"kind": "extensive", "targets": [{"name": "heat", "unit": "J/mol/K"}]}
    result = train(settings(property=wanted, steps=1), tmp_path)
    model = tribond.load(result.model_file, device="cpu", dtype="float64")
    cell, double = data[0], data[0].repeat((2, 1, 1))
    one, two = (model.predict(atoms)[0].value for atoms in (cell, double))
    assert two == pytest.approx(2 * one, rel=1e-9)
    (errors,) = property_errors(predict_table(model, result.train), model)
    assert errors.mae < 0.5 * errors.trivial_mae


def test_what_is_missing_teaches_nothing():
    loss = PropertyLoss("mse", [1.0, 1.0], classification=False)
    network = torch.tensor([[1.0, 5.0], [2.0, 7.0]], requires_grad=True)
    total = loss.total(*loss.sums(network, torch.tensor([[0.0, torch.nan], [0.0, torch.nan]])))
    total.backward()
    assert total.item() == pytest.approx(2.5)
    assert network.grad.tolist() == [[1.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stiffness", -1.0, r"alloys.extxyz#5: stiffness is -1, and the logarithm"),
        ("heat", "much", r"alloys.extxyz#5: heat is 'much', which is no number"),
    ],
)
def test_a_bad_row_is_named(data, tmp_path, key, value, message):
    data[5].info[key] = value
    write(tmp_path / "alloys.extxyz", data)
    with pytest.raises(DataError, match=message):
        train(settings(), tmp_path)
    kept = settings(data={"files": ["alloys.extxyz"], "bad_rows": "skip", "validation_folds": 4}, steps=1)
    result = train(kept, tmp_path)
    assert len(result.train) + len(result.validation) == 23


def test_an_index_takes_a_part_and_files_of_one_name_differ(data, tmp_path):
    """What trains must not validate; the same name in two folders is two files."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "alloys.extxyz", data[:6])
    parts = {"files": ["alloys.extxyz@:16"], "validation": ["alloys.extxyz@16:"], "test": ["*/alloys.extxyz@-1"]}
    result = train(settings(data=parts, steps=1), tmp_path)
    assert result.train.names == tuple(f"alloys.extxyz#{row}" for row in range(16))
    assert result.validation.names == tuple(f"alloys.extxyz#{row}" for row in range(16, 24))
    assert result.test.names == ("a/alloys.extxyz#5", "b/alloys.extxyz#5")
    with pytest.raises(DataError, match="no row has"):
        train(settings(data={"files": ["alloys.extxyz@24:"]}, output="other"), tmp_path)


def test_tables_hold_files_dictionaries_and_text(data, tmp_path):
    from pymatgen.io.ase import AseAtomsAdaptor

    write(tmp_path / "one.cif", data[0])
    given = ["one.cif", AseAtomsAdaptor.get_structure(data[1]).as_dict(), (tmp_path / "one.cif").read_text()]
    rows = [{"structure": it, "properties": {"heat": heat}} for it, heat in zip(given, (1.0, None, "3"), strict=True)]
    (tmp_path / "table.json").write_text(json.dumps(rows))
    wanted = {"targets": [{"name": "heat", "key": "properties.heat"}]}
    config = settings(property=wanted, data={"files": ["table.json"], "validation_folds": 0}, steps=1)
    result = train(config, tmp_path)
    assert result.train.values[:, 0].tolist() == [1.0, 3.0]
    for atoms in result.train.structures:
        assert atoms.get_chemical_formula() == data[0].get_chemical_formula()


def test_a_state_is_given_in_the_units_of_the_data(tmp_path):
    """The network sees 300 K as about 1; the file that is written takes 300."""
    images = [atoms for atoms in alloys(8) for _ in range(3)]
    for index, atoms in enumerate(images):
        images[index] = atoms.copy()
        images[index].info |= {"temperature_K": 100.0 + 100.0 * (index % 3), "heat": 0.05 * (index % 3)}
    write(tmp_path / "alloys.extxyz", images)
    wanted = {"targets": [{"name": "heat"}], "state": {"keys": ["temperature_K"]}}
    result = train(settings(property=wanted, steps=150, validate_every=50), tmp_path)
    model = tribond.load(result.model_file, device="cpu")
    cold, hot = (model.predict(images[0], state=temperature)[0].value for temperature in (100.0, 300.0))
    assert hot - cold == pytest.approx(0.1, abs=0.03)
    assert model.states_of(images[:2]) == [[100.0], [200.0]]

    start = {"start_from": "out/model.safetensors", "keep_readout": True}
    slow = {"learning_rate": 1e-12, "warmup_steps": 0}
    result = train(settings(property=wanted, model=start, steps=1, output="again", optimizer=slow), tmp_path)
    again = tribond.load(result.model_file, device="cpu")
    same = [again.predict(images[0], state=temperature)[0].value for temperature in (100.0, 300.0)]
    assert same == pytest.approx([cold, hot], abs=1e-5)


def test_classes_are_told_apart(data, tmp_path):
    wanted = {"kind": "classes", "targets": [{"name": "large"}], "classes": ["no", "yes"]}
    result = train(settings(property=wanted, steps=120, validate_every=40), tmp_path)
    model = tribond.load(result.model_file, device="cpu")
    (errors,) = property_errors(predict_table(model, result.train), model)
    assert errors.accuracy > 0.9
    assert errors.auc > 0.95
    assert {model.predict(atoms)[0].label for atoms in data} == {"no", "yes"}


def test_exclusive_classes_share_one():
    wanted = small_config(readout="mean", num_targets=3, classification="exclusive")
    chances = tribond.PropertyModel(random_model(wanted)).predict(bulk("Cu"))[0].value
    assert chances.shape == (3,)
    assert chances.sum() == pytest.approx(1.0)


def test_auc_is_the_chance_to_rank_a_pair_rightly():
    random = np.random.default_rng(0)
    positive, score = random.random(40) < 0.4, random.integers(0, 6, 40).astype(float)
    pairs = [(p > n) + 0.5 * (p == n) for p in score[positive] for n in score[~positive]]
    assert auc(positive, score) == pytest.approx(np.mean(pairs))


def base(tmp_path):
    """A potential whose features can be recognised."""
    torch.manual_seed(1)
    model = M3GNet(preset("paper", elements=("Cu", "Al", "Ni"), **TINY))
    save_model(tmp_path / "base.safetensors", model, {"name": "base"})
    return model


def test_a_potential_gives_its_features_and_frozen_parts_stay(data, tmp_path):
    old = base(tmp_path)
    model = {"start_from": "base.safetensors", "freeze": ["embedding", "block1"]}
    wanted = {"targets": [{"name": "heat"}], "state": {"keys": ["stiffness"]}}
    for atoms in data:
        atoms.info.setdefault("stiffness", 1.0)
    write(tmp_path / "alloys.extxyz", data)
    result = train(settings(model=model, property=wanted, steps=3), tmp_path)
    new, metadata = load_model(result.model_file)
    assert metadata["started_from"] == "base"
    taken = [name for name, _ in old.named_parameters() if not name.startswith("readout.")]
    after = dict(new.named_parameters())
    for name in taken:
        ours, theirs = after[name], dict(old.named_parameters())[name]
        if ours.shape == theirs.shape:
            assert torch.equal(ours, theirs), name
        else:  # wider by the state input, which the frozen block takes no notice of
            assert torch.equal(ours[:, : theirs.shape[1]], theirs), name
            assert not ours[:, theirs.shape[1] :].any()


def test_a_readout_may_be_kept(data, tmp_path):
    wanted = {"targets": [{"name": "heat"}]}
    train(settings(property=wanted | {"readout": "set2set"}, steps=3, output="first"), tmp_path)
    model = {"start_from": "first/model.safetensors", "keep_readout": True}
    slow = {"learning_rate": 1e-12, "warmup_steps": 0}
    train(settings(property=wanted, model=model, steps=1, output="second", optimizer=slow), tmp_path)
    for name, value in load_file(tmp_path / "first" / "model.safetensors").items():
        assert torch.allclose(load_file(tmp_path / "second" / "model.safetensors")[name], value, atol=1e-6), name
    with pytest.raises(ConfigError, match="keep_readout: the model to start from has num_targets = 1 and not 2"):
        train(settings(model=model, output="third"), tmp_path)


def test_ctrl_c_loses_nothing(data, tmp_path, monkeypatch):
    def outcome(output):
        last = torch.load(tmp_path / output / "checkpoints" / "last.ckpt", weights_only=True)
        return last["current_model_state"] | last["state_dict"] | load_file(tmp_path / output / "model.safetensors")

    train(settings(output="whole"), tmp_path)
    whole_step = PropertyTraining.training_step
    pending = [5]

    def training_step(self, batch):
        if pending == [self.global_step + 1]:
            pending.clear()
            os.kill(os.getpid(), signal.SIGINT)
        return whole_step(self, batch)

    monkeypatch.setattr(PropertyTraining, "training_step", training_step)
    with pytest.raises(Interrupted):
        train(settings(), tmp_path)
    with pytest.raises(ConfigError, match=r"other settings \(loss\)"):
        train(settings(loss="mae"), tmp_path)
    train(settings(), tmp_path)
    expected = outcome("whole")
    for name, value in outcome("out").items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"property": {"targets": [{"name": "a"}], "classes": ["x", "y"]}}, "classes belong to kind: classes"),
        ({"property": {"kind": "extensive", "targets": [{"name": "a", "log": True}]}}, "log is for kind: intensive"),
        ({"model": {"freeze": ["embedding"]}}, "needs start_from"),
        ({"stages": [{"steps": 3}]}, "are for potentials"),
    ],
)
def test_settings_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


@pytest.mark.parametrize("part", [PropertyConfig, TargetConfig, StateConfig, PropertyData, PropertyModelConfig])
def test_every_setting_is_explained(part):
    text = (Path(__file__).parents[2] / "docs" / "properties_training.md").read_text(encoding="utf-8")
    inherited = set(ModelConfig.model_fields) - {"freeze"} if part is PropertyModelConfig else set()
    for name in set(part.model_fields) - inherited:
        assert f"`{name}`" in text, name
