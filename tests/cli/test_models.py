"""`tribond models`, `models get` and `convert`, and property models on the command line."""

import json
from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.io import read, write

import tribond as package
from tests.small_models import random_model, small_config
from tribond.checkpoints.catalogue import catalogue
from tribond.checkpoints.native import read_header, save_model

HOME = Path(__file__).parents[1] / "parity" / "home"
MATGL = HOME / "matgl_dgl_2.2.1_potential_smooth"
UNTOLD = HOME / "matgl_pyg_4.1.2_reduce_atom_classification"
MATTERSIM = HOME / "mattersim_potential" / "checkpoint.pth"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and no way out of this machine."""
    monkeypatch.setenv("TRIBOND_CACHE", str(tmp_path / "cache"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    return tmp_path / "cache"


@pytest.fixture
def property_file(tmp_path) -> Path:
    model = random_model(small_config(readout="mean", state="categorical", state_size=2), dtype=torch.float32)
    path = tmp_path / "gaps.safetensors"
    save_model(path, model, {"name": "gaps", "property": {"name": "band gap", "unit": "eV"}})
    return path


# The list


def listed(tribond) -> dict[str, tuple[bool, str]]:
    """Whether it is here, and what is said of it, by the name of the model."""
    result = tribond("models")
    assert result.exit_code == 0, result.output
    blocks: dict[str, tuple[bool, str]] = {}
    for line in result.stdout.partition("\n\n")[0].splitlines():
        if line.startswith(" "):
            name = list(blocks)[-1]
            blocks[name] = (blocks[name][0], f"{blocks[name][1]} {line.strip()}")
        else:
            name, *here = line.split()
            blocks[name] = (bool(here), "")
    return blocks


def test_the_list_has_every_model_with_where_it_comes_from(tribond):
    blocks = listed(tribond)
    assert blocks["tribond-mp-2"][0]
    assert set(blocks) == {"tribond-mp-2", *catalogue()}
    for entry in catalogue().values():
        said = blocks[entry.name][1]
        for fact in (entry.code, f"{entry.num_elements} element", entry.level_of_theory, entry.published_errors):
            assert fact in said
    assert "formation energy" in blocks["M3GNet-MP-2018.6.1-Eform"][1]
    assert "BSD-3-Clause" in blocks["M3GNet-MP-2021.2.8-EFS"][1]


def test_the_list_says_which_models_are_here(tribond, cache):
    entry = catalogue()["M3GNet-Pytorch-Li"]
    assert not listed(tribond)[entry.name][0]
    folder = cache / "models" / entry.name
    folder.mkdir(parents=True)
    (folder / entry.files[0].name).touch()
    assert listed(tribond)[entry.name][0]


# get


def test_get_names_the_address_and_the_place_when_there_is_no_network(tribond, cache):
    entry = catalogue()["MatterSim-v1.0.0-1M"]
    result = tribond("models", "get", entry.name)
    assert result.exit_code == 1
    assert entry.files[0].url in result.output
    assert str(cache / "models" / entry.name) in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("content", "said"), [(b"<!DOCTYPE html>404", "a web page"), (MATTERSIM.read_bytes(), "number of elements")]
)
def test_get_of_a_file_that_is_another_is_no_success(tribond, cache, content, said):
    """MatterSim's files have no known checksum."""
    folder = cache / "models" / "MatterSim-v1.0.0-1M"
    folder.mkdir(parents=True)
    (folder / "mattersim-v1.0.0-1M.pth").write_bytes(content)
    result = tribond("models", "get", "mattersim-v1.0.0-1m")
    assert result.exit_code == 1
    assert said in result.output
    assert f"delete {folder}" in result.output


def test_get_of_an_unknown_name_is_wrong_usage_and_downloads_nothing(tribond, cache):
    result = tribond("models", "get", "MatterSim-v1.0.0-1M", "MatterSim-v9")
    assert result.exit_code == 2
    assert "did you mean MatterSim-v1.0.0" in result.output
    assert not cache.exists()


