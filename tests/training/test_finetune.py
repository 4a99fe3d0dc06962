"""Going on from another model: on another zero of energy it is at first as good as it was."""

import shutil

import pytest
import torch
from ase.io import write
from safetensors.torch import load_file

import tribond
from tribond.checkpoints.native import load_model, save_model
from tribond.errors import ConfigError, DataError
from tribond.evaluation.evaluate import evaluate_frames
from tribond.training import run

FAST = {"learning_rate": 0.05, "warmup_steps": 2, "ema_decay": 0.9}


def train(config, folder):
    return run.train(config, folder, progress=False)


@pytest.fixture
def data(save, alloys):
    return save("alloys.xyz", alloys(12))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, alloys, make_training):
    """A model that knows the alloys well enough to be recognised."""
    folder = tmp_path_factory.mktemp("base")
    write(folder / "alloys.xyz", alloys(12), format="extxyz")
    return train(make_training(name="base", steps=50, optimizer=FAST), folder).model_file


@pytest.fixture
def base(trained, data, tmp_path):
    return shutil.copy(trained, tmp_path / "base.safetensors")


def test_reference_energies_are_refitted_first(base, save, alloys, make_training, tmp_path):
    """New data is the old on another zero: before the first step the model is as good as it was."""
    save("alloys.xyz", alloys(12, zero=3.0))
    result = train(make_training(model={"start_from": "base.safetensors"}, steps=1), tmp_path)
    old, _ = load_model(base)
    new = result.before.model.reference_energy
    assert torch.equal(new.scale, old.reference_energy.scale)
    assert (new.reference - old.reference_energy.reference).numpy() == pytest.approx(3.0, abs=0.4)
    before = evaluate_frames(result.before, result.validation)
    assert before.energy.mae < 300  # meV/atom, of the three thousand that lie between
    assert result.before.metadata == {"started_from": "base"}
    assert tribond.load(result.model_file, device="cpu").metadata["started_from"] == "base"


def test_reference_energies_may_be_kept(base, save, alloys, make_training, tmp_path):
    save("alloys.xyz", alloys(12, zero=3.0))
    model = {"start_from": str(base), "refit_reference_energies": False}
    result = train(make_training(model=model, steps=1), tmp_path)
    old, _ = load_model(base)
    assert torch.equal(result.before.model.reference_energy.reference, old.reference_energy.reference)


def test_a_second_source_is_shifted_onto_the_first(base, save, alloys, make_training, tmp_path):
    save("high.xyz", alloys(12, zero=2.0))
    sources = [{"name": "low", "files": ["alloys.xyz"]}, {"name": "high", "files": ["high.xyz"]}]
    model = {"start_from": str(base), "refit_reference_energies": False}
    result = train(make_training(train=sources, model=model, steps=1), tmp_path)
    errors = {
        number: evaluate_frames(result.before, [f for f in result.validation if f.source == number]).energy.mae
        for number in (0, 1)
    }
    assert errors[1] < errors[0] + 100  # meV/atom


def test_it_starts_where_the_other_ended(base, data, make_training, tmp_path):
    optimizer = {"learning_rate": 1e-12, "warmup_steps": 0}
    result = train(make_training(model={"start_from": str(base)}, steps=1, optimizer=optimizer), tmp_path)
    for name, value in load_model(base)[0].named_parameters():
        assert torch.allclose(load_file(result.model_file)[name], value, atol=1e-6), name


def test_elements_it_does_not_know(base, save, alloys, make_training, tmp_path):
    save("alloys.xyz", alloys(4, elements=("Cu", "Au")))
    with pytest.raises(DataError, match="does not know: Au"):
        train(make_training(model={"start_from": str(base)}), tmp_path)


def test_only_potentials(base, make_training, tmp_path, make_model):
    save_model(tmp_path / "gap.safetensors", make_model(readout="mean", dtype=torch.float32), {})
    with pytest.raises(ConfigError, match="only potentials without a state"):
        train(make_training(model={"start_from": "gap.safetensors"}), tmp_path)
