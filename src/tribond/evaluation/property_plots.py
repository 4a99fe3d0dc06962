"""Pictures of an evaluation of properties: parity of numbers, ROC curves of classes."""

from typing import TYPE_CHECKING

import numpy as np

from tribond.evaluation.property_metrics import (
    ClassErrors,
    PropertyResults,
    TargetErrors,
    auc,
    of_each_class,
    roc,
)
from tribond.models.property_model import PropertyModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def property_plot(
    results: PropertyResults, errors: "Sequence[TargetErrors | ClassErrors]", model: PropertyModel, title: str
) -> "Figure":
    """One panel a target: predictions against labels, or the ROC curve of each class.

    Args:
        results: labels and predictions.
        errors: of `property_errors`.
        model: names its targets.
        title: of the figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * max(len(errors), 1), 4.6), layout="compressed")
    figure.suptitle(title, parse_math=False)
    panels = figure.subplots(1, max(len(errors), 1), squeeze=False)[0]
    columns = {target: number for number, target in enumerate(model.targets)}
    is_log = np.broadcast_to(np.array(model.config.target_is_log), (model.config.num_targets,))
    for axes, found in zip(panels, errors, strict=False):
        if isinstance(found, ClassErrors):
            _draw_roc(axes, results, found)
        else:
            column = columns[found.target]
            _draw_parity(axes, results, column, found, log=bool(is_log[column]))
    return figure


def _draw_parity(axes: "Axes", results: PropertyResults, column: int, found: TargetErrors, *, log: bool) -> None:
    labels, predicted = results.table.values[:, column], results.predictions[:, column]
    known = np.isfinite(labels)
    labels, predicted = labels[known], predicted[known]
    low, high = float(min(labels.min(), predicted.min())), float(max(labels.max(), predicted.max()))
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
        low, high = low / 1.2, high * 1.2
    else:
        margin = 0.04 * (high - low) or 0.5
        low, high = low - margin, high + margin
    unit = f" ({found.target.unit})" if found.target.unit else ""
    axes.scatter(labels, predicted, s=10, alpha=0.5, linewidths=0)
    axes.plot([low, high], [low, high], color="black", linewidth=0.8, alpha=0.6)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_title(found.target.name, parse_math=False)
    axes.set_xlabel(f"label{unit}", parse_math=False)
    axes.set_ylabel(f"prediction{unit}", parse_math=False)
    text = f"MAE {found.mae:.4g}\nRMSE {found.rmse:.4g}"
    text += "" if found.r2 is None else f"\nR² {found.r2:.3f}"
    axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top", fontsize="small")


def _draw_roc(axes: "Axes", results: PropertyResults, found: ClassErrors) -> None:
    labels = results.table.values[:, 0]
    known = np.isfinite(labels)
    number, chances = labels[known].astype(np.int64), of_each_class(results)[known]
    for column in [1] if len(found.classes) == 2 else range(len(found.classes)):
        area = auc(number == column, chances[:, column])
        if area is not None:
            wrong, right = roc(number == column, chances[:, column])
            axes.step(wrong, right, where="post", label=f"{found.classes[column]}: AUC {area:.3f}")
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, alpha=0.6)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_title(f"{found.target.name}: accuracy {found.accuracy:.3f}", parse_math=False)
    axes.set_xlabel("part of the others taken for it")
    axes.set_ylabel("part of it that is found")
    axes.legend(loc="lower right", fontsize="small")