def test_get_says_so_when_a_file_of_the_users_own_has_the_name(tribond, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MatterSim-v1.0.0-1M").write_bytes(MATTERSIM.read_bytes())
    result = tribond("models", "get", "MatterSim-v1.0.0-1M")
    assert result.exit_code == 2
    assert "is also a file or folder here" in " ".join(result.output.split())


def test_a_model_that_comes_with_tribond_needs_no_get(tribond):
    result = tribond("models", "get", "tribond-mp-2")
    assert result.exit_code == 0, result.output
    assert "tribond-mp-2 is in" in result.output


# convert


@pytest.mark.parametrize("source", [MATGL, MATTERSIM, HOME / "tensorflow_potential_element_refs"], ids=lambda p: p.name)
def test_a_converted_file_predicts_the_same(tribond, tmp_path, source):
    destination = tmp_path / "new" / "mine.safetensors"
    result = tribond("convert", source, destination, "--name", "mine")
    assert result.exit_code == 0, result.output
    before, after = (package.load(path, device="cpu") for path in (source, destination))
    silicon = bulk("Si")
    assert after.predict(silicon)[0].energy == before.predict(silicon)[0].energy
    metadata = read_header(destination)["metadata"]
    assert metadata["name"] == "mine"
    assert metadata["sha256"] == before.metadata["sha256"]
    assert metadata["units"]["energy"] == "eV"


def test_the_moving_average_can_be_converted(tribond, tmp_path):
    destination = tmp_path / "ema.safetensors"
    assert tribond("convert", MATTERSIM, destination, "--weights", "ema").exit_code == 0
    converted, average = package.load(destination, device="cpu"), package.load(MATTERSIM, device="cpu", weights="ema")
    assert converted.predict(bulk("Si"))[0].energy == average.predict(bulk("Si"))[0].energy
    assert read_header(destination)["metadata"]["weights"] == "ema"


def test_a_folder_that_does_not_tell_its_dialect_is_converted_when_told(tribond, tmp_path):
    destination = tmp_path / "class.safetensors"
    refused = tribond("convert", UNTOLD, destination)
    assert refused.exit_code == 1
    assert "--dialect" in refused.output
    assert not destination.exists()
    options = ("--dialect", "matgl_pyg", "--property", "metal", "--unit", "probability")
    assert tribond("convert", UNTOLD, destination, *options).exit_code == 0
    prediction = package.load(destination, device="cpu").predict(bulk("Si"))[0]
    assert (prediction.name, prediction.unit) == ("metal", "probability")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([MATGL, "model.safetensors", "--weights", "best"], "'best'"),
        ([MATGL, "model.pt"], "must end in .safetensors"),
        ([MATGL, "model.safetensors", "--property", "gap"], "is a potential"),
        ([MATGL, "model.safetensors", "--weights", "ema"], "one set of weights"),
        (["nothing", "model.safetensors"], "no model is called"),
    ],
)
def test_wrong_usage_writes_nothing(tribond, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = tribond("convert", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert not list(tmp_path.glob("model*"))


def test_a_property_of_nonsense_is_replaced(tribond, tmp_path):
    model = random_model(small_config(readout="mean"))
    save_model(tmp_path / "odd.safetensors", model, {"name": "odd", "property": "gap"})
    result = tribond("convert", tmp_path / "odd.safetensors", tmp_path / "new.safetensors", "--unit", "eV")
    assert result.exit_code == 0, result.output
    assert package.load(tmp_path / "new.safetensors").unit == "eV"


def test_the_input_is_never_overwritten(tribond, property_file):
    before = property_file.read_bytes()
    result = tribond("convert", property_file, property_file)
    assert result.exit_code == 2
    assert "inputs are never overwritten" in " ".join(result.output.replace("│", "").split())
    assert property_file.read_bytes() == before


# Property models


def test_predict_shows_the_property_with_its_unit(tribond, tmp_path, property_file):
    write(tmp_path / "Si.cif", bulk("Si"))
    result = tribond("predict", tmp_path / "Si.cif", "-m", property_file, "--state", "1")
    assert result.exit_code == 0, result.output
    assert "band gap (eV)" in result.stdout
    expected = package.load(property_file, dtype="float64").predict(read(tmp_path / "Si.cif"), state=1)[0].value
    assert float(result.stdout.splitlines()[1].split()[-1]) == pytest.approx(expected, abs=6e-5)


def test_predict_writes_the_property(tribond, tmp_path, property_file):
    write(tmp_path / "two.extxyz", [bulk("Si"), bulk("Cu")])
    for name in ("out.json", "out.extxyz"):
        options = ("-m", property_file, "--state", "0", "-o", tmp_path / name, "-q")
        result = tribond("predict", tmp_path / "two.extxyz", *options)
        assert result.exit_code == 0, result.output
    records = json.loads((tmp_path / "out.json").read_text())["structures"]
    assert [(record["property"], record["unit"]) for record in records] == [("band gap", "eV")] * 2
    images = read(tmp_path / "out.extxyz", ":")
    assert [image.info["predicted_band_gap"] for image in images] == pytest.approx(
        [record["value"] for record in records]
    )


def test_a_missing_state_is_wrong_usage(tribond, tmp_path, property_file):
    write(tmp_path / "Si.cif", bulk("Si"))
    result = tribond("predict", tmp_path / "Si.cif", "-m", property_file)
    assert result.exit_code == 2
    assert "--state" in result.output
    assert "needs one" in result.output


def test_a_state_that_the_model_does_not_take_is_wrong_usage(tribond, tmp_path):
    write(tmp_path / "Si.cif", bulk("Si"))
    result = tribond("predict", tmp_path / "Si.cif", "--state", "0")
    assert result.exit_code == 2
    assert "takes none" in result.output


def test_a_state_of_nonsense_is_wrong_usage(tribond, tmp_path, property_file):
    result = tribond("predict", tmp_path / "Si.cif", "-m", property_file, "--state", "up")
    assert result.exit_code == 2


@pytest.mark.parametrize("verb", ["relax", "md"])
def test_verbs_that_need_forces_say_so(tribond, tmp_path, property_file, verb):
    write(tmp_path / "Si.extxyz", bulk("Si"))
    more = ["--temperature-K", 300, "--steps", 1] if verb == "md" else []
    result = tribond(verb, tmp_path / "Si.extxyz", "-m", property_file, *more)
    assert result.exit_code == 2
    assert "one property (band gap)" in result.output


def test_info_of_a_property_model_has_its_property_and_its_state(tribond, property_file):
    result = tribond("info", property_file)
    assert result.exit_code == 0, result.output
    rows = {line[:17].strip(): line[17:].strip() for line in result.stdout.splitlines()}
    assert rows["predicts"] == "band gap in eV"
    assert rows["state input"] == "one of 2 categories"
    assert "reference energies" not in result.stdout


def test_info_of_a_published_model_needs_no_download(tribond, cache):
    result = tribond("info", "mattersim-v1.0.0-5m")
    assert result.exit_code == 0, result.output
    for fact in ("MatterSim-v1.0.0-5M", "MIT", "94: H to Pu", "tribond models get MatterSim-v1.0.0-5M"):
        assert fact in result.output
    assert not cache.exists()


def test_info_is_not_misled_by_a_folder_or_a_home_that_is_none(tribond, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "M3GNet-Pytorch-Li").mkdir()
    result = tribond("info", "M3GNet-Pytorch-Li")
    assert result.exit_code == 0, result.output
    assert "not here: tribond models get M3GNet-Pytorch-Li" in result.output
    result = tribond("info", "~nobody-of-this-name/model")
    assert result.exit_code == 2
    assert "no model is called" in result.output


def test_info_of_a_foreign_file_has_its_checksums(tribond):
    result = tribond("info", MATGL)
    assert result.exit_code == 0, result.output
    assert "state.pt: " in result.stdout
    assert "reference energies" in result.stdout


def test_the_repulsion_of_nuclei_can_be_added(tribond, tmp_path, model_file):
    done = tribond("convert", model_file, tmp_path / "walled.safetensors", "--repulsion")
    assert done.exit_code == 0, done.output
    plain, walled = (package.load(path, dtype="float64") for path in (model_file, tmp_path / "walled.safetensors"))
    for distance, added in ((1.4, False), (0.6, True)):
        atoms = Atoms("Cu2", [(0, 0, 0), (0, 0, distance)])
        energies = [it.predict(atoms)[0].energy for it in (plain, walled)]
        assert (energies[1] > energies[0] + 10) if added else (energies[1] == energies[0])
