"""Elastic moduli and heat capacities: tribond, fine-tuned and from scratch, beside MatGL's M3GNet and trivial predictions.

    python recipes/properties/compare.py run DATA OUT --property moduli --folds 0,1 --matgl .bench/matgl/bin/python
    python recipes/properties/compare.py table OUT

All methods see the same five folds (a hash of the reduced formula): fold k tests, fold k + 1 chooses the weights, the
others train. What is complete in OUT is not run again.
"""

import argparse
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tribond.checkpoints.registry import load
from tribond.data.property_table import PropertyTable
from tribond.evaluation.property_metrics import predict_table
from tribond.models.property_model import PropertyModel
from tribond.training.property_config import PropertyTrainingConfig
from tribond.training.property_run import read_table, train_property
from tribond.training.property_start import transformed

HERE = Path(__file__).parent
FOLDS = 5
EPOCHS = {"moduli": 25, "heat": 40}  # of MatGL; and of tribond from scratch, in steps of about as many crystals
SCRATCH_STEPS = {"moduli": 1000, "heat": 1100}
METHODS = ("mean", "composition", "matgl", "scratch", "fine-tuned")
COMPARED = ("matgl", "fine-tuned")
RIDGES = (1e-3, 1e-2, 0.1, 1.0, 10.0)


def main() -> None:
    """Run, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("data", type=Path, help="folder with the two files of matcalc's benchmark data")
    run.add_argument("out", type=Path)
    run.add_argument("--property", choices=list(EPOCHS), required=True)
    run.add_argument("--folds", default="0,1,2,3,4")
    run.add_argument("--methods", default=",".join(METHODS))
    run.add_argument("--matgl", default="", help="Python of an environment with MatGL")
    table = commands.add_parser("table")
    table.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "table":
        print_tables(given.out)
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for fold in map(int, given.folds.split(",")):
        for method in given.methods.split(","):
            file = given.out / given.property / f"{method}-{fold}.json"
            if file.is_file() or (method == "matgl" and not given.matgl):
                continue
            task = Task(given.property, fold, given.data.resolve(), given.out.resolve() / given.property, given.matgl)
            started = time.monotonic()
            predictions = RUN[method](task)
            file.parent.mkdir(parents=True, exist_ok=True)
            labels = task.table.values[task.test]
            record = {
                "seconds": time.monotonic() - started,
                "names": [task.table.names[row] for row in task.test],
                "atoms": [len(task.table.structures[row]) for row in task.test],
                "labels": labels.tolist(),
                "predictions": np.asarray(predictions).tolist(),
            }
            file.write_text(json.dumps(record))
            print(given.property, fold, method, f"{time.monotonic() - started:.0f} s", flush=True)


class Task:
    """One property and one fold.

    Args:
        kind: "moduli" or "heat".
        fold: that tests.
        data: folder with the data.
        out: folder for what is made.
        matgl: Python of MatGL's environment.
    """

    def __init__(self, kind: str, fold: int, data: Path, out: Path, matgl: str) -> None:
        self.kind, self.fold, self.out, self.matgl = kind, fold, out, matgl
        settings = yaml.safe_load((HERE / f"{kind}.yaml").read_text())
        settings["data"]["files"] = [str(data / name) for name in settings["data"]["files"]]
        self.config = PropertyTrainingConfig.model_validate(settings)
        self.table = read_table(self.config, self.config.data.files, data)
        folds = self.table.folds(FOLDS)
        self.test = np.flatnonzero(folds == fold)
        self.validation = np.flatnonzero(folds == (fold + 1) % FOLDS)
        self.train = np.setdiff1d(np.arange(len(self.table)), np.concatenate([self.test, self.validation]))
        self.sizes = np.array([[len(atoms)] for atoms in self.table.structures])

    def targets(self) -> np.ndarray:
        """(rows, targets) what others learn: logarithms of moduli, heat capacities per atom."""
        if self.kind == "heat":
            return self.table.values / self.sizes
        return transformed(self.table.values, self.config.property)

    def back(self, targets: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The inverse."""
        return targets * self.sizes[rows] if self.kind == "heat" else np.exp(targets)


def mean(task: Task) -> np.ndarray:
    """The mean of what is learnt."""
    targets = task.targets()
    return task.back(np.broadcast_to(targets[task.train].mean(0), (len(task.test), targets.shape[1])), task.test)


def composition(task: Task) -> np.ndarray:
    """Ridge regression on the fractions of the elements, as strong as validates best."""
    targets, fractions = task.targets(), fractions_of(task.table)
    middle = targets[task.train].mean(0)

    def predict(ridge: float, rows: np.ndarray) -> np.ndarray:
        x = fractions[task.train]
        weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (targets[task.train] - middle))
        return fractions[rows] @ weights + middle

    best = min(RIDGES, key=lambda it: np.abs(predict(it, task.validation) - targets[task.validation]).mean())
    return task.back(predict(best, task.test), task.test)


