"""Errors of a model of properties: MAE, RMSE and R² of numbers; accuracy, AUC and cross entropy of classes.

A trivial prediction is measured beside them, since an error alone says little: of numbers the mean of the labels (for what
is learnt as a logarithm their geometric mean, for what is extensive the mean per atom), of classes the most frequent one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tribond.data.property_table import PropertyTable
from tribond.errors import ConfigError, StructureError
from tribond.models.property_model import PropertyModel, Target

CHUNK = 256  # structures predicted at a time; the model makes its own batches of them
SMALLEST = 1e-12  # probability in a cross entropy


@dataclass(frozen=True, eq=False)
class PropertyResults:
    """Labels and predictions of a set of structures."""

    table: PropertyTable
    predictions: NDArray[np.float64]  # (rows, num_targets); of classes their probabilities


@dataclass(frozen=True)
class TargetErrors:
    """How far the predictions of one number are from its labels, in its unit."""

    target: Target
    count: int
    mae: float
    rmse: float
    r2: float | None  # 1 - Σ(p - l)² / Σ(l - mean)²; None if all labels are the same
    trivial_mae: float
    log_mae: float | None = None  # mean |ln p - ln l|, of what is learnt as a logarithm
    log_r2: float | None = None
    trivial_log_mae: float | None = None


@dataclass(frozen=True)
class ClassErrors:
    """How well classes are told apart."""

    target: Target
    classes: tuple[str, ...]
    count: int
    accuracy: float
    balanced_accuracy: float  # the mean over the classes of the part of each that is found
    auc: float | None  # area under the ROC curve; of several classes the mean of each against the rest
    cross_entropy: float  # nats
    trivial_accuracy: float  # of the most frequent class
    confusion: tuple[tuple[int, ...], ...] = field(default=())  # [label][prediction]


def predict_table(model: PropertyModel, table: PropertyTable) -> PropertyResults:
    """Predict all rows of a table.

    Raises:
        ConfigError: if the model wants another state input than the table has.
        StructureError: naming the row that cannot be described.
    """
    predictions = np.full((len(table), model.config.num_targets), np.nan)
    if (table.states is None) != (model.config.state == "none"):
        msg = "the model takes a state input that the data does not have, or the other way round"
        raise ConfigError(msg)
    for first in range(0, len(table), CHUNK):
        rows = range(first, min(first + CHUNK, len(table)))
        structures = [table.structures[row] for row in rows]
        state = None if table.states is None else table.states[first : first + CHUNK]
        if state is not None and model.config.state == "categorical":
            state = state[:, 0].astype(np.int64)
        try:
            found = model.predict(structures, state=state)
        except StructureError as error:
            for index, row in enumerate(rows):  # which of them?
                try:
                    model.predict(structures[index], state=None if state is None else state[index : index + 1])
                except StructureError as alone:
                    msg = f"{table.names[row]}: {alone}"
                    raise StructureError(msg) from error
            raise
        for row, prediction in zip(rows, found, strict=True):
            predictions[row] = prediction.value
    return PropertyResults(table, predictions)


def joined(parts: Sequence[PropertyResults]) -> PropertyResults:
    """The results of several sets as one."""
    states = [part.table.states for part in parts]
    table = PropertyTable(
        tuple(atoms for part in parts for atoms in part.table.structures),
        np.concatenate([part.table.values for part in parts]),
        None if states[0] is None else np.concatenate([state for state in states if state is not None]),
        tuple(name for part in parts for name in part.table.names),
        {},
    )
    return PropertyResults(table, np.concatenate([part.predictions for part in parts]))


def property_errors(results: PropertyResults, model: PropertyModel) -> list[TargetErrors | ClassErrors]:
    """The errors of every target that has labels."""
    if model.config.classification:
        return _of_classes(results, model)
    is_log = np.broadcast_to(np.array(model.config.target_is_log), (model.config.num_targets,))
    found: list[TargetErrors | ClassErrors] = []
    sizes = np.array([len(atoms) for atoms in results.table.structures], dtype=np.float64)
    for column, target in enumerate(model.targets):
        labels, predicted = results.table.values[:, column], results.predictions[:, column]
        known = np.isfinite(labels)
        if known.any():
            weights = sizes[known] if model.config.readout == "sum" else None
            found.append(_of_number(target, labels[known], predicted[known], weights, log=bool(is_log[column])))
    return found


def roc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Parts of the negatives and of the positives above each threshold, from (0, 0) to (1, 1); ties are one step."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    hits, misses = np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
    return (np.append(0.0, misses / max((~positive).sum(), 1)), np.append(0.0, hits / max(positive.sum(), 1)))


def auc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """The chance that a positive scores above a negative, ties counting half; None without one of them."""
    hits, misses = int(positive.sum()), int((~positive).sum())
    if not hits or not misses:
        return None
    return float((rankdata(score)[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def _of_number(
    target: Target,
    labels: NDArray[np.float64],
    predicted: NDArray[np.float64],
    sizes: NDArray[np.float64] | None,
    *,
    log: bool,
) -> TargetErrors:
    if sizes is not None:
        trivial = sizes * (labels / sizes).mean()
    else:
        trivial = np.full_like(labels, np.exp(np.log(labels).mean()) if log else labels.mean())
    of_log: dict[str, float | None] = {}
    if log:
        logs, guesses = np.log(labels), np.log(np.maximum(predicted, SMALLEST))
        of_log = {
            "log_mae": float(np.abs(guesses - logs).mean()),
            "log_r2": _r2(logs, guesses),
            "trivial_log_mae": float(np.abs(logs - logs.mean()).mean()),
        }
    error = predicted - labels
    return TargetErrors(
        target,
        len(labels),
        float(np.abs(error).mean()),
        float(np.sqrt((error**2).mean())),
        _r2(labels, predicted),
        float(np.abs(trivial - labels).mean()),
        **of_log,
    )


def _r2(labels: NDArray[np.float64], predicted: NDArray[np.float64]) -> float | None:
    spread = ((labels - labels.mean()) ** 2).sum()
    return None if spread == 0 else float(1 - ((predicted - labels) ** 2).sum() / spread)


def of_each_class(results: PropertyResults) -> NDArray[np.float64]:
    """(rows, classes) probabilities, of two classes too."""
    given = results.predictions
    return given if given.shape[1] > 1 else np.hstack([1 - given, given])


def _of_classes(results: PropertyResults, model: PropertyModel) -> list[TargetErrors | ClassErrors]:
    labels = results.table.values[:, 0]
    known = np.isfinite(labels)
    if not known.any():
        return []
    number = labels[known].astype(np.int64)
    chances = of_each_class(results)[known]
    names = model.classes or tuple(map(str, range(chances.shape[1])))
    guess = chances.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (number, guess), 1)
    of_class = confusion.sum(axis=1)
    present = of_class > 0
    columns = [1] if len(names) == 2 else list(range(len(names)))
    areas = [area for column in columns if (area := auc(number == column, chances[:, column])) is not None]
    return [
        ClassErrors(
            Target(model.name, ""),
            names,
            len(number),
            float((guess == number).mean()),
            float((np.diag(confusion)[present] / of_class[present]).mean()),
            float(np.mean(areas)) if areas else None,
            float(-np.log(np.maximum(chances[np.arange(len(number)), number], SMALLEST)).mean()),
            float(of_class.max() / len(number)),
            tuple(tuple(row) for row in confusion.tolist()),
        )
    ]
