"""Model files: what is written comes back bit by bit, what is damaged or foreign is refused, and nothing is executed.

Asked for in matgl#44, #47, #73, #762 and m3gnet#20: files that outlive versions, without pickles.
"""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tribond
from tribond.checkpoints import native
from tribond.checkpoints.native import (
    FORMAT_VERSION,
    HEADER_KEY,
    WITHOUT_TERMS,
    load_model,
    read_header,
    save_model,
)
from tribond.errors import CheckpointError, ModelNotFoundError
from tribond.nn.config import PRESETS

METADATA = {"name": "random", "licence": "BSD-3-Clause", "errors": {"energy_eV_per_atom": 0.1}, "elements seen": ["H"]}


@pytest.fixture
def model_file(tmp_path, make_model) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, make_model(), METADATA)
    return path


def rewritten(path: Path, tensors=None, **header) -> Path:
    """The file with other tensors, or with fields of its JSON header replaced, None removing one."""
    content = load_file(path) if tensors is None else tensors
    old = read_header(path)
    new = {name: value for name, value in (old | header).items() if value is not None}
    save_file(content, path, metadata={HEADER_KEY: json.dumps(new)})
    return path


# There and back


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dialect", PRESETS)
def test_predictions_before_and_after_are_the_same_bit_by_bit(tmp_path, make_model, structures, dialect, dtype):
    path = tmp_path / "model.safetensors"
    model = make_model(dialect, dtype=dtype)
    model.reference_energy.offset.fill_(0.125)
    save_model(path, model, METADATA)
    potential = tribond.load(path, device="cpu")
    assert potential.config == model.config
    assert potential.dtype == dtype
    assert potential.metadata == METADATA
    expected = tribond.Potential(model).predict(structures.values())
    for a, b in zip(potential.predict(structures.values()), expected, strict=True):
        assert a.energy == b.energy
        np.testing.assert_array_equal(a.forces, b.forces)
        if b.stress is not None:
            np.testing.assert_array_equal(a.stress, b.stress)


@pytest.mark.parametrize(
    "changes",
    [
        {"readout": "set2set", "num_targets": 2},
        {"readout": "weighted_atom", "classification": True},
        {"readout": "mean", "state": "categorical", "state_size": 4},
        {"state": "continuous", "state_size": 2},
    ],
    ids=["set2set", "classifier", "categories", "continuous state"],
)
def test_models_of_properties_are_kept_too(tmp_path, make_model, changes):
    path = tmp_path / "model.safetensors"
    model = make_model(**changes)
    save_model(path, model, {})
    again, metadata = load_model(path)
    assert again.config == model.config
    assert metadata == {}
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_the_precision_can_be_chosen_when_loading(model_file, structures):
    """Asked for in mace#249."""
    double = tribond.load(model_file, dtype="float64", device="cpu")
    single = tribond.load(model_file, dtype="float32", device="cpu")
    assert double.dtype == torch.float64
    assert single.dtype == torch.float32
    a, b = (potential.predict(structures["crystal"])[0] for potential in (double, single))
    np.testing.assert_allclose(a.forces, b.forces, atol=1e-5)


def test_reference_energies_are_kept_in_float64_by_a_float32_file(tmp_path, make_model):
    path = tmp_path / "model.safetensors"
    model = make_model(dtype=torch.float32)
    model.reference_energy.set(reference=[-1234.5678901234567] * 5)
    save_model(path, model, {})
    again, _ = load_model(path)
    assert again.reference_energy.reference.tolist() == [-1234.5678901234567] * 5


def test_the_header_can_be_read_without_the_weights(model_file):
    header = read_header(model_file)
    assert header["format_version"] == WITHOUT_TERMS
    assert header["metadata"] == METADATA
    assert header["config"]["cutoff"] == 5.0


def test_paths_may_be_strings(tmp_path, make_model):
    path = str(tmp_path / "model.safetensors")
    save_model(path, make_model(), {})
    assert tribond.load(path, device="cpu").num_parameters > 0


# Damaged and foreign files


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, -1])
def test_a_file_that_was_cut_off_is_refused(model_file, keep):
    content = model_file.read_bytes()
    model_file.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match="model.safetensors is not a readable model file"):
        tribond.load(model_file)


def test_a_file_with_a_damaged_header_is_refused(model_file):
    content = bytearray(model_file.read_bytes())
    content[20:24] = b"\xff\xff\xff\xff"
    model_file.write_bytes(content)
    with pytest.raises(CheckpointError, match="model.safetensors is not a readable model file"):
        tribond.load(model_file)


@pytest.mark.parametrize(
    "content",
    [b"hello", b"<html>404</html>" * 100, np.random.default_rng(0).bytes(5000)],
    ids=["text", "html", "noise"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "something.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="something.pt is not a readable model file"):
        tribond.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {HEADER_KEY: "not json"}])
def test_a_safetensors_file_of_others_is_refused(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
    with pytest.raises(
        CheckpointError, match="foreign.safetensors is a safetensors file, but not one that tribond wrote"
    ):
        tribond.load(path)


@pytest.mark.parametrize("header", ["[]", "{}", "3", '{"format_version": "one"}', '{"format_version": 1}'])
def test_a_header_that_makes_no_sense_is_refused(tmp_path, header):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata={HEADER_KEY: header})
    with pytest.raises(CheckpointError, match=r"foreign\.safetensors"):
        tribond.load(path)


