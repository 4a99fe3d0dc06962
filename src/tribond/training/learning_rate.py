"""Which learning rate to try first: some steps, each with a larger one, and what becomes of the loss (Smith, 2017).

Losses of batches differ by more than a few steps change, so each is divided by that of the untrained model on the same
batch. Lightning's own finder does not do that, takes the steepest descent along the rate itself, not its logarithm, which
is nearly always at its beginning, and loses all points when a loss is not finite.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from tribond.data.array_cache import ArrayCache
from tribond.errors import TribondError
from tribond.files import write_atomically
from tribond.results.figures import COLORS, GUIDE, new_figure, save_png, title
from tribond.training.config import TrainingConfig
from tribond.training.module import PotentialTraining
from tribond.training.prepare import prepare
from tribond.training.short import check_alone, one_stage, take_steps

LOWEST, HIGHEST = 1e-6, 1.0
STEPS = 150
FEWEST = 30  # steps, for a suggestion
BEYOND = 3.0  # times the smallest ratio: the end
ENOUGH = 0.97  # ratio that must be reached
KERNEL = 3.0  # steps | width of the smoothing


@dataclass(frozen=True)
class Sweep:
    """What was found. All arrays (steps,)."""

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    ratios: NDArray[np.float64]  # to the losses of the untrained model on the same batches
    smooth: NDArray[np.float64]  # ratios
    suggestion: float
    table: Path
    figure: Path


def find_learning_rate(config: TrainingConfig, folder: Path, *, progress: bool = True) -> Sweep:
    """Train for some steps with a growing learning rate; the training itself is not touched.

    Writes `learning_rate/learning_rates.csv` and `learning_rate.png` in the output folder.

    Args:
        config: the training file; of several stages, the first.
        folder: what file names in it are relative to.
        progress: show bars while bonds are counted, if there is a terminal.

    Raises:
        ConfigError: if a setting makes no sense.
        DataError: if the data cannot be used.
        TribondError: if the loss does not fall, so that there is nothing to suggest.
        Interrupted: on Ctrl-C or SIGTERM.
    """
    check_alone("--find-learning-rate")
    output = folder / Path(config.output).expanduser()
    short = one_stage(config, 0, STEPS)
    ready = prepare(short, folder, ArrayCache(output / "cache"), progress=progress)
    raising = RaiseRate(copy.deepcopy(ready.module))
    try:
        take_steps(short, ready.module, ready.data, [raising], STEPS)
    except TribondError:
        if len(raising.losses) < FEWEST:
            raise
    return _written(raising, config.name, output / "learning_rate")


class RaiseRate(Callback):
    """Gives every step a larger learning rate, and remembers its loss.

    Args:
        untrained: the module as it was.
    """

    def __init__(self, untrained: PotentialTraining) -> None:
        self.untrained = untrained
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.before: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the untrained model where the other is."""
        self.untrained.to(pl_module.device)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """After the schedule, and before the step."""
        rate = LOWEST * (HIGHEST / LOWEST) ** (trainer.global_step / max(trainer.max_steps - 1, 1))
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.rates.append(rate)
        with torch.no_grad():
            self.before.append(float(self.untrained.loss_of(batch)))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The loss is that before the step: it shows what the steps before have done."""
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
        smooth = smoothed(self.ratios())
        if len(smooth) >= FEWEST and smooth[-1] > BEYOND * smooth.min():
            trainer.should_stop = True

    def ratios(self) -> NDArray[np.float64]:
        """Losses divided by those of the untrained model.  (steps,); 1 where that has none."""
        losses, before = np.array(self.losses), np.array(self.before[: len(self.losses)])
        return np.where(before > 0, losses / np.where(before > 0, before, 1.0), 1.0)


def smoothed(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Geometric means with Gaussian weights over neighbouring steps.  (steps,)."""
    steps = np.arange(len(ratios))
    weights = np.exp(-(((steps[:, None] - steps) / KERNEL) ** 2) / 2)
    return np.exp(weights @ np.log(np.maximum(ratios, np.finfo(float).tiny)) / weights.sum(axis=1))


def suggested(rates: NDArray[np.float64], smooth: NDArray[np.float64]) -> float:
    """Where the loss falls fastest with the logarithm of the rate; at most a third of where it is smallest.

    Raises:
        TribondError: if it does not fall.
    """
    if len(rates) < FEWEST or smooth.min() > ENOUGH:
        msg = (
            f"no learning rate can be suggested: in {len(rates)} steps the loss did not fall by 3 %; the table and "
            "figure show what it did"
        )
        raise TribondError(msg)
    lowest = int(np.argmin(smooth))
    slopes = np.gradient(np.log(smooth), np.log(rates))
    steepest = int(np.argmin(slopes[: lowest + 1]))
    found = min(rates[steepest], rates[lowest] / 3)
    digits = 1 - math.floor(math.log10(found))
    return round(float(found), digits)


def _written(raising: RaiseRate, name: str, folder: Path) -> Sweep:
    losses, ratios = np.array(raising.losses), raising.ratios()
    rates, smooth = np.array(raising.rates[: len(losses)]), smoothed(ratios)
    table, picture = folder / "learning_rates.csv", folder / "learning_rate.png"
    numbers = zip(rates, losses, ratios, smooth, strict=True)
    rows = [",".join(f"{number:.6e}" for number in row) for row in numbers]
    write_atomically(table, "\n".join(["learning_rate,loss,ratio_to_untrained,smoothed_ratio", *rows, ""]).encode())
    figure, (axes,) = new_figure()
    axes.loglog(rates, ratios, ".", color=COLORS[0], markersize=3, label="one batch each")
    axes.loglog(rates, smooth, color=COLORS[1], label="smoothed")
    try:
        suggestion = suggested(rates, smooth)
        axes.axvline(suggestion, color=GUIDE, linestyle=":", label=f"suggested: {suggestion:g}")
    finally:
        title(axes, name)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss / loss of the untrained model")
        axes.legend(frameon=False)
        save_png(figure, picture)
    return Sweep(rates, losses, ratios, smooth, suggestion, table, picture)