def fractions_of(table: PropertyTable) -> np.ndarray:
    """(rows, 119) how much of a structure each element is."""
    return np.stack([np.bincount(atoms.numbers, minlength=119) / len(atoms) for atoms in table.structures])


def matgl(task: Task) -> np.ndarray:
    """MatGL's M3GNet, in its environment."""
    targets = task.targets()
    middle, spread = targets[task.train].mean(0), targets[task.train].std(0)
    given, found = (task.out / f"matgl-{task.fold}.{what}" for what in ("task", "result"))
    content = {
        "file": task.config.data.files[0],
        "rows": [int(name.split("row ")[1].split(" ")[0]) for name in task.table.names],
        "targets": ((targets - middle) / spread).tolist(),
        **{part: getattr(task, part).tolist() for part in ("train", "validation", "test")},
        "epochs": EPOCHS[task.kind],
        "seed": 0,
    }
    given.parent.mkdir(parents=True, exist_ok=True)
    given.write_text(json.dumps(content))
    with (task.out / f"matgl-{task.fold}.log").open("w") as log:
        subprocess.run([task.matgl, str(HERE / "matgl_model.py"), str(given), str(found)], check=True, stdout=log)
    return task.back(np.array(json.loads(found.read_text())["test"]) * spread + middle, task.test)


def scratch(task: Task) -> np.ndarray:
    """Tribond without any potential."""
    changes: dict[str, Any] = {"model": {}, "steps": SCRATCH_STEPS[task.kind]}
    return _ours(task, "scratch", changes)


def fine_tuned(task: Task) -> np.ndarray:
    """Tribond with the features of its built-in potential."""
    return _ours(task, "fine-tuned", {})


def _ours(task: Task, name: str, changes: dict[str, Any]) -> np.ndarray:
    content = task.config.model_dump(mode="json") | changes
    config = PropertyTrainingConfig.model_validate(content | {"output": f"{name}-run"}).of_fold(task.fold)
    result = train_property(config, task.out, progress=False)
    model = load(result.model_file, device="cpu")
    if not isinstance(model, PropertyModel) or result.test is None:
        sys.exit("this training gave no model of properties, or nothing to test it with")
    if list(result.test.names) != [task.table.names[row] for row in task.test]:
        sys.exit("the training tests other rows than the others do")
    return predict_table(model, result.test).predictions


RUN: dict[str, Callable[[Task], np.ndarray]] = {
    "mean": mean,
    "composition": composition,
    "matgl": matgl,
    "scratch": scratch,
    "fine-tuned": fine_tuned,
}


def print_tables(out: Path) -> None:
    """Errors over all folds that the compared methods have done, as Markdown; methods that lack one are left out."""
    heads = {
        "moduli": [f"{name} {what}" for name in ("K", "G") for what in ("MAE (GPa)", "MAE of ln", "R² of ln")],
        "heat": ["MAE (J/mol/K an atom)", "RMSE", "R²"],
    }
    for kind, head in heads.items():
        folds = [f for f in range(FOLDS) if all((out / kind / f"{m}-{f}.json").is_file() for m in COMPARED)]
        if not folds:
            continue
        print(f"\n{kind}, test folds {', '.join(map(str, folds))}\n")
        print("| | " + " | ".join(head) + " | seconds a fold |\n|---|" + "---:|" * (len(head) + 1))
        for method in METHODS:
            if not all((out / kind / f"{method}-{f}.json").is_file() for f in folds):
                print(f"| {method} | not run on all of these folds |")
                continue
            found = [json.loads((out / kind / f"{method}-{f}.json").read_text()) for f in folds]
            labels, predictions = (np.concatenate([it[key] for it in found]) for key in ("labels", "predictions"))
            sizes = np.concatenate([it["atoms"] for it in found])[:, None]
            cells = (
                of_logarithms(labels, predictions)
                if kind == "moduli"
                else of_atoms(labels / sizes, predictions / sizes)
            )
            print(f"| {method} | " + " | ".join(cells) + f" | {np.mean([it['seconds'] for it in found]):.0f} |")


def of_logarithms(labels: np.ndarray, predictions: np.ndarray) -> list[str]:
    """MAE, and MAE and R² of the logarithm, of each target."""
    cells = []
    for one, other in zip(labels.T, predictions.T, strict=True):
        logs = np.log(one), np.log(other)
        cells += [f"{np.abs(one - other).mean():.2f}", f"{np.abs(logs[0] - logs[1]).mean():.3f}", f"{_r2(*logs):.3f}"]
    return cells


def of_atoms(labels: np.ndarray, predictions: np.ndarray) -> list[str]:
    """MAE, RMSE and R²."""
    error = predictions - labels
    return [f"{np.abs(error).mean():.3f}", f"{np.sqrt((error**2).mean()):.3f}", f"{_r2(labels, predictions):.3f}"]


def _r2(labels: np.ndarray, predicted: np.ndarray) -> float:
    return float(1 - ((labels - predicted) ** 2).sum() / ((labels - labels.mean()) ** 2).sum())


if __name__ == "__main__":
    main()