def test_a_file_of_a_newer_format_asks_for_a_newer_tribond(model_file):
    rewritten(model_file, format_version=FORMAT_VERSION + 1)
    with pytest.raises(CheckpointError, match=f"format version {FORMAT_VERSION + 1}.*upgrade tribond"):
        tribond.load(model_file)


OLD_FORMATS = Path(__file__).parent / "old_formats"


def test_files_of_old_formats_give_what_they_gave_when_they_were_written(structures):
    """Asked for in matgl#44, #47 and #73. These files are never written again."""
    expected = json.loads((OLD_FORMATS / "expected.json").read_text())
    assert {path.stem for path in OLD_FORMATS.glob("*.safetensors")} == set(expected)
    for name, values in expected.items():
        model = tribond.load(OLD_FORMATS / f"{name}.safetensors", device="cpu")
        prediction = model.predict(structures["methanol"], state=values.get("state"))[0]
        if "value" in values:
            assert prediction.value == pytest.approx(values["value"][0], rel=1e-5)
        else:
            assert prediction.energy == pytest.approx(values["energy"], rel=1e-6)
            np.testing.assert_allclose(prediction.forces, values["forces"], atol=1e-5)


def test_a_file_of_an_older_format_is_upgraded_step_by_step(model_file, monkeypatch):
    rewritten(model_file, format_version=FORMAT_VERSION, metadata={"steps": []})

    def step(number: int):
        def upgrade(header):
            return header | {
                "format_version": number + 1,
                "metadata": {"steps": [*header["metadata"]["steps"], number]},
            }

        return upgrade

    monkeypatch.setattr(native, "FORMAT_VERSION", FORMAT_VERSION + 2)
    monkeypatch.setattr(native, "UPGRADES", {n: step(n) for n in (FORMAT_VERSION, FORMAT_VERSION + 1)})
    assert read_header(model_file)["metadata"] == {"steps": [FORMAT_VERSION, FORMAT_VERSION + 1]}


def test_every_older_format_has_its_upgrade():
    assert sorted(native.UPGRADES) == list(range(1, FORMAT_VERSION))


def test_a_missing_tensor_is_named(model_file):
    tensors = load_file(model_file)
    del tensors["blocks.1.three_body.atom_gate.bias"]
    with pytest.raises(CheckpointError, match=r"missing.*blocks\.1\.three_body\.atom_gate\.bias"):
        tribond.load(rewritten(model_file, tensors))


def test_a_tensor_too_many_is_named(model_file):
    tensors = load_file(model_file) | {"blocks.7.secret": torch.zeros(2)}
    with pytest.raises(CheckpointError, match=r"left over.*blocks\.7\.secret"):
        tribond.load(rewritten(model_file, tensors))


def test_a_tensor_of_another_shape_is_named(model_file):
    tensors = load_file(model_file)
    tensors["atom_embedding.weight"] = torch.zeros(3, 16)
    with pytest.raises(CheckpointError, match=r"another shape.*atom_embedding\.weight"):
        tribond.load(rewritten(model_file, tensors))


def test_no_tensors_at_all_are_refused(model_file):
    with pytest.raises(CheckpointError, match=r"atom_embedding\.weight"):
        tribond.load(rewritten(model_file, {}))


def test_a_config_that_makes_no_sense_is_refused(model_file):
    config = read_header(model_file)["config"] | {"invented": 1}
    with pytest.raises(tribond.errors.TribondError, match="invented"):
        tribond.load(rewritten(model_file, config=config))


# Nothing in a file is executed


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".ckpt", ".safetensors"])
@pytest.mark.parametrize("written_by", ["pickle", "torch"])
def test_a_pickle_is_refused_and_nothing_in_it_is_executed(tmp_path, written_by, suffix):
    marker, path = tmp_path / "executed", tmp_path / f"model{suffix}"
    if written_by == "pickle":
        path.write_bytes(pickle.dumps(Trap(marker)))
    else:
        torch.save({"state_dict": Trap(marker)}, path)
    with pytest.raises(CheckpointError):
        tribond.load(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Trap(marker)))
    assert marker.exists()  # the trap works


# Writing


def test_an_interrupted_write_leaves_the_old_file_and_no_other(model_file, make_model, monkeypatch):
    before = model_file.read_bytes()

    def full_disk(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(model_file, make_model(seed=1), {})
    assert model_file.read_bytes() == before
    assert list(model_file.parent.iterdir()) == [model_file]


def test_a_finished_write_replaces_the_old_file(model_file, make_model):
    save_model(model_file, make_model(seed=1), {"name": "second"})
    assert read_header(model_file)["metadata"] == {"name": "second"}
    assert list(model_file.parent.iterdir()) == [model_file]


def test_saving_leaves_the_model_alone(tmp_path, make_model):
    model = make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_model(tmp_path / "model.safetensors", model, METADATA)
    assert model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_path_that_is_not_there_is_a_model_not_found(tmp_path):
    with pytest.raises(ModelNotFoundError, match="missing.safetensors"):
        tribond.load(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("change", ["hook", "forward", "blocks"])
def test_a_model_that_the_file_would_not_give_back_is_not_written(tmp_path, make_model, change):
    model = make_model()
    if change == "hook":
        model.readout.register_forward_hook(lambda *_: None)
    elif change == "forward":
        model.blocks[0].bond_update.forward = lambda *given: given[0]
    else:
        model.blocks = model.blocks[:1]
    with pytest.raises(CheckpointError, match="was not written: a model file holds weights and settings alone"):
        save_model(tmp_path / "model.safetensors", model, {})
    assert not list(tmp_path.iterdir())
