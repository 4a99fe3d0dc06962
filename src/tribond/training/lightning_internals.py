"""What we use of PyTorch and Lightning that they do not promise to keep.

Seen in Lightning 2.6 and PyTorch 2.7 to 2.13; the extra `train` asks for `lightning>=2.6,<2.7`. Before the bound is raised,
read this file beside the new version and run tests/training, above all test_resume.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor


def averaged_module(callback: WeightAveraging) -> Any:
    """The averages, as a copy of the LightningModule; during a validation they are in the module itself."""
    return callback._average_model.module  # noqa: SLF001 - that is what this file is for


def move_towards(averages: Sequence[Tensor], weights: Sequence[Tensor], part: float) -> None:
    """Move many tensors a part of the way to others, in place and at once: `torch.optim` does its work like this."""
    torch._foreach_lerp_(list(averages), list(weights), part)


@contextmanager
def step_not_begun(trainer: Trainer) -> Iterator[None]:
    """A checkpoint saved in here, before a step, says that the step is still to come.

    Lightning counts a batch as begun before anybody can save, and a training that goes on would leave it out.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    progress.total.reset_on_restart()
    progress.current.reset_on_restart()
    yield
    progress.increment_ready()


def read_checkpoint(checkpoint: Path) -> Any:
    """What Lightning wrote; tensors on the CPU, and nothing in it is run."""
    return torch.load(checkpoint, map_location="cpu", weights_only=True)


def steps_in(checkpoint: Path) -> int:
    """Steps taken before a checkpoint."""
    return int(read_checkpoint(checkpoint)["global_step"])


def put_rows(logger: CSVLogger, rows: Sequence[Mapping[str, str]]) -> None:
    """Begin a CSV log with rows of an old one, whose file is removed and written anew."""
    experiment = logger.experiment  # removes the file
    experiment.metrics = [dict(row) for row in rows]
    logger.save()
