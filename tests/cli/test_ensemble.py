"""Ensembles on the command line: made, described, and used by the verbs in place of one model."""

import json

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.io import read, write

import tribond as package
from tribond.checkpoints.native import save_model
from tribond.nn.config import M3GNetConfig
from tribond.nn.m3gnet import M3GNet
from tribond.results.tables import read_csv


@pytest.fixture
def members(tmp_path):
    files = []
    for seed in range(3):
        torch.manual_seed(seed)
        config = M3GNetConfig(elements=("H", "O", "Al", "Cu"), node_features=8, edge_features=8, num_blocks=1)
        model = M3GNet(config, torch.float32)
        model.reference_energy.set(reference=[-1.0, -2.0, -3.0, -4.0])
        files.append(tmp_path / f"{seed}.safetensors")
        save_model(files[-1], model, {"name": f"member {seed}", "licence": "BSD-3-Clause"})
    return files


@pytest.fixture
def ensemble(tribond, members, tmp_path):
    result = tribond("ensemble", *members, "-o", tmp_path / "three.json", "--name", "three")
    assert result.exit_code == 0, result.output
    return tmp_path / "three.json"


@pytest.fixture
def inputs(tmp_path):
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.1, seed=1)
    write(tmp_path / "Cu.cif", crystal)
    write(tmp_path / "water.xyz", molecule("H2O"))
    return [tmp_path / "Cu.cif", tmp_path / "water.xyz"]


def test_info_tells_the_members(tribond, ensemble):
    result = tribond("info", ensemble)
    assert result.exit_code == 0, result.output
    for word in ("three", "3 members", "2.safetensors", "how far its members differ", "BSD-3-Clause"):
        assert word in result.stdout


def test_members_may_be_of_different_precisions_and_info_tells_what_they_add(tribond, members, tmp_path):
    for number, dtype in enumerate(("float32", "float64")):
        member = package.load(members[number], device="cpu", dtype=dtype)
        save_model(members[number], member.model, member.metadata | {"energy_terms": ["d3bj:pbe"]})
    result = tribond("ensemble", *members[:2], "-o", tmp_path / "two.json")
    assert result.exit_code == 0, result.output
    assert package.load(tmp_path / "two.json", device="cpu").dtype == torch.float64
    told = tribond("info", tmp_path / "two.json").stdout.split("first member")[0]
    assert "adds" in told
    assert "d3bj:pbe" in told
    mixed = tribond("ensemble", *members, "-o", tmp_path / "mixed.json")
    assert (mixed.exit_code, "member 2 adds nothing" in " ".join(mixed.output.split())) == (2, True)
    assert not (tmp_path / "mixed.json").exists()


def test_predict_shows_and_writes_the_spread(tribond, ensemble, inputs, tmp_path):
    expected = package.load(ensemble, device="cpu", dtype="float64").predict([read(path) for path in inputs])
    result = tribond("predict", *inputs, "-m", ensemble, "-o", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    row = result.stdout.splitlines()[1].split()
    assert [float(word) for word in row[6:8]] == pytest.approx(
        [expected[0].spread.energy_std_per_atom, expected[0].spread.max_force_spread], abs=6e-5
    )
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["model"]["members"] == 3
    for found, wanted in zip(content["structures"], expected, strict=True):
        assert found["energy_std_eV"] == pytest.approx(wanted.spread.energy_std, abs=1e-12)
        assert found["forces_std_eV_per_A"] == pytest.approx(wanted.spread.forces_std, abs=1e-12)
    assert content["structures"][1]["stress_std_eV_per_A3"] is None
    for arguments in (("pool.json", "--jobs", 1), ("pool.csv",)):  # by a process of a pool, and as a table
        result = tribond("predict", *inputs, "-m", ensemble, "-q", "-o", tmp_path / arguments[0], *arguments[1:])
        assert result.exit_code == 0, result.output
    pooled = json.loads((tmp_path / "pool.json").read_text())
    assert pooled["structures"] == content["structures"]
    table = (tmp_path / "pool.csv").read_text()
    assert "max_force_spread_eV_per_A" in table
    images = tmp_path / "out.extxyz"
    assert tribond("predict", *inputs, "-m", ensemble, "-o", images, "-q").exit_code == 0
    assert read(images, 0).arrays["forces_std"] == pytest.approx(expected[0].spread.forces_std, abs=1e-7)


def test_other_verbs_take_it_and_say_what_it_was(tribond, ensemble, inputs, tmp_path):
    result = tribond("relax", inputs[0], "-m", ensemble, "--steps", 2, "-o", tmp_path / "relaxed", "--no-cell")
    assert "unexpected" not in result.output
    run = ("md", inputs[0], "-m", ensemble, "--temperature-K", 300, "--steps", 3, "-o", tmp_path / "md")
    bound = ("--max-force-spread-eV-per-A", 1e-9, "--on-spread")
    result = tribond(*run, *bound, "save")
    assert result.exit_code == 0, result.output
    assert "4 steps beyond the bound on the spread of forces, 1 frame of them in uncertain.extxyz" in result.stdout
    assert read_csv(tmp_path / "md" / "thermo.csv")["max_force_spread_eV_per_A"].min() > 0
    summary = json.loads((tmp_path / "md" / "summary.json").read_text())
    assert (summary["model"]["name"], summary["model"]["members"]) == ("three", 3)
    assert len(summary["model"]["weights_sha256"]) == 64
    stopped = tribond(*run[:-1], tmp_path / "stopped", *bound, "stop")
    assert stopped.exit_code == 1
    assert "stopped after step 0" in stopped.output
    assert (tmp_path / "stopped" / "failed.extxyz").is_file()
    alone = tribond(*run, "--on-spread", "save")
    assert (alone.exit_code, "it needs --max-force-spread" in " ".join(alone.output.split())) == (2, True)


def test_where_one_model_is_needed_a_member_is_asked_for(tribond, ensemble):
    result = tribond("export", ensemble, "out.pt2")
    assert result.exit_code == 2
    assert "name one of its members" in " ".join(result.output.split())


def test_an_evaluation_prints_the_calibration(tribond, ensemble, members, inputs, tmp_path):
    labelled = read(inputs[0])
    labelled.calc = package.Calculator(package.load(members[0], device="cpu"))
    labelled.get_stress()
    write(tmp_path / "data.extxyz", labelled)
    result = tribond("evaluate", ensemble, tmp_path / "data.extxyz", "-o", tmp_path / "errors")
    assert result.exit_code == 0, result.output
    assert "miscalibration area" in result.stdout
    assert (tmp_path / "errors" / "calibration_data.png").is_file()
    assert np.isfinite(
        json.loads((tmp_path / "errors" / "summary.json").read_text())["reports"][0]["calibration"]["forces"][
            "miscalibration_area"
        ]
    )
