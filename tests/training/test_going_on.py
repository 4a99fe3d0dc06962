"""Damaged checkpoints, and two trainings in one folder, end in one line."""

import subprocess
import sys

import pytest
import torch

from tribond.errors import CheckpointError, ConfigError
from tribond.training.going_on import check_whole, only_training_in
from tribond.training.run import train


@pytest.fixture
def data(save, alloys):
    return save("alloys.xyz", alloys(12))


def flipped(content, at):
    changed = bytearray(content)
    changed[at] ^= 4
    return bytes(changed)


def test_damaged_checkpoints_are_named(data, make_training, tmp_path):
    output = train(make_training(steps=2), tmp_path).output
    last = output / "checkpoints" / "last.ckpt"
    good = last.read_bytes()
    check_whole(last)
    damages = {
        "empty": b"",
        "cut": good[: len(good) // 2],
        "garbage": b"garbage" * 100,
        "flipped": flipped(good, len(good) // 2),
    }
    for content in damages.values():
        last.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"last\.ckpt.* is damaged .*--restart"):
            train(make_training(steps=2), tmp_path)
    torch.save({"global_step": 1}, last)
    with pytest.raises(CheckpointError, match=r"damaged \(state_dict\)"):
        train(make_training(steps=2), tmp_path)
    last.write_bytes(good)
    (output / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json.* damaged; begin anew with --restart"):
        train(make_training(steps=2), tmp_path)
    assert train(make_training(steps=2), tmp_path, restart=True).model_file.is_file()


def test_one_training_at_a_time(data, make_training, tmp_path):
    output = tmp_path / "out"
    waiting = (
        "import pathlib, sys, tribond.training.going_on as g\n"
        f"with g.only_training_in(pathlib.Path({str(output)!r})):\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", waiting], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ConfigError, match=r"another training is writing to .*out"):
            train(make_training(steps=2, output="out"), tmp_path)
        other.kill()  # the lock goes with the process
        other.wait()
    with only_training_in(output):
        pass
    assert train(make_training(steps=2, output="out"), tmp_path).model_file.is_file()
