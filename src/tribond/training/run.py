"""From a training file to a model file: `tribond train`."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import tribond
from tribond.checkpoints.native import save_model
from tribond.data.array_cache import ArrayCache
from tribond.data.frames import Frame
from tribond.errors import ConfigError, DataError, TribondError
from tribond.files import write_atomically
from tribond.interrupt import StopRequest, stop_requests
from tribond.models.potential import Potential
from tribond.nn.m3gnet import M3GNet
from tribond.training.average import KeepValidations
from tribond.training.callbacks import KeepBest, KeepLast, MovingAverage, StepBar, TellStages, errors_line
from tribond.training.config import TrainingConfig
from tribond.training.data_module import TrainingData
from tribond.training.going_on import check_whole, only_training_in, settings_before
from tribond.training.lightning_internals import is_first_process, steps_in
from tribond.training.logs import csv_logger, quiet_lightning
from tribond.training.loss import Loss
from tribond.training.module import PotentialTraining
from tribond.training.parts import freeze
from tribond.training.sources import TrainingFrames, check_labels, read_training_frames
from tribond.training.stages import TERMS, Stage, stages_of
from tribond.training.start import Start, make_start
from tribond.training.units import tell_units
from tribond.training.validation import ValidationErrors, shown_errors
from tribond.training.zero_of_energy import on_model_zero

logger = logging.getLogger(__name__)

# Settings that do not change what comes out (but for rounding): a training may go on with others.
FREE = ("output", "metadata", "checkpoint_every_minutes", "accelerator", "workers")


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves."""

    output: Path  # the folder with everything
    model_file: Path  # the averaged weights of the best validation
    validation: list[Frame]  # what was held out, on the model's zero of energy; `source` counts the training sources
    before: Potential | None  # the model that was fine-tuned, with its reference energies refitted


