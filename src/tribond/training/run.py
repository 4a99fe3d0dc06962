"""From a training file to a model file: `tribond train`."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.callbacks import Callback

from tribond.checkpoints.native import save_model
from tribond.data.array_cache import ArrayCache
from tribond.data.frame_set import FrameSet
from tribond.errors import TribondError
from tribond.interrupt import Interrupted, StopRequest, stop_requests
from tribond.models.potential import Potential
from tribond.nn.m3gnet import M3GNet
from tribond.training.average import KeepValidations
from tribond.training.callbacks import KeepBest, MovingAverage, TellStages, errors_line
from tribond.training.config import TrainingConfig
from tribond.training.curves import LearningCurves, draw_curves
from tribond.training.data_module import TrainingData
from tribond.training.devices import launch_of, processes
from tribond.training.environment import record_start
from tribond.training.going_on import checkpoint_to_go_on_from, clear, only_training_in
from tribond.training.keep_last import KeepLast
from tribond.training.lightning_internals import steps_in
from tribond.training.live_view import LiveView
from tribond.training.loggers import check_loggers, make_loggers
from tribond.training.logs import quiet_lightning
from tribond.training.model_metadata import model_metadata
from tribond.training.module import PotentialTraining
from tribond.training.precision import single_precision
from tribond.training.prepare import prepare
from tribond.training.rank import is_first_process
from tribond.training.terms import added
from tribond.training.trainer import make_trainer
from tribond.training.units import tell_units
from tribond.training.zero_of_energy import on_model_zero

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves."""

    output: Path  # the folder with everything
    model_file: Path  # the averaged weights of the best validation
    validation: FrameSet  # what was held out, on the model's zero of energy; `source` counts the training sources
    before: Potential | None  # the model that was fine-tuned, with its reference energies refitted


def train(config: TrainingConfig, folder: Path, *, restart: bool = False, progress: bool = True) -> TrainingResult:
    """Train a potential, or go on with a training that was interrupted.

    The output folder gets `model.safetensors` (best validation so far), `checkpoints/last.ckpt` (to go on), `logs/`
    (CSV, TensorBoard), `learning_curves.png`, `environment.json` (machine, versions, command), `cache/` (of large data:
    what was read and counted) and `config.json`. Training again with the same config goes on from the last checkpoint,
    to the same result as if it had never stopped; of a complete training it gives the result.

    Args:
        config: the training file.
        folder: what file names in it are relative to.
        restart: begin anew even if there is a checkpoint; removes what the output folder holds of the old training.
        progress: show bars, if there is a terminal.

    Raises:
        ConfigError: if the output folder holds a training with other settings or other data, another training is
            writing there, or a setting makes no sense.
        DataError: if the data cannot be used.
        TribondError: if the training diverges.
        Interrupted: on Ctrl-C or SIGTERM, after saving.
        CheckpointError: if the checkpoint to go on from is damaged.
    """
    output = folder / Path(config.output).expanduser()
    with only_training_in(output):
        return _train(config, folder, output, restart=restart, progress=progress)


def _train(config: TrainingConfig, folder: Path, output: Path, *, restart: bool, progress: bool) -> TrainingResult:
    launch = launch_of(config.devices, config.nodes)
    check_loggers(config)
    checkpoint = None if restart else checkpoint_to_go_on_from(output, config)
    cache = ArrayCache(output / "cache")
    ready = prepare(config, folder, cache, progress=progress)
    start, module, data = ready.start, ready.module, ready.data
    model_file = output / "model.safetensors"

    def write(model: M3GNet, step: int, found: Mapping[str, float], averaged: Sequence[int] = ()) -> None:
        save_model(model_file, model, model_metadata(config, start, step, found, averaged))

    if checkpoint is None and is_first_process():
        tell_units(start.frames.train, config.data, start.before)
        clear(output, config)  # as late as this: a mistake in the settings must not cost the old training
    average = MovingAverage(config.optimizer.ema_decay)
    best = KeepBest(average, write, config.patience, validates=len(start.frames.validation) > 0)
    callbacks: list[Callback] = [average, best, TellStages(ready.stages)]
    kept = None
    if config.average_validations is not None:
        kept = KeepValidations(average, output / "checkpoints", config.average_validations, config.average_of)
        callbacks.append(kept)
    log, curves = output / "logs" / "csv" / "metrics.csv", output / "learning_curves.png"
    callbacks += [LearningCurves(log, curves, config.name), *([LiveView(config.name, best)] if progress else [])]
    first_step = 0 if checkpoint is None else steps_in(checkpoint)
    if is_first_process():
        record_start(output / "environment.json", launch, first_step)
    with _interruptible() as stop, single_precision(allow_tf32=config.allow_tf32), processes():
        last = KeepLast(output / "checkpoints" / "last.ckpt", 60 * config.checkpoint_every_minutes, stop)
        trainer = make_trainer(config, launch, [*callbacks, last], make_loggers(config, output, first_step))
        trainer.fit(module, data, ckpt_path=None if checkpoint is None else str(checkpoint), weights_only=True)
    if not is_first_process():
        raise SystemExit(0)  # of several processes the first one has the results
    cache.remove_unused()
    draw_curves(log, curves, config.name)
    if kept is not None:
        with single_precision(allow_tf32=config.allow_tf32):
            _try_average(kept, module.to(trainer.strategy.root_device), data, best.best, write)
    if not model_file.is_file():
        msg = (
            f"there is no {model_file}: no validation gave a finite loss, or it was removed; start anew with --restart"
        )
        raise TribondError(msg)
    validation = on_model_zero(start.frames.validation, start.reference_energies, start.model.config)
    # With what the model file adds: those who read this compare it with whole potentials.
    return TrainingResult(output, model_file, added(validation, start.terms, cache), start.before)


@contextmanager
def _interruptible() -> Iterator[StopRequest]:
    """Quiet, and stopped by signals. Of several processes the first one says that it was."""
    try:
        with quiet_lightning(), stop_requests("this step, or after the validation if one is running") as stop:
            yield stop
    except Interrupted:
        if is_first_process():
            raise
        raise SystemExit(0) from None


def _try_average(
    kept: KeepValidations, module: PotentialTraining, data: TrainingData, best: float, write: Callable[..., None]
) -> None:
    """Validate the mean of several validated models, and keep it if it is better than the best of all."""
    steps = kept.average_into(module.model)
    if not steps:
        return
    found = {f"val/{name}": value for name, value in module.validate_alone(data.validation_batches()).items()}
    better = found["val/loss"] < best
    logger.info(
        "mean of the %d models validated after steps %s: validation loss %.5g, %s; the best single one has %.5g: %s is kept",
        len(steps),
        ", ".join(map(str, steps)),
        found["val/loss"],
        errors_line(found, "val"),
        best,
        "the mean" if better else "that",
    )
    if better:
        write(module.model, steps[-1], found, steps)
