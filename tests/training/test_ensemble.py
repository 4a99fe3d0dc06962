"""Ensembles are trained member by member, go on where they were stopped, and are the same whatever happened."""

import signal

import pytest
import torch
from safetensors.torch import load_file

import tribond
from tribond.errors import ConfigError
from tribond.interrupt import Interrupted
from tribond.training.ensemble import train_ensemble
from tribond.training.module import PotentialTraining
from tribond.training.run import train


@pytest.fixture
def data(save, alloys):
    return save("alloys.xyz", alloys(8))


@pytest.fixture
def stop(monkeypatch):
    """(n) -> whoever takes the n-th step from now stops as by Ctrl-C, once."""
    whole, left = PotentialTraining.training_step, []

    def training_step(self, batch):
        if left:
            left[0] -= 1
            if left[0] == 0:
                left.clear()
                signal.raise_signal(signal.SIGINT)
        return whole(self, batch)

    monkeypatch.setattr(PotentialTraining, "training_step", training_step)
    return left.append


def test_members_differ_share_the_validation_and_go_on_after_an_interruption(data, tmp_path, make_training, stop):
    config = make_training(steps=4, validate_every=2)
    whole = train_ensemble(config, tmp_path, 2, progress=False)
    stopped = config.model_copy(update={"output": "stopped"})
    stop(7)  # the third step of the second member
    with pytest.raises(Interrupted):
        train_ensemble(stopped, tmp_path, 2, progress=False)
    assert not (tmp_path / "stopped" / "ensemble.json").exists()
    again = train_ensemble(stopped, tmp_path, 2, progress=False)
    weights = []
    for one, other in zip(whole.members, again.members, strict=True):
        weights.append(load_file(one.model_file))
        for name, tensor in load_file(other.model_file).items():
            assert torch.equal(tensor, weights[-1][name]), name
        assert [frame.origin for frame in one.validation] == [frame.origin for frame in whole.members[0].validation]
    assert not torch.equal(weights[0]["atom_embedding.weight"], weights[1]["atom_embedding.weight"])
    ensemble = tribond.load(tmp_path / "out", device="cpu")
    assert ensemble.num_members == 2
    assert [member.metadata["name"] for member in ensemble.members] == ["tiny-0", "tiny-1"]
    seen = []
    larger = train_ensemble(config, tmp_path, 3, progress=False, on_member=lambda number, _: seen.append(number))
    assert seen == [0, 1, 2]
    assert torch.equal(
        load_file(larger.members[1].model_file)["atom_embedding.weight"], weights[1]["atom_embedding.weight"]
    )
    assert tribond.load(tmp_path / "out", device="cpu").num_members == 3


def test_several_tasks_of_srun_are_refused(tmp_path, make_training, monkeypatch):
    """They would all train the same members into the same folders."""
    for name, value in (("SLURM_STEP_ID", "0"), ("SLURM_NTASKS", "2"), ("SLURM_NTASKS_PER_NODE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="start one process"):
        train_ensemble(make_training(), tmp_path, 2)


def test_a_folder_of_one_training_and_several_devices_are_refused(data, tmp_path, make_training):
    config = make_training(steps=1, validate_every=1)
    train(config, tmp_path, progress=False)
    with pytest.raises(ConfigError, match="holds the training of a single model"):
        train_ensemble(config, tmp_path, 2, progress=False)
    with pytest.raises(ConfigError, match="one device each"):
        train_ensemble(config.model_copy(update={"devices": 2, "output": "other"}), tmp_path, 2)
    with pytest.raises(ConfigError, match="ensembles are of potentials; tiny is another kind"):
        train_ensemble(type("Other", (type(config),), {}).model_validate(config.model_dump()), tmp_path, 2)
    with pytest.raises(ConfigError, match="two members or more, not 1"):
        train_ensemble(config, tmp_path, 1)
