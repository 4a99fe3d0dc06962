"""Files that would crash a reader, keep it busy, or give other energies are refused with a sentence."""

import json
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.small_models import random_model, small_config
from tribond.checkpoints.native import load_model, read_header, save_model
from tribond.checkpoints.torch_file import read_torch_file
from tribond.errors import CheckpointError

WEIGHT = "blocks.0.bond_update.phi.core.0.weight"


@pytest.fixture
def path(tmp_path):
    save_model(tmp_path / "model.safetensors", random_model(small_config(), dtype=torch.float32), {"name": "small"})
    return tmp_path / "model.safetensors"


def rewrite(path, header=None, **tensors):
    """The file with another header or other tensors, and no checksum."""
    written = read_header(path)
    written.pop("checksum", None)
    save_file(load_file(path) | tensors, path, metadata={"tribond": header or json.dumps(written)})


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"format_version": ' + "9" * 5000 + "}",
        '{"format_version": 2, "config": {}, "metadata": {"name": "\\ud800"}}',
        '{"format_version": 2, "config": {}, "metadata": {"name": "\\u001b]0;mine\\u0007"}}',
        '{"format_version": 2, "config": {}, "metadata": {"\\u001b[2J": 1}}',
    ],
    ids=["deep", "long number", "lone surrogate", "terminal escape", "escape in a key"],
)
def test_headers_beyond_all_measure(path, header):
    rewrite(path, header)
    with pytest.raises(CheckpointError, match=r"not one that tribond wrote|characters that are no text"):
        load_model(path)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.complex64])
def test_weights_that_are_no_floating_point_numbers(path, dtype):
    rewrite(path, **{WEIGHT: load_file(path)[WEIGHT].to(dtype)})
    with pytest.raises(CheckpointError, match=rf"{WEIGHT} is stored as {dtype}"):
        load_model(path)


@pytest.mark.parametrize("name", [WEIGHT, "reference_energy.reference", "reference_energy.scale"])
@pytest.mark.parametrize("value", [torch.inf, torch.nan, 1e35])
def test_numbers_that_are_none(path, name, value):
    tensor = load_file(path)[name].clone()
    tensor.view(-1)[0] = value
    rewrite(path, **{name: tensor})
    with pytest.raises(CheckpointError, match=rf"{name} holds numbers that are not finite or larger"):
        load_model(path)


@pytest.mark.parametrize("times", [20, 40, 1000])
def test_tuples_that_hold_each_other_are_not_hashed(tmp_path, times):
    """Three hundred bytes that would take a reader hours: a key of a dictionary that unfolds to 2^40 values."""
    content = b"\x80\x02}((t" + b"q\x01h\x01\x86" * times + b"K\x01u."
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w") as archive:
        for name, part in (("data.pkl", content), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"archive/{name}", part)
    with pytest.raises(CheckpointError, match="tuples in it hold each other over and over"):
        read_torch_file(tmp_path / "bomb.pth")


def test_tuples_that_are_shared_and_small_are_read(tmp_path):
    pair = (1, 2)
    content = {"pairs": (pair, (pair, pair)), (pair, pair): torch.ones(3), "list": [pair] * 1000}
    torch.save(content, tmp_path / "file.pth")
    found = read_torch_file(tmp_path / "file.pth")
    assert found["pairs"] == content["pairs"]
    assert torch.equal(found[pair, pair], torch.ones(3))
