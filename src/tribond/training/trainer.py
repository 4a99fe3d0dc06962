"""Lightning's trainer, as every training here uses it."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from tribond.errors import ConfigError
from tribond.training.config import TrainingConfig
from tribond.training.devices import Launch


def make_trainer(
    config: TrainingConfig, launch: Launch, callbacks: Sequence[Callback], loggers: Sequence[Logger], **settings: Any
) -> Trainer:
    """A trainer of one endless epoch, whose batches `StepBatches` deals out.

    Args:
        config: the training file.
        launch: the processes.
        callbacks: in this order; checkpoints come last in any case.
        loggers: may be none.
        settings: of Lightning's trainer, that differ.

    Raises:
        ConfigError: if the accelerator or the number of devices cannot be had.
    """
    usual: dict[str, Any] = {
        "max_steps": config.steps,
        "max_epochs": -1,
        "val_check_interval": config.validate_every,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "gradient_clip_val": config.optimizer.gradient_clip,
        "inference_mode": False,  # validation needs forces, and they are gradients
        "use_distributed_sampler": False,  # batches are divided, not dealt out
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": max(1, min(20, config.steps // 20)),
    }
    try:
        return Trainer(
            accelerator=config.accelerator,
            devices=launch.devices,
            num_nodes=launch.nodes,
            # Buffers are constants: there is nothing to broadcast, in validation either.
            strategy=DDPStrategy(broadcast_buffers=False) if launch.several else "auto",
            plugins=[launch.environment()],
            callbacks=list(callbacks),
            logger=list(loggers) or False,
            **usual | settings,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        msg = f"accelerator {config.accelerator!r} with devices {launch.devices!r} cannot be used: {error}"
        raise ConfigError(msg) from error
