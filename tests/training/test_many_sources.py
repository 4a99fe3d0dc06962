"""Weights, shares and errors of sources, stages, the mean of validations, and the cache: in whole small trainings."""

import csv
import os
import re
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tribond
from tests.training.test_resume import assert_same, at_step, outcome
from tribond.data import read_table
from tribond.data.dataset import FrameDataset, LabeledGraph
from tribond.errors import DataError
from tribond.evaluation.evaluate import evaluate_frames
from tribond.interrupt import Interrupted
from tribond.models.potential import evaluate
from tribond.training import data_module, run, start
from tribond.training.average import KeepValidations
from tribond.training.callbacks import KeepBest
from tribond.training.loss import Loss
from tribond.training.module import PotentialTraining
from tribond.training.sources import read_training_frames

LABELS = ("energy", "forces", "stress")


@pytest.fixture
def sources(save, alloys):
    save("big.xyz", alloys(14))
    save("small.xyz", alloys(8, seed=1, zero=1.0))
    return [{"name": "big", "files": ["big.xyz"]}, {"name": "small", "files": ["small.xyz"]}]


HELD_OUT = {"validation": [{"name": "big", "files": ["big.xyz"]}, {"name": "small", "files": ["small.xyz"]}]}


def train(config, folder, **settings):
    return run.train(config, folder, progress=False, **settings)


def column(output, name):
    with (output / "logs" / "csv" / "metrics.csv").open() as file:
        return {int(row["step"]) + 1: float(row[name]) for row in csv.DictReader(file) if row.get(name)}


@pytest.fixture
def model_and_batch(make_model, alloys, tmp_path, save):
    model = make_model(elements=("Cu", "Al", "Ni"), dtype=torch.float32)
    frames = read_table.read_table(str(save("x.xyz", alloys(3))))
    dataset = FrameDataset(frames, model.config, np.zeros((1, 3)))
    return model, LabeledGraph.batch([dataset[index] for index in range(3)]), dataset


def gradient(model, loss, batch, weights=None):
    model.zero_grad()
    terms = loss(evaluate(model, batch.graph, create_graph=True), batch, weights)
    terms.total.backward()
    return terms, torch.cat([weight.grad.reshape(-1) for weight in model.parameters()])


@pytest.mark.parametrize("term", LABELS)
def test_a_weight_scales_what_a_structure_teaches(model_and_batch, term):
    """Gradients are linear in the weights: those of a mixture are the mixture of those of single structures."""
    model, batch, dataset = model_and_batch
    loss = Loss(**{name: float(name == term) for name in LABELS})
    alone = [gradient(model, loss, dataset[index])[1] for index in range(3)]
    factors = torch.tensor([2.0, 0.5, 0.25])
    weights = torch.ones(3, 3)
    weights[:, LABELS.index(term)] = factors
    terms, mixed = gradient(model, loss, batch, weights)
    expected = sum(factor * one for factor, one in zip(factors, alone, strict=True)) / 3  # all have as many numbers
    assert torch.allclose(mixed, expected, rtol=1e-3, atol=1e-6 * float(expected.abs().max()) + 1e-9)
    assert float(mixed.abs().max()) > 0
    plain, _ = gradient(model, loss, batch)
    assert torch.equal(terms.error_sums, plain.error_sums)  # errors have no weights
    assert torch.equal(terms.error_counts, plain.error_counts)


def test_weights_of_one_are_no_weights_and_zero_is_no_label(model_and_batch):
    model, batch, dataset = model_and_batch
    plain, expected = gradient(model, Loss(), batch)
    ones, found = gradient(model, Loss(), batch, torch.ones(3, 3))
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert float(ones.total.detach()) == pytest.approx(float(plain.total.detach()), rel=1e-5)
    _, expected = gradient(model, Loss(), LabeledGraph.batch([dataset[0], dataset[2]]))
    _, found = gradient(model, Loss(), batch, torch.tensor([[1.0] * 3, [0.0] * 3, [1.0] * 3]))
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-6)
    nothing, found = gradient(model, Loss(), batch, torch.zeros(3, 3))
    assert float(nothing.total.detach()) == 0
    assert not found.any()
    assert all(weight.grad is not None for weight in model.parameters())


