import json
import os
import signal
import sys

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import tribond as package

pytest.importorskip("lightning")

TINY = {"node_features": 8, "edge_features": 8, "num_blocks": 1, "update_hidden": [8], "readout_hidden": [8]}


@pytest.fixture
def settings(tmp_path):
    """(**changes) -> a training file beside its data."""
    images = []
    for seed in range(12):
        atoms = bulk("Cu", a=3.6 + 0.02 * seed, cubic=True)
        atoms.symbols = np.random.default_rng(seed).choice(["Cu", "Al", "Ni"], len(atoms))
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    write(tmp_path / "alloys.extxyz", images)

    def make(**changes):
        content = {
            "name": "tiny",
            "output": "out",
            "data": {"train": [{"name": "emt", "files": ["alloys.extxyz"]}], "validation_folds": 4},
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


def test_from_file_to_model(tribond, settings, tmp_path):
    result = tribond("train", settings())
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert f"everything about tiny goes to {out}" in result.output
    assert "step 2 of 4: validation loss" in result.output
    assert "step 4 of 4: validation loss" in result.output
    assert f"wrote {out / 'model.safetensors'}" in result.stdout
    assert "forces (meV/Å)" in result.stdout
    assert (out / "validation" / "parity_emt.png").is_file()
    report = json.loads((out / "validation" / "summary.json").read_text())["reports"][0]
    errors = package.load(out / "model.safetensors", device="cpu").metadata["errors"]
    assert (
        f"{report['forces_errors_meV_per_A']['mae']:.3g}" == f"{float(errors['validation forces MAE'].split()[0]):.3g}"
    )
    for advice in ("Tip", "GPU", "TPU", "Trainer", "warn", "Warn", "litlogger", "hparams"):  # Lightning's
        assert advice not in result.output


def test_the_time_of_an_ensemble_is_that_of_all_members(tribond, settings, monkeypatch):
    from tribond.training import estimate

    hour = [estimate.StageCost("1", 3600, 10, 1.0, 0.1)]
    found = estimate.Estimate(8, 4, 100, 0.0, hour, 0, 0.0, 1.0, 0, 0, None)
    monkeypatch.setattr(estimate, "estimate", lambda *_, **__: found)
    assert "the whole training: 1:00:00" in tribond("train", settings(), "--dry-run").stdout
    shown = tribond("train", settings(), "--dry-run", "--ensemble", 4).stdout
    assert "the whole training, 4 members of 1:00:00: 4:00:00" in shown
    result = tribond("train", settings(), "--find-learning-rate", "--ensemble", 4)
    assert result.exit_code == 2
    assert "--find-learning-rate is for one model" in result.output


def test_quiet(tribond, settings, tmp_path):
    result = tribond("train", settings(), "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "out" / "validation" / "summary.json").is_file()


def test_ctrl_c_says_how_to_go_on(tribond, settings, monkeypatch):
    from tribond.training.module import PotentialTraining

    original = PotentialTraining.training_step

    def training_step(self, batch):
        if self.global_step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, batch)

    file = settings(validate_every=4)
    with monkeypatch.context() as patch:
        patch.setattr(PotentialTraining, "training_step", training_step)
        result = tribond("train", file)
    assert result.exit_code == 130
    assert "stopping after this step" in result.output
    assert f"interrupted; go on with: tribond train {file}" in result.output
    result = tribond("train", file)
    assert result.exit_code == 0
    assert "going on from" in result.output


def test_ctrl_c_before_the_first_step(tribond, settings, monkeypatch):
    def read_training_frames(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tribond.training.prepare.read_training_frames", read_training_frames)
    result = tribond("train", settings())
    assert result.exit_code == 130
    assert "nothing to go on from" in result.output


def test_without_the_extra(tribond, settings, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tribond.training.") and "config" not in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    result = tribond("train", settings())
    assert result.exit_code == 1
    assert "pip install 'tribond[train]'" in result.output


def test_every_wrong_setting_is_listed(tribond, settings):
    result = tribond("train", settings(steps=0, edge_buget=3))
    assert result.exit_code == 2
    assert "  steps: " in result.output
    assert "  edge_buget: " in result.output


def test_other_settings_need_restart(tribond, settings, tmp_path):
    assert tribond("train", settings(steps=1)).exit_code == 0
    result = tribond("train", settings(steps=2))
    assert result.exit_code == 2
    assert "other settings (steps)" in result.output
    assert tribond("train", settings(steps=2), "--restart").exit_code == 0
    assert package.load(tmp_path / "out" / "model.safetensors", device="cpu").metadata["steps"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"train": [{"name": "emt", "files": ["nothing.xyz"]}]}}, "no file matches"),
        ({"model": {"elements": ["Cu"]}}, "does not know: Al, Ni"),
    ],
)
def test_bad_data(tribond, settings, changes, message):
    result = tribond("train", settings(**changes))
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_model_to_start_from_that_is_not_there(tribond, settings):
    result = tribond("train", settings(model={"start_from": "nothing"}))
    assert result.exit_code == 2
    assert "no model is called 'nothing'" in result.output


def test_without_validation(tribond, settings):
    data = {"train": [{"name": "emt", "files": ["alloys.extxyz"]}], "validation_folds": 0}
    result = tribond("train", settings(data=data))
    assert result.exit_code == 0
    assert "there is no validation data" in result.output


def test_fine_tuning_shows_before_and_after(tribond, settings, tmp_path):
    assert tribond("train", settings(output="base"), "--quiet").exit_code == 0
    result = tribond("train", settings(model={"start_from": "base/model.safetensors"}))
    assert result.exit_code == 0, result.output
    header = next(line for line in result.stdout.splitlines() if line.endswith("after"))
    assert header.split() == ["data", "MAE", "before", "after"]
    for folder in ("validation_before", "validation"):
        assert (tmp_path / "out" / folder / "parity_emt.png").is_file()


def test_fine_tuning_that_makes_things_worse_is_told(tribond, settings):
    assert tribond("train", settings(output="base", steps=6), "--quiet").exit_code == 0
    bad = {"learning_rate": 0.5, "warmup_steps": 0, "ema_decay": 0.0}
    result = tribond("train", settings(model={"start_from": "base/model.safetensors"}, steps=1, optimizer=bad))
    assert result.exit_code == 0, result.output
    assert "fine-tuning made worse: " in result.output
