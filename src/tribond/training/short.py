"""Some steps of a training that leaves nothing: to measure, not to train."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from tribond.errors import ConfigError
from tribond.interrupt import StopRequest, stop_requests
from tribond.training.config import TrainingConfig
from tribond.training.data_module import TrainingData
from tribond.training.devices import Launch, launch_of
from tribond.training.logs import quiet_lightning
from tribond.training.module import PotentialTraining
from tribond.training.precision import single_precision
from tribond.training.trainer import make_trainer

ALONE = Launch(devices=1, nodes=1, starter="tribond")


def one_stage(config: TrainingConfig, number: int, steps: int) -> TrainingConfig:
    """The training file of one stage alone, with so many steps; without stages, the whole.

    Args:
        config: the training file.
        number: of the stage, counted from 0.
        steps: how many.
    """
    if not config.stages:
        return config.model_copy(update={"steps": steps})
    stage = config.stages[number].model_copy(update={"steps": steps})
    return config.model_copy(update={"stages": [stage], "steps": steps})


def check_alone(verb: str) -> None:
    """Refuse several processes, which would all do the same.

    Raises:
        ConfigError: naming what was asked for.
    """
    starter = launch_of(1, 1).starter
    if starter != "tribond":
        msg = f"{verb} runs in one process, on one device: start it without {starter}"
        raise ConfigError(msg)


def take_steps(
    config: TrainingConfig, module: PotentialTraining, data: TrainingData, callbacks: Sequence[Callback], steps: int
) -> PotentialTraining:
    """Take the first steps of a training on one device: no validation, no log, no checkpoint.

    Args:
        config: the training file.
        module: is changed.
        data: gives the batches.
        callbacks: what is done with the steps.
        steps: at most so many.

    Returns:
        The module, on the device.

    Raises:
        TribondError: if the loss is not finite.
        Interrupted: on Ctrl-C or SIGTERM.
    """
    with (
        TemporaryDirectory() as nowhere,
        quiet_lightning(),
        stop_requests() as stop,
        single_precision(allow_tf32=config.allow_tf32),
    ):
        settings = {"limit_val_batches": 0, "enable_checkpointing": False, "default_root_dir": Path(nowhere)}
        trainer = make_trainer(config, ALONE, [*callbacks, _Stop(stop)], [], max_steps=steps, **settings)
        trainer.fit(module, data)
        return module.to(trainer.strategy.root_device)


class _Stop(Callback):
    """Ctrl-C and SIGTERM end it between two steps."""

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals from Lightning."""
        self.stop.listen()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop if somebody wants it."""
        self.stop.obey()