def test_the_training_step_uses_the_weights_of_its_stage(sources, make_training, tmp_path, monkeypatch):
    seen = []
    original = Loss.sums

    def call(self, result, target, weights=None):
        if torch.is_grad_enabled():
            seen.append((self.energy, None if weights is None else set(map(tuple, weights.tolist()))))
        return original(self, result, target, weights)

    monkeypatch.setattr(Loss, "sums", call)
    sources[1] |= {"weights": {"energy": 3.0}}
    stages = [
        {"steps": 1, "sources": {"small": {"share": 1.0}, "big": {"share": 0.0}}},
        {"steps": 1, "loss": {"energy": 5.0}, "sources": {"small": {"share": 0.0}, "big": {"share": 1.0}}},
    ]
    train(make_training(train=sources, stages=stages, steps=2, validation_folds=0), tmp_path)
    assert seen == [(1.0, {(3.0, 1.0, 1.0)}), (5.0, {(1.0, 1.0, 1.0)})]


STAGES = [
    {"steps": 5, "sources": {"small": {"share": 0.5}}},
    {"name": "fine", "steps": 4, "learning_rate": 1e-3, "warmup_steps": 0, "loss": {"energy": 2.0}, "edge_budget": 900},
]


def staged(make_training, sources, **changes):
    return make_training(
        train=sources, stages=STAGES, steps=9, average_validations=2, best_by=["big"], validation_folds=3, **changes
    )


def everything(output):
    files = {file.name: load_file(file) for file in (output / "checkpoints").glob("*.safetensors")}
    return files, torch.load(output / "checkpoints" / "last.ckpt", weights_only=True)["TrainingData"]


