"""Where a training is logged beside its CSV file: TensorBoard, Weights & Biases, MLflow."""

import os
import uuid
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from tribond.errors import ConfigError
from tribond.files import write_atomically
from tribond.training.config import TrainingConfig
from tribond.training.logs import csv_logger
from tribond.training.rank import is_first_process

PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


def check_loggers(config: TrainingConfig) -> None:
    """Refuse a logger that is not installed, before anything takes long.

    Raises:
        ConfigError: saying what to install.
    """
    for name in config.loggers():
        if find_spec(PACKAGES[name]) is None:
            msg = f"logger: {name} needs a package that is not installed here: pip install {PACKAGES[name]}"
            raise ConfigError(msg)


def make_loggers(config: TrainingConfig, output: Path, first_step: int) -> list[Logger]:
    """The CSV file, and what the training file asks for; each goes on where an interrupted training stopped.

    Weights & Biases and MLflow go by their own environment variables (WANDB_MODE, WANDB_PROJECT, MLFLOW_TRACKING_URI,
    ...); without an address, MLflow writes into the folder of the training.

    Args:
        config: the training file.
        output: the folder of the training.
        first_step: steps before the checkpoint.
    """
    loggers: list[Logger] = [csv_logger(output, first_step)]
    for name in config.loggers():
        if name == "tensorboard":
            loggers.append(TensorBoardLogger(output, "logs", version="tensorboard"))
        elif name == "wandb":
            loggers.append(_wandb(config, output))
        else:
            loggers.append(_mlflow(config, output))
    return loggers


def _wandb(config: TrainingConfig, output: Path) -> Logger:
    (output / "logs").mkdir(parents=True, exist_ok=True)
    project = os.environ.get("WANDB_PROJECT", "tribond")
    return WandbLogger(name=config.name, project=project, save_dir=output / "logs", id=_kept_id(output, "wandb"))


def _mlflow(config: TrainingConfig, output: Path) -> Logger:
    folder = (output / "logs" / "mlflow").resolve()
    address = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    if is_first_process():
        folder.mkdir(parents=True, exist_ok=True)
    kept = output / "logs" / "mlflow_run"
    made = MLFlowLogger(
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", "tribond"),
        run_name=config.name,
        tracking_uri=address,
        artifact_location=None if "MLFLOW_TRACKING_URI" in os.environ else folder.as_uri(),
        run_id=kept.read_text().strip() if kept.is_file() else None,
    )
    if is_first_process() and not kept.is_file():
        write_atomically(kept, f"{made.run_id}\n".encode())
    return made


def _kept_id(output: Path, name: str) -> str:
    """A name for the run that stays the same when the training goes on."""
    file = output / "logs" / f"{name}_run"
    if not file.is_file() and is_first_process():
        write_atomically(file, f"{uuid.uuid4().hex[:12]}\n".encode())
    return file.read_text().strip() if file.is_file() else ""