def train(config: TrainingConfig, folder: Path, *, restart: bool = False, progress: bool = True) -> TrainingResult:
    """Train a potential, or go on with a training that was interrupted.

    The output folder gets `model.safetensors` (best validation so far), `checkpoints/last.ckpt` (to go on), `logs/`
    (CSV and TensorBoard), `cache/` (of large data: what was read and counted) and `config.json`. Training again with the same config goes on from the last checkpoint, to
    the same result as if it had never stopped; of a complete training it gives the result.

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
    checkpoint = None if restart else _checkpoint_to_go_on_from(output, config)
    cache = ArrayCache(output / "cache")
    stages = stages_of(config)
    frames = read_training_frames(config.data, folder, cache)
    start = make_start(config, frames, folder, cache)
    _check_data(config, stages, start.frames)
    if checkpoint is None and is_first_process():
        tell_units(start.frames.train, config.data, start.before)
    data = TrainingData(
        start.frames, config, start.model.config, start.reference_energies, progress=progress, cache=cache
    )
    errors = _validation_errors(config)
    freeze(start.model, config.model.freeze)
    module = PotentialTraining(start.model, stages, config.optimizer.learning_rate, errors)
    model_file = output / "model.safetensors"

    def write(model: M3GNet, step: int, found: Mapping[str, float], averaged: Sequence[int] = ()) -> None:
        save_model(model_file, model, _metadata(config, start, step, found, averaged))

    if checkpoint is None and is_first_process():
        _clear(output, config)  # as late as this: a mistake in the settings must not cost the old training
    average = MovingAverage(config.optimizer.ema_decay)
    best = KeepBest(average, write, config.patience, validates=len(start.frames.validation) > 0)
    callbacks: list[Callback] = [average, best, TellStages(stages)]
    kept = None
    if config.average_validations is not None:
        kept = KeepValidations(average, output / "checkpoints", config.average_validations, config.average_of)
        callbacks.append(kept)
    with quiet_lightning(), stop_requests("this step, or after the validation if one is running") as stop:
        trainer = _trainer(config, output, callbacks, stop, checkpoint, progress=progress)
        trainer.fit(module, data, ckpt_path=None if checkpoint is None else str(checkpoint), weights_only=True)
    if not trainer.is_global_zero:
        raise SystemExit(0)  # of several processes the first one has the results
    cache.remove_unused()
    if kept is not None:
        _try_average(kept, module.to(trainer.strategy.root_device), data, best.best, write)
    if not model_file.is_file():
        msg = (
            f"there is no {model_file}: no validation gave a finite loss, or it was removed; start anew with --restart"
        )
        raise TribondError(msg)
    validation = list(on_model_zero(start.frames.validation, start.reference_energies, start.model.config))
    return TrainingResult(output, model_file, validation, start.before)


def _checkpoint_to_go_on_from(output: Path, config: TrainingConfig) -> Path | None:
    """The last checkpoint in the folder, if there is one and it belongs to these settings.

    Raises:
        ConfigError: if the folder holds another training.
        CheckpointError: if what is needed to go on is damaged.
    """
    last = output / "checkpoints" / "last.ckpt"
    if last.is_file():
        before = settings_before(output, type(config))
        changed = _differences(before.model_dump(mode="json"), config.model_dump(mode="json"))
        if changed:
            msg = (
                f"{output} holds a training with other settings ({', '.join(changed)}); "
                "choose another output, or start anew with --restart"
            )
            raise ConfigError(msg)
        check_whole(last)
        logger.info("going on from %s", last)
        return last
    if (output / "model.safetensors").is_file():
        msg = f"{output} holds a model, but no checkpoint to go on from; choose another output, or use --restart"
        raise ConfigError(msg)
    return None


def _clear(output: Path, config: TrainingConfig) -> None:
    """Make the folder, remove what an old training left there, and remember the settings of the new one."""
    # Checkpoints first: whatever happens in between, settings and checkpoint never belong to two trainings.
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    shutil.rmtree(output / "logs", ignore_errors=True)
    (output / "model.safetensors").unlink(missing_ok=True)
    (output / "checkpoints").mkdir(parents=True)
    settings = json.dumps(config.model_dump(mode="json"), indent=2)
    write_atomically(output / "config.json", f"{settings}\n".encode())


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Names of the settings that differ and matter."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in before.keys() | now.keys() if name or key not in FREE]
        return [
            difference
            for key in sorted(keys)
            for difference in _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [name]


def _trainer(
    config: TrainingConfig,
    output: Path,
    callbacks: list[Callback],
    stop: StopRequest,
    checkpoint: Path | None,
    *,
    progress: bool,
) -> Trainer:
    """Lightning's trainer: one endless epoch whose batches `StepBatches` deals out.

    Raises:
        ConfigError: if the accelerator or the number of devices cannot be had.
    """
    first_step = 0 if checkpoint is None else steps_in(checkpoint)
    last = KeepLast(output / "checkpoints" / "last.ckpt", 60 * config.checkpoint_every_minutes, stop)
    try:
        return Trainer(
            max_steps=config.steps,
            max_epochs=-1,
            accelerator=config.accelerator,
            devices=config.devices,
            callbacks=[*callbacks, *([StepBar()] if progress else []), last],
            logger=[csv_logger(output, first_step), TensorBoardLogger(output, "logs", version="tensorboard")],
            val_check_interval=config.validate_every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            gradient_clip_val=config.optimizer.gradient_clip,
            inference_mode=False,  # validation needs forces, and they are gradients
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=max(1, min(20, config.steps // 20)),
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        msg = f"accelerator {config.accelerator!r} with devices {config.devices!r} cannot be used: {error}"
        raise ConfigError(msg) from error


def _check_data(config: TrainingConfig, stages: Sequence[Stage], frames: TrainingFrames) -> None:
    """Refuse data that cannot do what the settings want of it.

    Raises:
        DataError: if no term with a weight has a label in some stage, or a source in `best_by` cannot validate.
    """
    told = set()
    for stage in stages:
        # What a source has no weight for, or is not drawn from, is as if it were not there.
        drawn = np.array([share is None or share > 0 for share in stage.shares])
        counted = np.array(stage.weights) * drawn[:, None] > 0
        case = (stage.loss, counted.tobytes())
        if case not in told:  # the same warning need not come for every stage
            check_labels(frames.train, {term: getattr(stage.loss, term) for term in TERMS}, counted)
        told.add(case)
    names = config.data.validation_names()
    table = frames.validation
    labelled = table.has("energy") | table.has("forces") | table.has("stress")
    validating = {names[number] for number in np.unique(frames.validation_sets[labelled])}
    for name in config.best_by:
        if name not in validating:
            msg = f"best_by: source {name} has no labelled structures to validate with"
            raise DataError(msg)


def _validation_errors(config: TrainingConfig) -> ValidationErrors:
    names = config.data.validation_names()
    sources = config.data.validation or config.data.train
    weights = {source.name: [getattr(source.weights, term) for term in TERMS] for source in reversed(sources)}
    return ValidationErrors(
        Loss(**config.loss.model_dump()), names, [weights[name] for name in names], best_by=config.best_by
    )


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


def _metadata(
    config: TrainingConfig, start: Start, step: int, found: Mapping[str, float], averaged: Sequence[int]
) -> dict[str, Any]:
    """What the model file says about where it comes from; the training file's own words come last and win."""
    errors = {
        f"validation {name} MAE": f"{found[key]:.4g} {unit}" for name, key, unit in shown_errors("val") if key in found
    }
    sources = config.data.train
    train = start.frames.train
    counts = np.bincount(train.sources, minlength=len(sources)).tolist()
    labelled = set(train.sources[train.has("energy")].tolist())
    references = {
        source.name: dict(zip(start.model.config.elements, np.round(values, 6).tolist(), strict=True))
        for number, (source, values) in enumerate(zip(sources, start.reference_energies, strict=True))
        if number in labelled
    }
    return {
        **start.metadata,
        "name": config.name,
        "training_data": [f"{source.name}: {n} structures" for source, n in zip(sources, counts, strict=True)],
        "errors": errors,
        "steps": step,
        **({"averaged_steps": list(averaged)} if averaged else {}),
        "tribond_version": tribond.__version__,
        **config.model_dump(mode="json")["metadata"],
        "reference_energies": references,
    }
