"""What is no ordinary file, or larger than any model, is refused before it is read."""

import os

import pytest

import tribond
from tribond.checkpoints.ordinary import LARGEST
from tribond.errors import CheckpointError


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
def test_huge_files_are_not_read(tmp_path, suffix):
    file = tmp_path / f"model{suffix}"
    with file.open("wb") as stream:
        stream.truncate(LARGEST + 1)  # takes no room
    with pytest.raises(CheckpointError, match=r"has 0\.5 GB; models of up to"):
        tribond.load(file)


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors", "model"])
def test_pipes_are_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match="no ordinary file"):
        tribond.load(tmp_path / name)


def test_empty_files_are_said_to_be(tmp_path):
    (tmp_path / "model.pth").touch()
    with pytest.raises(CheckpointError, match=r"model\.pth is not a readable model file: it is empty"):
        tribond.load(tmp_path / "model.pth")


def test_a_json_beyond_measure_in_a_folder(tmp_path):
    for name in ("model.pt", "state.pt"):
        (tmp_path / name).write_bytes(b"x")
    for text in ("[" * 100_000, '{"@class": ' + "9" * 5000 + "}"):
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(CheckpointError, match="not the description of a MatGL model"):
            tribond.load(tmp_path)
