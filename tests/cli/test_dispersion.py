"""Dispersion on the command line, and in model files."""

import json

import pytest
from ase.build import bulk
from ase.io import write

import tribond as package
from tests.small_models import random_model, small_config
from tribond.checkpoints.native import load_model, save_model
from tribond.errors import CheckpointError, ConfigError
from tribond.integrations.lammps.check import compare
from tribond.models.dispersion import with_dispersion
from tribond.terms import d3


def test_dispersion_is_stored_in_the_file_and_taken_off_again(tribond, tmp_path, model_file):
    pytest.importorskip("dftd3")
    with_it, without = tmp_path / "d3.safetensors", tmp_path / "plain.safetensors"
    assert tribond("convert", model_file, with_it, "--dispersion", "d3bj:PBE").exit_code == 0
    atoms = bulk("Cu")
    plain, dispersed = package.load(model_file, device="cpu"), package.load(with_it, device="cpu")
    assert dispersed.predict(atoms)[0].energy < plain.predict(atoms)[0].energy - 0.1
    assert "d3bj:pbe" in tribond("info", with_it).output
    refused = tribond("convert", with_it, without, "--dispersion", "d3bj:pbe")
    assert refused.exit_code == 2
    assert "has d3bj:pbe already" in refused.output
    assert tribond("convert", with_it, without, "--dispersion", "none").exit_code == 0
    assert without.read_bytes() == model_file.read_bytes()


def test_energies_of_atoms_that_are_not_there_are_null(tribond, tmp_path, model_file, monkeypatch):
    pytest.importorskip("dftd3")
    monkeypatch.setattr(d3, "MOST_SHARED", 1)
    dispersed = with_dispersion(package.load(model_file, device="cpu"))
    save_model(tmp_path / "d3.safetensors", dispersed.model, dispersed.metadata)
    write(tmp_path / "Cu.cif", bulk("Cu", cubic=True))
    out = tmp_path / "out.json"
    result = tribond("predict", tmp_path / "Cu.cif", "-m", tmp_path / "d3.safetensors", "-q", "-o", out)
    assert result.exit_code == 0, result.output
    (found,) = json.loads(out.read_text())["structures"]
    assert found["energy_eV"] == pytest.approx(dispersed.predict(bulk("Cu", cubic=True))[0].energy, abs=1e-3)
    assert found["atomic_energies_eV"] == [None] * 4


@pytest.mark.parametrize("wanted", ["pbe", "d4:pbe", "d3bj:"])
def test_other_terms_are_wrong_usage(tribond, tmp_path, model_file, wanted):
    result = tribond("convert", model_file, tmp_path / "out.safetensors", "--dispersion", wanted)
    assert result.exit_code == 2
    assert "d3bj:FUNCTIONAL" in result.output
    assert not (tmp_path / "out.safetensors").exists()


def test_an_unknown_functional_is_wrong_usage(tribond, tmp_path, model_file):
    pytest.importorskip("dftd3")
    result = tribond("convert", model_file, tmp_path / "out.safetensors", "--dispersion", "d3bj:nonsense")
    assert result.exit_code == 2
    assert "no parameters for the functional 'nonsense'" in result.output


def test_who_computes_the_network_alone_refuses(tmp_path, model_file):
    plain = package.load(model_file, device="cpu")
    dispersed = package.Potential(plain.model, plain.metadata | {"energy_terms": ["d3bj:pbe"]})
    with pytest.raises(ConfigError, match="adds d3bj:pbe"):
        package.export_potential(dispersed, tmp_path / "out.pt2")
    with pytest.raises(ConfigError, match="adds d3bj:pbe"):
        next(compare(dispersed, tmp_path / "plugin.so", (1,)))


def test_a_file_with_a_term_is_of_version_3_and_others_stay_at_2(tmp_path, model_file):
    model, metadata = load_model(model_file)
    save_model(tmp_path / "d3.safetensors", model, metadata | {"energy_terms": ["d3bj:pbe"]})
    versions = []
    for path in (model_file, tmp_path / "d3.safetensors"):
        content = path.read_bytes()
        versions.append(b'\\"format_version\\": 3' in content[: 8 + int.from_bytes(content[:8], "little")])
    assert versions == [False, True]
    with pytest.raises(CheckpointError, match="a model of a property"):
        save_model(
            tmp_path / "no.safetensors", random_model(small_config(readout="mean")), {"energy_terms": ["d3bj:pbe"]}
        )
    with pytest.raises(CheckpointError, match="no term that can be added"):
        save_model(tmp_path / "no.safetensors", model, metadata | {"energy_terms": ["magic"]})
