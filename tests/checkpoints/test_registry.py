"""Names of models: what `tribond.load` finds, and what it says when it finds nothing."""

import pytest
import torch

import tribond
from tribond.checkpoints import registry
from tribond.checkpoints.native import save_model
from tribond.checkpoints.registry import built_in_names, find
from tribond.errors import ConfigError, ModelNotFoundError


@pytest.fixture
def shelf(tmp_path, monkeypatch, make_model):
    """Two small models as if they came with the package."""
    folder = tmp_path / "built_in"
    folder.mkdir()
    save_model(folder / f"{registry.DEFAULT}.safetensors", make_model(dtype=torch.float32), {"name": registry.DEFAULT})
    save_model(folder / "other-1.safetensors", make_model("mattersim"), {"name": "other-1"})
    monkeypatch.setattr(registry, "BUILT_IN_FOLDER", folder)
    return folder


def test_models_go_by_their_name(shelf):
    assert built_in_names() == ["other-1", registry.DEFAULT]
    assert tribond.load("other-1").metadata["name"] == "other-1"


def test_without_a_name_the_default_comes(shelf):
    for potential in (tribond.load(), tribond.load("default"), tribond.load(registry.DEFAULT)):
        assert potential.metadata["name"] == registry.DEFAULT
        assert potential.dtype == torch.float32


def test_models_go_by_their_path_too(shelf, make_model, tmp_path, monkeypatch):
    save_model(tmp_path / "mine.safetensors", make_model(), {"name": "mine"})
    monkeypatch.chdir(tmp_path)
    assert tribond.load("mine.safetensors").metadata["name"] == "mine"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("~/mine.safetensors") == tmp_path / "mine.safetensors"


@pytest.mark.parametrize("name", ["m3gnet-2050", "missing.safetensors", "folder/", "", "../built_in/other"])
def test_what_is_not_found_is_named_with_what_there_is(shelf, name):
    with pytest.raises(ModelNotFoundError, match=f"default, other-1, {registry.DEFAULT}") as error:
        tribond.load(name)
    assert repr(name) in str(error.value)


def test_a_precision_or_device_that_cannot_be_had_is_refused(shelf):
    with pytest.raises(ConfigError, match="'float32' or 'float64'"):
        tribond.load(dtype="float16")
    with pytest.raises(ConfigError, match="'cuda:99'"):
        tribond.load(device="cuda:99")


def test_the_default_potential_comes_with_the_package(structures):
    """Asked for in matgl#762 and m3gnet#20: the first prediction needs no download."""
    assert registry.DEFAULT in built_in_names()
    potential = tribond.load(device="cpu")
    assert potential.dtype == torch.float32
    assert potential.metadata["name"] == registry.DEFAULT
    assert potential.metadata["licence"]
    predictions = potential.predict(structures.values())
    assert all(abs(prediction.energy) < 1e3 for prediction in predictions)
