"""The checkpoint that an interrupted training goes on from."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from tribond.errors import TribondError
from tribond.interrupt import Stopped, StopRequest
from tribond.training.devices import largest_of_processes
from tribond.training.lightning_internals import step_not_begun


class KeepLast(Checkpoint):
    """Writes everything that is needed to go on, to the same result as if the training had never stopped.

    After every validation, before a step if it is time or somebody wants to stop, before an error ends the training,
    and at the end. Never between a step and the validation that follows it: going on would skip that.

    Args:
        file: the checkpoint; replaced at once, never half written.
        every_seconds: time between two checkpoints.
        stop: set when somebody wants the training to stop.
    """

    def __init__(self, file: Path, every_seconds: float, stop: StopRequest) -> None:
        self.file = file
        self.every_seconds = every_seconds
        self.stop = stop
        self.saved_at = time.monotonic()
        self.saved_step = -1
        self.whole = False  # the weights are those after the last step that was counted

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and take Ctrl-C and SIGTERM from Lightning."""
        self.saved_at = time.monotonic()
        self.stop.listen()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save if it is time."""
        self.whole = True
        due, stop = self._agreed()
        if due or stop:
            self._save_between_steps(trainer)
        self._stop(stop)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """From here on weights change."""
        self.whole = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let Lightning validate the last step whatever its number."""
        if trainer.global_step >= trainer.max_steps:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save with what validation has found."""
        self._save(trainer)
        self._stop(self._agreed()[1])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, so that the same command again finds the training complete."""
        if self.saved_step != trainer.global_step:
            self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save the last whole step; a diverged training had better go back further."""
        expected = isinstance(exception, Stopped | TribondError)
        if self.whole and trainer.training and trainer.world_size == 1 and not expected:
            self._save_between_steps(trainer)

    def _agreed(self) -> tuple[bool, int]:
        """Whether it is time to save, and the signal that asks to stop, or 0.

        All processes or none: clocks differ, and a signal may reach only some.
        """
        due, signal = largest_of_processes(
            int(time.monotonic() - self.saved_at >= self.every_seconds), int(self.stop.signal or 0)
        )
        return bool(due), signal

    def _stop(self, signal: int) -> None:
        if signal:
            self.stop.signal = signal
            self.stop.obey()

    def _save_between_steps(self, trainer: Trainer) -> None:
        """Save when the next step has been counted as begun, and count it as not begun."""
        # Before the first step there is nothing to keep, and Lightning would count the steps of the logs one too far.
        if trainer.global_step in (0, self.saved_step):
            return
        with step_not_begun(trainer):
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.file)
        for log in trainer.loggers:
            log.save()
        self.saved_at = time.monotonic()
        self.saved_step = trainer.global_step
