"""A training that was stopped and goes on ends where it would have ended: the same weights, bit for bit."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from ase.io import write
from safetensors.torch import load_file

from tribond.errors import ConfigError, TribondError
from tribond.interrupt import Interrupted
from tribond.training import run
from tribond.training.keep_last import KeepLast
from tribond.training.module import PotentialTraining


@pytest.fixture
def data(save, alloys):
    return save("alloys.xyz", alloys(12))


def outcome(output):
    """Everything that must not depend on interruptions: present and averaged weights, the best model, the log."""
    checkpoint = torch.load(output / "checkpoints" / "last.ckpt", weights_only=True)
    moments = checkpoint["optimizer_states"][0]["state"]
    tensors = {f"average {name}": value for name, value in checkpoint["state_dict"].items()}
    tensors |= {f"weights {name}": value for name, value in checkpoint["current_model_state"].items()}
    tensors |= {f"{name} {key}": value for key, state in moments.items() for name, value in state.items()}
    tensors |= {f"best {name}": value for name, value in load_file(output / "model.safetensors").items()}
    with (output / "logs" / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = {"step": checkpoint["global_step"], "rate": checkpoint["lr_schedulers"][0]["last_epoch"]}
    return tensors, numbers, rows


def assert_same(one, other):
    for name, value in one[0].items():
        assert torch.equal(value, other[0][name]), name
    assert one[1] == other[1]
    assert one[2] == other[2]


def at_step(monkeypatch, step, action):
    """Do something in the middle of a step, once: before its loss is known."""
    whole = PotentialTraining.training_step
    pending = [step]

    def training_step(self, batch):
        if pending == [self.global_step + 1]:
            pending.clear()
            action()
        return whole(self, batch)

    monkeypatch.setattr(PotentialTraining, "training_step", training_step)


def train(config, folder):
    return run.train(config, folder, progress=False)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, alloys, make_training):
    folder = tmp_path_factory.mktemp("uninterrupted")
    write(folder / "alloys.xyz", alloys(12), format="extxyz")
    train(make_training(steps=8), folder)
    return outcome(folder / "out")


# Steps 3 and 6 are followed by a validation; an epoch has 4 batches or so.
@pytest.mark.parametrize("step", [1, 3, 5, 8])
def test_ctrl_c_loses_nothing(data, uninterrupted, make_training, tmp_path, monkeypatch, step):
    config = make_training(steps=8)
    before = signal.getsignal(signal.SIGINT)  # a job in the background of a shell ignores it
    at_step(monkeypatch, step, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted):
        train(config, tmp_path)
    assert torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == step
    train(config, tmp_path)
    assert_same(outcome(tmp_path / "out"), uninterrupted)
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_too(data, uninterrupted, make_training, tmp_path, monkeypatch):
    at_step(monkeypatch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted) as caught:
        train(make_training(steps=8), tmp_path)
    assert caught.value.signal == signal.SIGTERM
    train(make_training(steps=8), tmp_path)
    assert_same(outcome(tmp_path / "out"), uninterrupted)


class PowerCutError(Exception):
    pass


def fail():
    raise PowerCutError


def test_an_error_saves_the_last_whole_step(data, uninterrupted, make_training, tmp_path, monkeypatch):
    at_step(monkeypatch, 6, fail)
    with pytest.raises(PowerCutError):
        train(make_training(steps=8), tmp_path)
    assert torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 5
    train(make_training(steps=8), tmp_path)
    assert_same(outcome(tmp_path / "out"), uninterrupted)


@pytest.mark.parametrize(("interval", "cut", "left"), [(1e9, 6, 3), (0.0, 6, 5), (0.0, 7, 6), (1e9, 8, 6), (0.0, 4, 3)])
def test_a_power_cut_goes_back_to_the_last_checkpoint(
    data, uninterrupted, make_training, tmp_path, monkeypatch, interval, cut, left
):
    monkeypatch.setattr(KeepLast, "on_exception", lambda *_: None)
    config = make_training(steps=8, checkpoint_every_minutes=max(interval, 1e-9))
    at_step(monkeypatch, cut, fail)
    with pytest.raises(PowerCutError):
        train(config, tmp_path)
    assert torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == left
    train(config, tmp_path)
    assert_same(outcome(tmp_path / "out"), uninterrupted)


def test_a_power_cut_in_the_first_step_begins_anew(data, uninterrupted, make_training, tmp_path, monkeypatch):
    monkeypatch.setattr(KeepLast, "on_exception", lambda *_: None)
    config = make_training(steps=8, checkpoint_every_minutes=1e-9)
    at_step(monkeypatch, 1, fail)
    with pytest.raises(PowerCutError):
        train(config, tmp_path)
    assert not (tmp_path / "out" / "checkpoints" / "last.ckpt").exists()
    train(config, tmp_path)
    assert_same(outcome(tmp_path / "out"), uninterrupted)


def test_interrupted_twice(data, uninterrupted, make_training, tmp_path, monkeypatch):
    config = make_training(steps=8)
    for step in (2, 7):
        at_step(monkeypatch, step, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            train(config, tmp_path)
    train(config, tmp_path)
    assert_same(outcome(tmp_path / "out"), uninterrupted)


def test_a_complete_training_stays_as_it_is(data, uninterrupted, make_training, tmp_path):
    for _ in range(2):
        train(make_training(steps=8), tmp_path)
        assert_same(outcome(tmp_path / "out"), uninterrupted)


def test_worker_processes_ask_ahead_and_change_nothing(data, uninterrupted, make_training, tmp_path, monkeypatch):
    at_step(monkeypatch, 5, lambda: os.kill(os.getpid(), signal.SIGINT))
    config = make_training(steps=8, workers=1)
    with pytest.raises(Interrupted):
        train(config, tmp_path)
    train(config, tmp_path)
    assert_same(outcome(tmp_path / "out"), uninterrupted)


def test_other_settings_are_refused(data, make_training, tmp_path):
    train(make_training(steps=2), tmp_path)
    with pytest.raises(ConfigError, match=r"other settings \(optimizer.ema_decay, steps\)"):
        train(make_training(steps=3, optimizer={"learning_rate": 5e-3, "warmup_steps": 2}), tmp_path)


def test_settings_that_change_nothing_may_change(data, make_training, tmp_path):
    train(make_training(steps=2), tmp_path)
    train(make_training(steps=2, checkpoint_every_minutes=3.0, metadata={"licence": "MIT"}), tmp_path)


def test_other_data_is_refused(data, save, alloys, make_training, tmp_path):
    train(make_training(steps=2), tmp_path)
    save("alloys.xyz", alloys(12, seed=1))
    with pytest.raises(ConfigError, match="the data has changed"):
        train(make_training(steps=2), tmp_path)


def test_restart_forgets_the_old_training(data, make_training, tmp_path):
    train(make_training(steps=4), tmp_path)
    run.train(make_training(steps=2), tmp_path, restart=True, progress=False)
    _, numbers, rows = outcome(tmp_path / "out")
    assert numbers["step"] == 2
    assert max(int(row["step"]) for row in rows) == 1


def test_a_model_without_checkpoint_is_not_overwritten(data, make_training, tmp_path):
    train(make_training(steps=2), tmp_path)
    (tmp_path / "out" / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(ConfigError, match="no checkpoint to go on from"):
        train(make_training(steps=2), tmp_path)


def test_a_removed_model_is_no_silent_success(data, make_training, tmp_path):
    train(make_training(steps=2), tmp_path)
    (tmp_path / "out" / "model.safetensors").unlink()
    with pytest.raises(TribondError, match="start anew with --restart"):
        train(make_training(steps=2), tmp_path)


PROGRAM = """
import sys, torch
from pathlib import Path
from tribond.training.config import TrainingConfig
from tribond.training.run import train
torch.set_num_threads(1)
train(TrainingConfig.read(sys.argv[1]), Path(sys.argv[1]).parent, progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.3, 1.1])
def test_kill_9(data, make_training, tmp_path, delay):
    config = make_training(steps=150, validate_every=17, checkpoint_every_minutes=0.001)
    train(make_training(output="whole", steps=150, validate_every=17), tmp_path)
    (tmp_path / "train.yaml").write_text(config.model_dump_json())
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "train.yaml")]
    last = tmp_path / "out" / "checkpoints" / "last.ckpt"
    victim = subprocess.Popen(command)
    while not last.is_file():
        time.sleep(0.05)
        assert victim.poll() is None
    time.sleep(delay)
    victim.kill()
    victim.wait()
    assert torch.load(last, weights_only=True)["global_step"] < 150
    subprocess.run(command, check=True)
    assert_same(outcome(tmp_path / "out"), outcome(tmp_path / "whole"))
