"""What a training tells about itself: panel, curves, environment, loggers, estimates, learning rates, precision."""

import csv
import io
import json
import subprocess

import numpy as np
import pytest
import torch
from rich.console import Console

from tribond.errors import ConfigError, TribondError
from tribond.training import curves, live_view, run
from tribond.training.config import TrainingConfig
from tribond.training.curves import draw_curves
from tribond.training.environment import git_state
from tribond.training.estimate import estimate
from tribond.training.learning_rate import find_learning_rate, smoothed, suggested
from tribond.training.loggers import make_loggers
from tribond.training.module import PotentialTraining


@pytest.fixture
def data(save, alloys):
    return save("alloys.xyz", alloys(12))


def train(config, folder, **settings):
    return run.train(config, folder, progress=False, **settings)


def content(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# -------------------------------------------------------------------------------------------------- while it runs


def test_the_panel(data, make_training, tmp_path, monkeypatch):
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(live_view, "Console", lambda **_: terminal)
    result = run.train(make_training(), tmp_path)
    last = shown.getvalue()[shown.getvalue().rindex("tiny") :]
    assert "step 6 of 6, learning rate" in last
    assert "0:00:00 left" in last
    with (result.output / "logs" / "csv" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/loss"]]
    best = min(rows, key=lambda row: float(row["val/loss"]))
    line = next(line for line in last.splitlines() if f"step {int(best['step']) + 1}: best so far" in line)
    assert line.split()[-5:-1] == [
        f"{float(best[f'val/{name}']):.4g}"
        for name in ("loss", "energy_meV_per_atom", "forces_meV_per_A", "stress_GPa")
    ]


def test_no_panel_without_a_terminal(data, make_training, tmp_path, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(live_view, "Console", lambda **_: Console(file=shown))
    run.train(make_training(steps=2), tmp_path)
    assert shown.getvalue() == ""


# -------------------------------------------------------------------------------------------------- what it leaves


def test_every_start_is_recorded(data, make_training, tmp_path):
    for _ in range(2):
        train(make_training(steps=2), tmp_path)
    starts = json.loads((tmp_path / "out" / "environment.json").read_text())["starts"]
    assert [start["steps_before"] for start in starts] == [0, 2]
    assert starts[0]["torch"] == torch.__version__ == starts[0]["packages"]["torch"]
    assert starts[0]["threads"] == torch.get_num_threads()
    assert starts[0]["command"]
    run.train(make_training(steps=2), tmp_path, restart=True, progress=False)
    assert len(json.loads((tmp_path / "out" / "environment.json").read_text())["starts"]) == 1


def test_the_commit(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert git_state(tmp_path) is None
    (tmp_path / "file").write_text("1")
    git("init", "-q")
    git("add", "file")
    git("commit", "-qm", "first")
    assert git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "changed_files": 0}
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path)["changed_files"] == 1


def test_curves_while_it_runs(data, make_training, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "FIRST_AFTER_S", 0.0)
    monkeypatch.setattr(curves, "SHARE", 1e9)  # every time
    whole = curves.draw_curves

    def draw_curves(metrics, figure, name):
        with metrics.open() as file:
            drawn.append([int(row["step"]) + 1 for row in csv.DictReader(file) if row["val/loss"]])
        return whole(metrics, figure, name)

    monkeypatch.setattr(curves, "draw_curves", draw_curves)
    train(make_training(), tmp_path)
    assert drawn == [[3], [3, 6]]
    assert (tmp_path / "out" / "learning_curves.png").is_file()


def test_curves_of_what_there_is(tmp_path):
    log, figure = tmp_path / "metrics.csv", tmp_path / "curves.png"
    assert not draw_curves(log, figure, "nothing yet")
    log.write_text("step,epoch,val/loss,train/loss\n0,0,,2.5\n1,0,0.0,\n2,0,nan,0.5\n")
    assert draw_curves(log, figure, "x$_y$")
    assert figure.read_bytes().startswith(b"\x89PNG")


# -------------------------------------------------------------------------------------------------- loggers


def test_a_logger_that_is_not_installed(data, make_training, tmp_path, monkeypatch):
    monkeypatch.setattr("tribond.training.loggers.find_spec", lambda name: None if name == "wandb" else name)
    with pytest.raises(ConfigError, match="logger: wandb needs a package .* pip install wandb"):
        train(make_training(logger=["tensorboard", "wandb"]), tmp_path)
    assert content(tmp_path) <= {"alloys.xyz", "out/.lock"}


def test_no_logger(data, make_training, tmp_path):
    train(make_training(logger="none", steps=2), tmp_path)
    assert {name for name in content(tmp_path / "out") if name.startswith("logs")} == {"logs/csv/metrics.csv"}


def test_a_logger_that_is_unknown():
    with pytest.raises(ValueError, match="logger"):
        TrainingConfig.model_validate({"name": "a", "data": {"train": [{"name": "a", "files": ["a"]}]}, "logger": "x"})


def test_weights_and_biases_goes_on_with_the_same_run(make_training, tmp_path, monkeypatch):
    made = []

    class Stand:
        def __init__(self, **settings):
            made.append(settings)

    monkeypatch.setattr("tribond.training.loggers.WandbLogger", Stand)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    for _ in range(2):
        _, logger = make_loggers(make_training(logger="wandb"), tmp_path, 0)
        assert isinstance(logger, Stand)
    assert made[0] == made[1]
    assert (made[0]["name"], made[0]["project"], len(made[0]["id"])) == ("tiny", "mine", 12)


@pytest.mark.filterwarnings("ignore")  # what they find in each other
@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_the_real_packages_take_the_numbers(data, make_training, tmp_path, monkeypatch, package):
    pytest.importorskip(package)
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(make_training(logger=package, steps=3), tmp_path)
    assert any(package in name and "metrics.csv" not in name for name in content(tmp_path / "out" / "logs"))


# -------------------------------------------------------------------------------------------------- trials


def test_an_estimate_leaves_nothing(data, make_training, tmp_path):
    before = make_training(steps=60)
    found = estimate(before, tmp_path, progress=False)
    assert content(tmp_path) == {"alloys.xyz"}
    assert (found.train_structures + found.validation_structures, found.validations) == (12, 20)
    (stage,) = found.stages
    assert (stage.steps, stage.measured) == (60, 58)
    assert 0 < stage.seconds_per_step < 5
    expected = found.reading_seconds + 60 * stage.seconds_per_step + 20 * found.seconds_per_validation
    assert found.seconds == pytest.approx(expected)
    assert 10**8 < found.memory_before_bytes <= found.memory_bytes < 10**11


def test_an_estimate_of_stages(data, make_training, tmp_path):
    stages = [{"steps": 300, "edge_budget": 400}, {"name": "late", "steps": 50, "edge_budget": 4000}]
    found = estimate(make_training(stages=stages, steps=350, validation_folds=0), tmp_path, progress=False)
    assert [(stage.name, stage.steps, stage.measured) for stage in found.stages] == [("1", 300, 98), ("late", 50, 48)]
    assert found.stages[0].seconds_per_step < found.stages[1].seconds_per_step
    assert (found.validations, found.seconds_per_validation) == (0, 0.0)


def test_a_learning_rate_is_found_and_nothing_changed(data, make_training, tmp_path):
    config = make_training(steps=2000)
    found = find_learning_rate(config, tmp_path, progress=False)
    assert content(tmp_path) == {
        "alloys.xyz",
        *(f"out/learning_rate/{n}" for n in ("learning_rates.csv", "learning_rate.png")),
    }
    assert 1e-4 < found.suggestion < 0.3
    assert np.all(np.diff(found.rates) > 0)
    with found.table.open() as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == pytest.approx(found.losses.tolist(), rel=1e-5)
    train(make_training(steps=2), tmp_path)  # the folder holds no training


def test_the_steepest_descent_is_suggested():
    rates = np.geomspace(1e-6, 1.0, 200)
    losses = np.exp(-2 / (1 + 1e-3 / rates)) + (rates / 0.1) ** 2  # steepest at 1e-3
    assert suggested(rates, smoothed(losses)) == pytest.approx(1e-3, rel=0.2)
    noisy = losses * np.exp(0.05 * np.random.default_rng(0).standard_normal(200))
    assert 1e-4 < suggested(rates, smoothed(noisy)) < 1e-2
    with pytest.raises(TribondError, match="no learning rate can be suggested"):
        suggested(rates, np.ones(200))


def test_a_sweep_that_diverges_keeps_its_points(data, make_training, tmp_path, monkeypatch):
    whole = PotentialTraining._loss

    def diverge(self, batch):
        loss, sums = whole(self, batch)
        return loss, sums.__class__(
            sums.losses * (torch.nan if self.global_step > 130 else 1.0), *list(vars(sums).values())[1:]
        )

    monkeypatch.setattr(PotentialTraining, "_loss", diverge)
    assert 30 <= len(find_learning_rate(make_training(steps=2000), tmp_path, progress=False).rates) <= 131


# -------------------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize("precision", ["bf16", "bfloat16", "bf16-mixed", "float16", "16-mixed"])
def test_half_precision_is_refused(make_training, precision):
    with pytest.raises(ValueError, match=f"{precision} is not possible, trainings are in float32"):
        make_training(precision=precision)


def test_autocast_is_refused(data, make_training, tmp_path):
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ConfigError, match="a training in bfloat16 is not possible"),
    ):
        train(make_training(), tmp_path)
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(("allow", "expected"), [(False, "highest"), (True, "high")])
def test_tf32_only_if_asked(data, make_training, tmp_path, monkeypatch, allow, expected):
    seen = []
    whole = PotentialTraining.training_step

    def training_step(self, batch):
        seen.append(torch.get_float32_matmul_precision())
        return whole(self, batch)

    monkeypatch.setattr(PotentialTraining, "training_step", training_step)
    torch.set_float32_matmul_precision("medium")  # as a program around the training may have it
    try:
        train(make_training(steps=2, allow_tf32=allow), tmp_path)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == [expected] * 2
