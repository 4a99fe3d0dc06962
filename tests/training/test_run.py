"""What a training does with its data and leaves in its folder."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from safetensors.torch import load_file

import tribond
from tribond.errors import ConfigError, DataError, TribondError
from tribond.evaluation.evaluate import evaluate_frames
from tribond.training import run
from tribond.training.callbacks import KeepBest
from tribond.training.module import PotentialTraining
from tribond.training.sources import read_training_frames
from tribond.training.start import make_start

FAST = {"learning_rate": 0.05, "warmup_steps": 2, "ema_decay": 0.9}


@pytest.fixture
def data(save, alloys):
    return save("alloys.xyz", alloys(12))


def train(config, folder, **settings):
    return run.train(config, folder, progress=False, **settings)


def rows(output):
    with (output / "logs" / "csv" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def column(output, name):
    """step -> value, where there is one."""
    return {int(row["step"]) + 1: float(row[name]) for row in rows(output) if row.get(name)}


def test_one_step_changes_every_weight(data, make_training, tmp_path):
    config = make_training(steps=1, optimizer={"ema_decay": 0.0, "warmup_steps": 0})
    train(config, tmp_path)
    after = load_file(tmp_path / "out" / "model.safetensors")
    start = make_start(config, read_training_frames(config.data, tmp_path), tmp_path)
    before = start.model.state_dict()
    weights = {name for name, _ in start.model.named_parameters()}
    assert weights <= after.keys()
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (name not in weights), name


def test_it_learns(data, make_training, tmp_path):
    result = train(make_training(steps=50, validate_every=50, optimizer=FAST), tmp_path)
    (forces,) = column(result.output, "val/forces_meV_per_A").values()
    naught = np.mean([np.abs(frame.forces).mean() for frame in result.validation])
    assert forces < 500 * naught  # meV against eV: half of what a model without forces has


def test_the_model_file_holds_the_averages_that_were_validated(data, make_training, tmp_path):
    result = train(make_training(steps=9), tmp_path)
    report = evaluate_frames(tribond.load(result.model_file, device="cpu"), result.validation)
    found = column(result.output, "val/forces_meV_per_A")
    losses = column(result.output, "val/loss")
    best = min(losses, key=losses.get)
    assert report.forces.mae == pytest.approx(found[best], rel=1e-5)
    assert report.energy.mae == pytest.approx(column(result.output, "val/energy_meV_per_atom")[best], rel=1e-4)
    assert report.stress.mae == pytest.approx(column(result.output, "val/stress_GPa")[best], rel=1e-5)
    last = torch.load(result.output / "checkpoints" / "last.ckpt", weights_only=True)
    average = last["state_dict"]["model.atom_embedding.weight"]
    assert best == 9
    assert torch.equal(load_file(result.model_file)["atom_embedding.weight"], average)


def test_the_best_validation_is_kept(data, make_training, tmp_path, monkeypatch):
    kept = []
    original = KeepBest.on_validation_end

    def on_validation_end(self, trainer, module):  # the second of three validations is the best
        trainer.callback_metrics["val/loss"] = torch.tensor({2: 3.0, 4: 1.0, 6: 2.0}[trainer.global_step])
        original(self, trainer, module)
        kept.append(self.best)

    monkeypatch.setattr(KeepBest, "on_validation_end", on_validation_end)
    monkeypatch.setattr("lightning.pytorch.Trainer.callback_metrics", {}, raising=False)
    result = train(make_training(validate_every=2), tmp_path)
    assert kept == [3.0, 1.0, 1.0]
    assert tribond.load(result.model_file, device="cpu").metadata["steps"] == 4


def test_patience_stops_early_for_good(data, make_training, tmp_path, monkeypatch):
    config = make_training(steps=20, validate_every=1, patience=2)
    monkeypatch.setattr("lightning.pytorch.Trainer.callback_metrics", {"val/loss": torch.tensor(1.0)}, raising=False)
    for _ in range(2):  # the second time it finds that it has stopped
        train(config, tmp_path)
        last = torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=True)
        assert last["global_step"] == 3  # the first is the best, then two without improvement


def test_the_folder(data, make_training, tmp_path):
    metadata = {"licence": "MIT", "level_of_theory": "EMT"}
    result = train(make_training(metadata=metadata), tmp_path)
    files = {str(path.relative_to(result.output)) for path in result.output.rglob("*") if path.is_file()}
    events = {name for name in files if "tfevents" in name}
    assert len(events) == 1
    assert files - events - {"logs/tensorboard/hparams.yaml"} == {
        "config.json",
        "environment.json",
        "learning_curves.png",
        ".lock",
        "model.safetensors",
        "checkpoints/last.ckpt",
        "logs/csv/metrics.csv",
    }
    assert json.loads((result.output / "config.json").read_text())["steps"] == 6
    found = tribond.load(result.model_file, device="cpu").metadata
    assert metadata.items() <= found.items()
    assert found["name"] == "tiny"
    assert set(found["errors"]) == {"validation energy MAE", "validation forces MAE", "validation stress MAE"}
    assert set(found["reference_energies"]["emt"]) == {"Al", "Cu", "Ni"}


def test_every_term_and_the_rate_are_logged(data, make_training, tmp_path):
    train(make_training(steps=8, optimizer={"learning_rate": 1e-3, "warmup_steps": 3}), tmp_path)
    rates = column(tmp_path / "out", "learning_rate")
    low = 0.01
    expected = [step / 4 for step in (1, 2, 3)]
    expected += [low + (1 - low) * (1 + math.cos(math.pi * done / 5)) / 2 for done in range(5)]
    assert list(rates.values()) == pytest.approx([1e-3 * rate for rate in expected])
    for name in ("loss", "energy_meV_per_atom", "forces_meV_per_A", "stress_GPa"):
        assert list(column(tmp_path / "out", f"train/{name}")) == list(range(1, 9))
        assert list(column(tmp_path / "out", f"val/{name}")) == [3, 6, 8]
    for stage in ("train", "val"):
        losses = column(tmp_path / "out", f"{stage}/loss")
        parts = [column(tmp_path / "out", f"{stage}/loss_{term}") for term in ("energy", "forces", "stress")]
        assert all(value > 0 for part in parts for value in part.values())
        for step, loss in losses.items():
            assert sum(part[step] for part in parts) == pytest.approx(loss, rel=1e-5)


def test_a_training_shorter_than_the_validation_interval_is_validated(data, make_training, tmp_path):
    train(make_training(steps=2, validate_every=1000), tmp_path)
    assert list(column(tmp_path / "out", "val/loss")) == [2]


def test_without_validation(data, make_training, tmp_path):
    result = train(make_training(validation_folds=0, patience=1), tmp_path)
    assert len(result.validation) == 0
    last = torch.load(result.output / "checkpoints" / "last.ckpt", weights_only=True)
    kept = load_file(result.model_file)
    assert torch.equal(kept["atom_embedding.weight"], last["state_dict"]["model.atom_embedding.weight"])
    assert tribond.load(result.model_file, device="cpu").metadata["steps"] == 6


def test_one_structure(save, alloys, make_training, tmp_path):
    save("alloys.xyz", alloys(1))
    assert train(make_training(validation_folds=0), tmp_path).model_file.is_file()


def test_structures_larger_than_the_budget(data, make_training, tmp_path):
    assert train(make_training(edge_budget=1, steps=3), tmp_path).model_file.is_file()


def test_an_isolated_atom_a_molecule_and_missing_labels(save, alloys, dimer, make_training, tmp_path):
    structures = [dimer, *alloys(2), *alloys(2, seed=1, labels=("energy",)), *alloys(2, seed=2, labels=("forces",))]
    structures += [*alloys(2, seed=3, labels=("stress",))]
    atom = Atoms("Ni")
    atom.calc = dimer.calc.__class__(atom, energy=-1.0)
    save("alloys.xyz", [*structures, atom])
    result = train(make_training(validation_folds=0, edge_budget=10**6), tmp_path)
    assert all(torch.isfinite(value).all() for value in load_file(result.model_file).values())


def test_sources_with_different_zeros_agree(save, alloys, make_training, tmp_path):
    """The same alloys once more, two electronvolts an atom higher, are no contradiction."""
    save("low.xyz", alloys(10))
    save("high.xyz", alloys(10, zero=2.0))
    sources = [{"name": "low", "files": ["low.xyz"]}, {"name": "high", "files": ["high.xyz"]}]
    result = train(make_training(train=sources, steps=2), tmp_path)
    energies = {source: [f.energy for f in result.validation if f.source == source] for source in (0, 1)}
    assert len(energies[0]) > 0
    assert energies[1] == pytest.approx(energies[0], abs=1e-6)
    references = tribond.load(result.model_file, device="cpu").metadata["reference_energies"]
    for element, low in references["low"].items():
        assert references["high"][element] == pytest.approx(low + 2.0, abs=1e-4)


def test_a_shared_zero_is_kept(save, alloys, make_training, tmp_path):
    save("low.xyz", alloys(10))
    save("high.xyz", alloys(10, zero=2.0))
    sources = [
        {"name": "low", "files": ["low.xyz"]},
        {"name": "high", "files": ["high.xyz"], "reference_energies": "low"},
    ]
    result = train(make_training(train=sources, steps=1), tmp_path)
    energies = {source: [f.energy / 4 for f in result.validation if f.source == source] for source in (0, 1)}
    assert np.subtract(energies[1], energies[0]) == pytest.approx(2.0)


def test_a_source_without_energies_has_no_zero(save, alloys, make_training, tmp_path):
    save("alloys.xyz", alloys(8))
    save("forces.xyz", alloys(8, seed=1))
    sources = [
        {"name": "emt", "files": ["alloys.xyz"]},
        {"name": "forces", "files": ["forces.xyz"], "labels": ["forces"]},
    ]
    result = train(make_training(train=sources, steps=2), tmp_path)
    assert set(tribond.load(result.model_file, device="cpu").metadata["reference_energies"]) == {"emt"}


def test_a_label_of_weight_zero_is_left_alone(data, make_training, tmp_path, caplog):
    train(make_training(loss={"stress": 0.0}, steps=2), tmp_path)
    assert "structures have stress, but its weight in the loss is zero" in caplog.text


def test_a_weight_without_labels_is_told(save, alloys, make_training, tmp_path, caplog):
    save("alloys.xyz", alloys(6, labels=("energy", "forces")))
    train(make_training(steps=2), tmp_path)
    assert "no structure to train on has stress" in caplog.text


@pytest.mark.parametrize(("setting", "value"), [("labels", ["energy", "stress"]), ("weights", {"stress": 2.0})])
def test_a_source_without_a_label_that_it_names_is_told(save, alloys, make_training, tmp_path, caplog, setting, value):
    save("alloys.xyz", alloys(6))
    save("other.xyz", alloys(6, seed=1, labels=("energy", "forces")))
    other = {"name": "other", "files": ["other.xyz"], setting: value}
    train(make_training(train=[{"name": "emt", "files": ["alloys.xyz"]}, other], steps=1), tmp_path)
    assert f"source other: {setting} names stress, but none of its structures has it" in caplog.text
    assert "source emt" not in caplog.text


def test_nothing_to_learn(save, alloys, make_training, tmp_path):
    save("alloys.xyz", alloys(6, labels=("energy",)))
    with pytest.raises(DataError, match="no structure to train on has forces"):
        train(make_training(loss={"energy": 0.0, "stress": 0.0}), tmp_path)


def test_unknown_elements_are_named(data, make_training, tmp_path):
    with pytest.raises(DataError, match=r"does not know: Ni \(first alloys.xyz#"):
        train(make_training(model={"elements": ["Cu", "Al"]}), tmp_path)


def test_unknown_elements_may_be_skipped(data, make_training, tmp_path, caplog):
    config = make_training(
        train=[{"name": "emt", "files": ["alloys.xyz"], "unknown_elements": "skip"}],
        model=make_training().model.model_dump() | {"elements": ["Cu", "Al"]},
        validation_folds=0,
        steps=1,
    )
    train(config, tmp_path)
    assert "structures left out: the model does not know all of their elements" in caplog.text


def test_a_diverged_training_says_so(data, make_training, tmp_path, monkeypatch):
    original = PotentialTraining._loss

    def diverge(self, batch):
        loss, sums = original(self, batch)
        return loss, sums if self.global_step < 3 else replace(sums, losses=sums.losses * torch.nan)

    monkeypatch.setattr(PotentialTraining, "_loss", diverge)
    with pytest.raises(TribondError, match="the loss of step 4 is nan"):
        train(make_training(validation_folds=0), tmp_path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"settings": {"node_featurs": 8}}, "unknown M3GNet settings"),
        ({"settings": {"node_features": "eight"}}, "must be an integer"),
        ({"settings": {"readout": "mean"}}, "only potentials without a state"),
        ({"preset": "papper"}, "unknown preset"),
    ],
)
def test_models_that_make_no_sense(data, make_training, tmp_path, model, message):
    with pytest.raises(ConfigError, match=message):
        train(make_training(model=model), tmp_path)


def test_an_accelerator_that_is_not_there(data, make_training, tmp_path):
    with pytest.raises(ConfigError, match="accelerator 'abacus'"):
        train(make_training(accelerator="abacus"), tmp_path)


def test_a_mistake_does_not_cost_the_old_training(data, make_training, tmp_path):
    train(make_training(steps=1), tmp_path)
    with pytest.raises(ConfigError):
        train(make_training(model={"preset": "papper"}), tmp_path, restart=True)
    assert (tmp_path / "out" / "checkpoints" / "last.ckpt").is_file()
