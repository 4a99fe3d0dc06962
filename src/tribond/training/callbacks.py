"""What happens around the steps: averaged weights, the best model, and words where a stage begins."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor

from tribond.nn.m3gnet import M3GNet
from tribond.training.lightning_internals import averaged_module, move_towards
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
        self.step = 0  # of the best
        self.found: dict[str, float] = {}  # by the best validation
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
            self.best, self.step, self.found = loss, trainer.global_step, found
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
        return {name: getattr(self, name) for name in ("best", "step", "found", "without_improvement")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        self.best, self.without_improvement = state_dict["best"], state_dict["without_improvement"]
        self.step, self.found = state_dict.get("step", 0), dict(state_dict.get("found", {}))

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


def errors_line(found: Mapping[str, float], stage: str) -> str:
    """The errors of a validation, or of one source in it, as people read them."""
    return ", ".join(f"{name} {found[key]:.4g} {unit}" for name, key, unit in shown_errors(stage) if key in found)
