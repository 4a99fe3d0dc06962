"""Learning curves: drawn from the log of a training, now and then while it runs and at its end."""

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from tribond.results.figures import COLORS, new_figure, save_png, title
from tribond.training.loss import TERMS
from tribond.training.validation import SHOWN, UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARE = 0.02  # of the time of a training that drawing may take
FIRST_AFTER_S = 60.0

Column = tuple[list[int], list[float]]  # steps, counted from 1, and values


class LearningCurves(Callback):
    """Draws them after a validation, if that costs little beside the training; `draw_curves` draws them at the end.

    Args:
        metrics: the log, metrics.csv.
        figure: the file.
        name: of the model.
    """

    def __init__(self, metrics: Path, figure: Path, name: str) -> None:
        # Not `self.log`: Lightning puts a function there.
        self.metrics, self.figure, self.name = metrics, figure, name
        self.next_at = time.monotonic() + FIRST_AFTER_S

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw if it is time."""
        begin = time.monotonic()
        if not trainer.is_global_zero or begin < self.next_at:
            return
        for logger in trainer.loggers:
            logger.save()
        draw_curves(self.metrics, self.figure, self.name)
        end = time.monotonic()
        self.next_at = end + (end - begin) / SHARE


def draw_curves(log: Path, figure: Path, name: str) -> bool:
    """Draw what is in a log; no file, where there is nothing in it.

    Args:
        log: metrics.csv.
        figure: the PNG file; its folder is there.
        name: of the model, for the title.
    """
    if not log.is_file():
        return False
    columns = _columns(log)
    if "train/loss" not in columns and "val/loss" not in columns:
        return False
    save_png(_figure(columns, name), figure)
    return True


def _columns(log: Path) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    with log.open(newline="") as stream:
        for row in csv.DictReader(stream):
            for name, value in row.items():
                if value and name not in ("step", "epoch"):
                    steps, values = columns.setdefault(name, ([], []))
                    steps.append(int(row["step"]) + 1)
                    values.append(float(value))
    return columns


def _figure(columns: Mapping[str, Column], name: str) -> "Figure":
    figure, panels = new_figure(3, 2, width=9.0, height=8.0, sharex=True)
    loss, parts, *errors, rate = panels
    title(loss, name)
    _pair(loss, columns, "loss", "loss")
    for color, term in zip(COLORS, TERMS, strict=False):
        for stage, style in (("train", {"alpha": 0.35, "linewidth": 0.8}), ("val", {"marker": "o", "markersize": 3})):
            if f"{stage}/loss_{term}" in columns:
                label = term if stage == "val" or f"val/loss_{term}" not in columns else None
                parts.plot(*columns[f"{stage}/loss_{term}"], color=color, label=label, **style)
    _finish(parts, "parts of the loss")
    for axes, term in zip(errors, TERMS, strict=True):
        _pair(axes, columns, SHOWN[term][0], f"MAE of {term} ({UNITS[term]})")
    if "learning_rate" in columns:
        rate.plot(*columns["learning_rate"], color=COLORS[2])
    _finish(rate, "learning rate")
    for axes in panels[-2:]:
        axes.set_xlabel("step")
    return figure


def _pair(axes: "Axes", columns: Mapping[str, Column], column: str, label: str) -> None:
    if f"train/{column}" in columns:
        axes.plot(*columns[f"train/{column}"], color=COLORS[0], alpha=0.5, linewidth=0.8, label="batches")
    if f"val/{column}" in columns:
        axes.plot(*columns[f"val/{column}"], color=COLORS[1], marker="o", markersize=3, label="validation")
    _finish(axes, label)


def _finish(axes: "Axes", label: str) -> None:
    axes.set_ylabel(label)
    lines = axes.get_lines()
    if any((line.get_ydata() > 0).any() for line in lines):  # type: ignore[union-attr, operator]
        axes.set_yscale("log")
    if any(not str(line.get_label()).startswith("_") for line in lines):
        axes.legend(frameon=False)