# Inside the first stage, at its end, at the beginning and inside of the second, and after a validation.
@pytest.mark.parametrize("stop", [2, 5, 6, 7, 9])
def test_stages_go_on_bit_for_bit(sources, make_training, tmp_path, monkeypatch, caplog, stop):
    whole = train(staged(make_training, sources, output="whole"), tmp_path).output
    with monkeypatch.context() as patch:
        at_step(patch, stop, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            train(staged(make_training, sources), tmp_path)
    caplog.clear()
    caplog.set_level("INFO", logger="tribond")
    train(staged(make_training, sources), tmp_path)
    assert_same(outcome(tmp_path / "out"), outcome(whole))
    files, position = everything(tmp_path / "out")
    expected, expected_position = everything(whole)
    assert files.keys() == expected.keys()
    assert position == expected_position
    assert ("stage 2 of 2 (fine)" in caplog.text) == (stop < 9)
    rates = column(whole, "learning_rate")
    assert rates[6] == pytest.approx(1e-3)
    assert rates[3] == pytest.approx(5e-3)


def test_every_source_has_its_share(sources, make_training, tmp_path, monkeypatch):
    seen = []
    original = PotentialTraining.training_step

    def training_step(self, batch):
        seen.append(batch.source.tolist())
        return original(self, batch)

    monkeypatch.setattr(PotentialTraining, "training_step", training_step)
    sources[1] |= {"share": 0.5}
    train(make_training(train=sources, validation_folds=0, steps=12, edge_budget=1000), tmp_path)
    assert np.mean(np.concatenate(seen)) == pytest.approx(0.5, abs=0.06)
    assert all(set(batch) == {0, 1} for batch in seen if len(batch) > 2)


def test_errors_of_every_source(sources, make_training, tmp_path, caplog):
    caplog.set_level("INFO", logger="tribond")
    result = train(make_training(train=sources, data=HELD_OUT, best_by=["small", "big"]), tmp_path)
    potential = tribond.load(result.model_file, device="cpu")
    losses = {name: column(result.output, f"val/{name}/loss") for name in ("big", "small")}
    total = column(result.output, "val/loss")
    for step, value in total.items():
        assert value == pytest.approx((losses["big"][step] + losses["small"][step]) / 2, rel=1e-5)
    best = min(total, key=total.get)
    for number, name in enumerate(("big", "small")):
        report = evaluate_frames(potential, [frame for frame in result.validation if frame.source == number])
        for error, shown in ((report.energy, "energy_meV_per_atom"), (report.stress, "stress_GPa")):
            assert error.mae == pytest.approx(column(result.output, f"val/{name}/{shown}")[best], rel=1e-4)
        assert re.search(rf"    {name}: loss \S+, energy \S+ meV/atom, forces \S+ meV/Å, stress \S+ GPa", caplog.text)


def test_best_by_decides(sources, make_training, tmp_path):
    """With one source the loss is that source's; what counts for nothing there leaves its loss as it is."""
    result = train(make_training(train=sources, data=HELD_OUT, best_by=["small"], output="a"), tmp_path)
    assert column(result.output, "val/loss") == column(result.output, "val/small/loss")
    both = train(make_training(train=sources, data=HELD_OUT, output="b"), tmp_path)
    assert column(both.output, "val/small/loss") == column(result.output, "val/small/loss")
    assert column(both.output, "val/loss") != column(result.output, "val/loss")


def test_best_by_needs_structures(sources, save, alloys, make_training, tmp_path):
    save("small.xyz", alloys(8, seed=1, elements=("Cu",)))  # one compound: on one side as a whole
    for fold in range(3):
        config = make_training(train=sources, data={"validation_fold": fold}, validation_folds=3, best_by=["small"])
        if not any(frame.source == 1 for frame in read_training_frames(config.data, tmp_path).validation):
            with pytest.raises(DataError, match="best_by: source small has no labelled structures"):
                train(config, tmp_path)
            return
    pytest.fail("pure copper cannot be in three folds")


@pytest.mark.parametrize(("which", "expected"), [("last", [6, 8, 9]), ("best", [2, 6, 9])])
def test_the_mean_of_validations(sources, make_training, tmp_path, monkeypatch, which, expected):
    weights = {}
    original = KeepBest.on_validation_end
    losses = {2: 1.0, 4: 4.0, 6: 2.0, 8: 3.0, 9: 1.5}

    def on_validation_end(self, trainer, module):  # comes before that of KeepValidations
        step = trainer.global_step
        weights[step] = {name: value.detach().clone() for name, value in self.average.model().named_parameters()}
        trainer.callback_metrics["val/loss"] = torch.tensor(losses[step])
        original(self, trainer, module)

    monkeypatch.setattr(KeepBest, "on_validation_end", on_validation_end)
    monkeypatch.setattr("lightning.pytorch.Trainer.callback_metrics", {}, raising=False)
    for better in (True, False):
        monkeypatch.setattr(
            PotentialTraining, "validate_alone", lambda *_, value=0.0 if better else 1e9: {"loss": value}
        )
        config = make_training(train=sources, steps=9, validate_every=2, average_validations=3, average_of=which)
        result = train(config, tmp_path, restart=True)
        metadata = tribond.load(result.model_file, device="cpu").metadata
        assert metadata.get("averaged_steps") == (expected if better else None)
        if better:
            kept = load_file(result.model_file)
            for name in weights[9]:
                mean = torch.stack([weights[step][name].double() for step in expected]).mean(0)
                assert torch.equal(kept[name], mean.float()), name
        names = {file.name for file in (result.output / "checkpoints").iterdir()}
        assert names == {"last.ckpt"} | {f"validated-{step}.safetensors" for step in expected}


def test_the_mean_is_validated_like_the_others(sources, make_training, tmp_path, monkeypatch):
    """The mean of one model with itself has the loss of that model."""
    found = []
    original = PotentialTraining.validate_alone
    monkeypatch.setattr(
        PotentialTraining, "validate_alone", lambda self, batches: (found.append(original(self, batches)), found[-1])[1]
    )
    monkeypatch.setattr(KeepValidations, "average_into", lambda self, model: [6])  # the weights are those of the end
    result = train(make_training(train=sources, data=HELD_OUT, average_validations=2), tmp_path)
    assert found[0]["loss"] == pytest.approx(column(result.output, "val/loss")[6], rel=1e-6)
    assert found[0]["small/stress_GPa"] == pytest.approx(column(result.output, "val/small/stress_GPa")[6], rel=1e-6)


def test_a_kept_start_trains_the_same(sources, make_training, tmp_path, monkeypatch):
    without = outcome(train(make_training(train=sources, output="without"), tmp_path).output)
    assert not (tmp_path / "without" / "cache").exists()
    for module in (read_table, data_module, start):
        monkeypatch.setattr(module, "WORTH_KEEPING", 1)
    first = train(make_training(train=sources), tmp_path)
    assert_same(outcome(first.output), without)
    names = sorted(file.name.partition("-")[0] for file in (first.output / "cache").iterdir())
    assert names == ["bonds", "bonds", "structures", "structures"]

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(read_table, "read_file", refuse)
    monkeypatch.setattr(data_module, "count_edges", refuse)
    again = train(make_training(train=sources), tmp_path, restart=True)
    assert_same(outcome(again.output), without)
