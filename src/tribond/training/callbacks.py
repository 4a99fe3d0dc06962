"""What happens around the steps: averaged weights, the best model, checkpoints, and a line that shows how it goes."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, WeightAveraging
from torch import Tensor
from tqdm import tqdm

from tribond.errors import TribondError
from tribond.interrupt import Stopped, StopRequest
from tribond.nn.m3gnet import M3GNet
from tribond.training.lightning_internals import averaged_module, move_towards, step_not_begun
from tribond.training.stages import Stage, stage_at
from tribond.training.validation import shown_errors

logger = logging.getLogger(__name__)

Write = Callable[[M3GNet, int, Mapping[str, float]], None]


class MovingAverage(WeightAveraging):
    """Exponential moving average of the weights: it is what is validated and kept.

    The decay grows as (1 + n) / (10 + n) to its final value: the average of a short training forgets its beginning too.

    Args:
        decay: of the average in each step; 0 means no averaging.
    """

    def __init__(self, decay: float) -> None:
        def update(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
            steps = int(count)
            now = min(decay, (1 + steps) / (10 + steps))
            move_towards(averages, weights, 1 - now)

        # Buffers are constants and must not be averaged.
        super().__init__(use_buffers=False, multi_avg_fn=torch.no_grad()(update))

    def model(self) -> M3GNet:
        """The model with averaged weights; outside of validation, where it changes place with the other."""
        return averaged_module(self).model


class KeepBest(Callback):
    """Writes the model whenever validation is better than ever, and stops when it has not been for too long.

    Args:
        average: has the model to write.
        write: is given the model, the step, and what validation found, by the name it is logged under.
        patience: validations without improvement before stopping; None never stops.
        validates: whether there is validation; without it the last model is the best.
    """

    def __init__(self, average: MovingAverage, write: Write, patience: int | None, *, validates: bool) -> None:
        self.average = average
        self.write = write
        self.patience = patience
        self.validates = validates
        self.best = float("inf")
        self.without_improvement = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not go on with a training that was stopped early."""
        self._stop_if_hopeless(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare with the best so far."""
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        loss = found["val/loss"]
        better = loss < self.best  # never true for NaN
        if better:
            self.best = loss
            self.without_improvement = 0
            if trainer.is_global_zero:
                self.write(self.average.model(), trainer.global_step, found)
        else:
            self.without_improvement += 1
        logger.info(
            "step %d of %d: validation loss %.5g, %s%s",
            trainer.global_step,
            trainer.max_steps,
            loss,
            self.errors(found),
            " (best so far)" if better else "",
        )
        for name, value in found.items():
            source = name.removeprefix("val/").removesuffix("/loss")
            if name == f"val/{source}/loss":
                logger.info("    %s: loss %.5g, %s", source, value, errors_line(found, f"val/{source}"))
        self._stop_if_hopeless(trainer)

    def errors(self, found: Mapping[str, float]) -> str:
        """What validation found, as people read it."""
        return errors_line(found, "val")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Without validation, write the last model."""
        if not self.validates and trainer.is_global_zero:
            self.write(self.average.model(), trainer.global_step, {})

    def state_dict(self) -> dict[str, Any]:
        """What must be known to go on."""
        return {"best": self.best, "without_improvement": self.without_improvement}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        self.best, self.without_improvement = state_dict["best"], state_dict["without_improvement"]

    def _stop_if_hopeless(self, trainer: Trainer) -> None:
        if self.patience is not None and self.without_improvement >= self.patience:
            if not trainer.should_stop:
                logger.info("stopping early: no improvement in %d validations", self.without_improvement)
            trainer.should_stop = True


class TellStages(Callback):
    """Says when a stage begins, and in which one a training goes on.

    Args:
        stages: all of them; of a single one there is nothing to say.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = list(stages)
        self.told = -1

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Look whether it is another stage than that of the last step."""
        number = stage_at(self.stages, trainer.global_step)
        if number == self.told or len(self.stages) < 2:
            return
        self.told = number
        stage = self.stages[number]
        logger.info(
            "stage %d of %d%s: steps %d to %d, learning rate %.3g",
            number + 1,
            len(self.stages),
            "" if stage.name == f"{number + 1}" else f" ({stage.name})",
            trainer.global_step + 1,
            stage.end,
            stage.learning_rate,
        )


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
        due = self.stop.requested or time.monotonic() - self.saved_at >= self.every_seconds
        if trainer.world_size > 1:  # all or none: clocks differ, and a signal may reach only some
            due = trainer.strategy.reduce_boolean_decision(due, all=False)
        if due:
            self._save_between_steps(trainer)
            self.stop.obey()

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
        self.stop.obey()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, so that the same command again finds the training complete."""
        if self.saved_step != trainer.global_step:
            self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save the last whole step; a diverged training had better go back further."""
        expected = isinstance(exception, Stopped | TribondError)
        if self.whole and trainer.training and trainer.world_size == 1 and not expected:
            self._save_between_steps(trainer)

    def _save_between_steps(self, trainer: Trainer) -> None:
        """Save when the next step has been counted as begun, and count it as not begun."""
        if self.saved_step == trainer.global_step:
            return
        with step_not_begun(trainer):
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.file)
        for log in trainer.loggers:
            log.save()
        self.saved_at = time.monotonic()
        self.saved_step = trainer.global_step


class StepBar(Callback):
    """A bar of all steps, with the present errors and those of the last validation. Only where there is a terminal."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.validation = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show it."""
        self.bar = tqdm(
            total=trainer.max_steps,
            initial=trainer.global_step,
            desc="training",
            unit="step",
            dynamic_ncols=True,
            disable=None if trainer.is_global_zero else True,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on."""
        self.bar.set_postfix_str(_line(trainer, "train") + self.validation, refresh=False)
        self.bar.update()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember what validation found."""
        self.validation = f" | validation {_line(trainer, 'val')}"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave it as it is."""
        self.bar.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave it as it is."""
        if self.bar is not None:
            self.bar.close()


def errors_line(found: Mapping[str, float], stage: str) -> str:
    """The errors of a validation, or of one source in it, as people read them."""
    return ", ".join(f"{name} {found[key]:.4g} {unit}" for name, key, unit in shown_errors(stage) if key in found)


def _line(trainer: Trainer, stage: str) -> str:
    metrics = trainer.callback_metrics
    shown = [f"{float(metrics[key]):.3g} {unit}" for _, key, unit in shown_errors(stage) if key in metrics]
    loss = f"{stage}/loss"  # all that a model of a property has in common with a potential
    return ", ".join(shown) or (f"loss {float(metrics[loss]):.3g}" if loss in metrics else "")
