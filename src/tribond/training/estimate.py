"""How long a training will take, and how much memory: measured by some of its steps, without leaving a training."""

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from tribond.data.array_cache import ArrayCache
from tribond.data.dataset import LabeledGraph
from tribond.training.callbacks import MovingAverage
from tribond.training.config import TrainingConfig
from tribond.training.data_module import TrainingData
from tribond.training.module import PotentialTraining
from tribond.training.precision import single_precision
from tribond.training.prepare import prepare
from tribond.training.short import check_alone, one_stage, take_steps
from tribond.training.stages import stages_of

WARM_UP = 2  # steps that are slower than the others
FEWEST_STEPS, MOST_STEPS = 5, 100  # to be measured in a stage, if it has so many
STEPS_FOR_S = 15.0  # enough, if there are the fewest
VALIDATE_FOR_S = 10.0


@dataclass(frozen=True)
class StageCost:
    """What the steps of a stage cost."""

    name: str
    steps: int
    measured: int  # steps that were
    seconds_per_step: float
    spread: float  # s | standard deviation of a step


@dataclass(frozen=True)
class Estimate:
    """What a training needs on one device of this machine.

    Memory is the largest this process had, on the GPU that of PyTorch's tensors.
    """

    train_structures: int
    validation_structures: int
    weights: int
    reading_seconds: float
    stages: list[StageCost]
    validations: int
    seconds_per_validation: float
    validation_measured: float  # part of the structures to validate on
    memory_before_bytes: int  # with all data, before the first step
    memory_bytes: int
    gpu_memory_bytes: int | None

    @property
    def seconds(self) -> float:
        """Of the whole training, from reading to the last validation."""
        steps = sum(stage.steps * stage.seconds_per_step for stage in self.stages)
        return self.reading_seconds + steps + self.validations * self.seconds_per_validation


def estimate(config: TrainingConfig, folder: Path, *, progress: bool = True) -> Estimate:
    """Read the data, take some steps of every stage, and validate on a part.

    Leaves nothing but `cache/` in the output folder, of data large enough to be kept there.

    Args:
        config: the training file.
        folder: what file names in it are relative to.
        progress: show bars while bonds are counted, if there is a terminal.

    Raises:
        ConfigError: if a setting makes no sense.
        DataError: if the data cannot be used.
        TribondError: if the loss is not finite.
        Interrupted: on Ctrl-C or SIGTERM.
    """
    check_alone("--dry-run")
    begin = time.perf_counter()
    cache = ArrayCache(folder / Path(config.output).expanduser() / "cache")
    ready = prepare(config, folder, cache, progress=progress)
    module, start = ready.module, ready.start
    ready.data.train_dataloader()  # counts bonds
    ready.data.val_dataloader()
    reading = time.perf_counter() - begin
    before = peak_memory()
    costs = []
    for number, stage in enumerate(ready.stages):
        alone = one_stage(config, number, stage.steps)
        data = TrainingData(start.frames, alone, start.model.config, start.reference_energies, cache=cache)
        module = PotentialTraining(start.model, stages_of(alone), config.optimizer.learning_rate, module.validation)
        stopwatch = Stopwatch()
        callbacks = [MovingAverage(config.optimizer.ema_decay), stopwatch]
        module = take_steps(alone, module, data, callbacks, stage.steps)
        times = np.array(stopwatch.seconds[WARM_UP:] or stopwatch.seconds)
        costs.append(StageCost(stage.name, stage.steps, len(times), float(times.mean()), float(times.std())))
    with single_precision(allow_tf32=config.allow_tf32):
        _largest_step(module, ready.data)
        validation, part = _validation_seconds(module, ready.data)
    every = config.validate_every
    return Estimate(
        train_structures=len(start.frames.train),
        validation_structures=len(start.frames.validation),
        weights=sum(weight.numel() for weight in start.model.parameters()),
        reading_seconds=reading,
        stages=costs,
        validations=-(-config.steps // every) if len(start.frames.validation) else 0,
        seconds_per_validation=validation,
        validation_measured=part,
        memory_before_bytes=before,
        memory_bytes=peak_memory(),
        gpu_memory_bytes=torch.cuda.max_memory_allocated() if module.device.type == "cuda" else None,
    )


class Stopwatch(Callback):
    """Times of steps, with the preparation of their batches; ends the steps when they are enough."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.began = self.last = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self.began = self.last = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One more."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now
        done = len(self.seconds)
        if done >= MOST_STEPS or (done >= FEWEST_STEPS + WARM_UP and now - self.began > STEPS_FOR_S):
            trainer.should_stop = True


def peak_memory() -> int:
    """The most memory that this process ever had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _largest_step(module: PotentialTraining, data: TrainingData) -> None:
    """Loss and gradient of the largest structure, for the memory: it may be a batch larger than the budget."""
    largest = int(np.argmax(data.train_set.frames.sizes))
    batch = LabeledGraph.batch([data.train_set[largest]]).to(module.device)
    module.loss_of(batch).backward()
    module.zero_grad()


def _validation_seconds(module: PotentialTraining, data: TrainingData) -> tuple[float, float]:
    """How long a whole validation takes, and which part of its structures was measured."""
    batches = data.validation_batches()
    seconds, structures = 0.0, 0
    begin = time.perf_counter()
    module.validation.clear()
    for batch in batches:
        module.validation_step(batch.to(module.device))
        structures += batch.graph.num_systems
        seconds = time.perf_counter() - begin
        if seconds > VALIDATE_FOR_S:
            break
    whole = len(data.validation_set)
    if not structures:
        return 0.0, 1.0
    part = structures / whole
    return seconds / part, part
