"""`tribond train`, `predict` and `evaluate` with a model of properties."""

import csv
import json

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import read, write

pytest.importorskip("lightning")

TINY = {"node_features": 8, "edge_features": 8, "num_blocks": 1, "update_hidden": [8], "readout_hidden": [8]}


@pytest.fixture
def training(tmp_path):
    """(property, **changes) -> a training file beside its data."""
    images = []
    for seed in range(16):
        random = np.random.default_rng(seed)
        atoms = bulk("Cu", a=3.5 + 0.5 * random.random(), cubic=True)
        atoms.symbols = random.choice(["Cu", "Al", "Ni"], len(atoms))
        volume = atoms.get_volume() / len(atoms)
        atoms.info = {"modulus": 2000 / volume, "softness": volume, "kind": "ABC"[seed % 3], "code": "xy"[seed % 2]}
        images.append(atoms)
    write(tmp_path / "alloys.extxyz", images)

    def make(wanted, **changes):
        content = {
            "name": "tiny",
            "output": "out",
            "property": wanted,
            "data": {"files": ["alloys.extxyz"], "validation_folds": 4},
            "model": {"elements": "data", "settings": TINY},
            "steps": 4,
            "edge_budget": 1500,
            "validate_every": 2,
            "accelerator": "cpu",
        }
        file = tmp_path / "train.yaml"
        file.write_text(yaml.safe_dump(content | changes))
        return file

    return make


@pytest.mark.slow
def test_folds_predictions_and_errors(tribond, training, tmp_path):
    targets = [{"name": "modulus", "unit": "GPa", "log": True}, {"name": "softness", "unit": "Å³"}]
    file = training({"targets": targets}, cross_validation=3)
    result = tribond("train", file)
    assert result.exit_code == 0, result.output
    assert "test, all 3 folds together" in result.stdout
    summary = json.loads((tmp_path / "out" / "test" / "summary.json").read_text())
    assert summary["structures"] == 16  # each is tested once
    assert [it["target"]["name"] for it in summary["targets"]] == ["modulus", "softness"]
    assert (tmp_path / "out" / "fold-2" / "test" / "parity.png").stat().st_size > 1000
    again = tribond("train", file)
    assert "step 2 of 4" not in again.output  # complete folds are not trained again
    with (tmp_path / "out" / "test" / "predictions.csv").open() as stream:
        tested = {row["row"]: float(row["predicted modulus (GPa)"]) for row in csv.DictReader(stream)}

    model = tmp_path / "out" / "fold-0" / "model.safetensors"
    for name in ("p.csv", "p.json", "p.extxyz"):
        result = tribond("predict", tmp_path / "alloys.extxyz", "-m", model, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
    assert "modulus (GPa)" in result.stdout
    with (tmp_path / "p.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    values = json.loads((tmp_path / "p.json").read_text())["structures"]
    assert [float(row["modulus (GPa)"]) for row in rows] == [it["value"][0] for it in values]
    same = [float(row["modulus (GPa)"]) for index, row in enumerate(rows) if f"alloys.extxyz#{index}" in tested]
    assert min(abs(value - other) for value in same for other in tested.values()) < 1e-3

    result = tribond("evaluate", model, tmp_path / "alloys.extxyz", "-o", tmp_path / "errors")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "errors" / "summary.json").read_text())
    labels = np.array([2000 / (atoms["value"][1]) for atoms in values])
    assert labels.shape == (16,)
    assert summary["targets"][0]["count"] == 16
    ignored = ("--seed", "0", "--stress-unit", "GPa", "--max-force", "3", "--energy-key", "e")
    result = tribond("evaluate", model, tmp_path / "alloys.extxyz", "-o", tmp_path / "errors", *ignored)
    assert result.exit_code == 2
    assert "--seed, --stress-unit, --energy-key, --max-force" in " ".join(result.output.split())


def test_an_element_of_one_fold_alone_is_tested_too(tribond, training, tmp_path):
    file = training({"targets": [{"name": "softness"}]}, cross_validation=3)
    images = read(tmp_path / "alloys.extxyz", ":")
    images[0].symbols[0] = "Pd"
    write(tmp_path / "alloys.extxyz", images)
    result = tribond("train", file)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "test" / "summary.json").read_text())["structures"] == 16


def test_classes_with_a_state(tribond, training, tmp_path):
    wanted = {
        "kind": "classes",
        "targets": [{"name": "kind"}],
        "classes": ["A", "B", "C"],
        "state": {"keys": ["code"], "categories": ["x", "y"]},
    }
    result = tribond("train", training(wanted))
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.stdout
    model = tmp_path / "out" / "model.safetensors"
    own = tribond("predict", tmp_path / "alloys.extxyz", "-m", model, "-o", tmp_path / "own.json")
    assert own.exit_code == 0, own.output
    given = tribond("predict", tmp_path / "alloys.extxyz", "-m", model, "--state", "y", "-o", tmp_path / "y.json")
    assert given.exit_code == 0, given.output
    own, given = (json.loads((tmp_path / f"{name}.json").read_text())["structures"] for name in ("own", "y"))
    for index, (one, other) in enumerate(zip(own, given, strict=True)):
        assert one["class"] in "ABC"
        assert sum(one["value"]) == pytest.approx(1.0)
        assert (one["value"] == other["value"]) == (index % 2 == 1)
    result = tribond("predict", tmp_path / "alloys.extxyz", "-m", model, "--state", "z")
    assert result.exit_code == 2
    assert "one of x, y" in result.output
    result = tribond("evaluate", model, tmp_path / "alloys.extxyz", "-o", tmp_path / "errors")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "errors" / "roc.png").is_file()
    assert "A, B, C" in tribond("info", model).stdout
