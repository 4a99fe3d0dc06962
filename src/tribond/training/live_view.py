"""A panel in the terminal that shows how a training goes."""

import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tribond.training.callbacks import KeepBest
from tribond.training.validation import shown_errors

SHOW_EVERY_S = 0.5
FORGETTING = 0.95  # of what is shown of the batches, each step; single ones jump
LETTERS = 8  # of a number
BAR = 60  # letters


class LiveView(Callback):
    """Loss, errors, learning rate, speed and time left, on standard error. Only where that is a terminal.

    Args:
        name: of the model.
        best: knows the best validation.
        console: where to show it; None: standard error.
    """

    def __init__(self, name: str, best: KeepBest, console: Console | None = None) -> None:
        self.name, self.best = name, best
        self.console = console or Console(stderr=True, highlight=False)
        self.live: Live | None = None
        self.present: dict[str, torch.Tensor | float] = {}
        self.last: dict[str, float] = {}  # validation
        self.last_step = 0
        self.first_step = self.systems = 0
        self.started = self.shown = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show it."""
        self.started, self.first_step = time.monotonic(), trainer.global_step
        if trainer.is_global_zero and self.console.is_terminal:
            self.live = Live(self._panel(trainer), console=self.console, auto_refresh=False)
            self.live.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remember what the batch had, and show it from time to time."""
        if self.live is None:
            return
        for name, value in trainer.callback_metrics.items():
            if name.startswith("train/"):
                before = self.present.get(name, value)
                self.present[name] = FORGETTING * before + (1 - FORGETTING) * value  # read when shown: a GPU is ahead
        self._show(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Go on showing how much time it takes."""
        self._show(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember what validation found."""
        self.last = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self.last_step = trainer.global_step
        self._show(trainer, now=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the last state on the screen."""
        self._show(trainer, now=True)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave it as it is."""
        self._close()

    def _close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _show(self, trainer: Trainer, *, now: bool = False) -> None:
        if self.live is not None and (now or time.monotonic() - self.shown >= SHOW_EVERY_S):
            self.live.update(self._panel(trainer), refresh=True)
            self.shown = time.monotonic()

    def _panel(self, trainer: Trainer) -> Panel:
        step, steps = trainer.global_step, trainer.max_steps
        lines = (f"step {step} of {steps}, learning rate {_rate(trainer):.2e}", self._speed(step, steps))
        frame = Table.grid()  # a bar ends its line in a table alone
        frame.add_row(ProgressBar(total=steps, completed=step, width=BAR))
        for line in lines:
            frame.add_row(Text(line))
        frame.add_row(self._table())
        return Panel(frame, title=Text(self.name), title_align="left", expand=False)

    def _speed(self, step: int, steps: int) -> str:
        elapsed, done = time.monotonic() - self.started, step - self.first_step
        if not done:
            return "first step ..."
        rate = done / elapsed
        speed = f"{rate:.3g} steps/s" if rate >= 1 else f"{1 / rate:.3g} s a step"
        return f"{speed}, {clock(elapsed)} so far, {clock((steps - step) / rate)} left"

    def _table(self) -> Table:
        columns = ("loss", *(f"{name} ({unit})" for name, _, unit in shown_errors("val")))
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for column in columns:
            table.add_column(column, justify="right")
        table.add_row("some 20 batches", *_numbers(self.present, "train"))
        if self.last:
            table.add_row(f"step {self.last_step}: validation", *_numbers(self.last, "val"))
        if self.best.found:
            table.add_row(f"step {self.best.step}: best so far", *_numbers(self.best.found, "val"), style="bold")
        return table


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _rate(trainer: Trainer) -> float:
    return float(trainer.optimizers[0].param_groups[0]["lr"])


def _numbers(found: dict[str, Any], stage: str) -> list[str]:
    names = [f"{stage}/loss", *(key for _, key, _ in shown_errors(stage))]
    return [f"{float(found[name]):.4g}".rjust(LETTERS) if name in found else "" for name in names]
