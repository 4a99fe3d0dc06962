"""From a training file with a block `property` to a model file: `tribond train` for models of properties."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback

import tribond
from tribond.checkpoints.native import save_model
from tribond.data.property_table import PropertyTable, read_property_table
from tribond.errors import ConfigError, DataError, TribondError
from tribond.interrupt import stop_requests
from tribond.nn.m3gnet import M3GNet
from tribond.reading.content import Options
from tribond.training.callbacks import MovingAverage
from tribond.training.config import LossConfig
from tribond.training.curves import LearningCurves, draw_curves
from tribond.training.devices import launch_of
from tribond.training.environment import record_start
from tribond.training.going_on import checkpoint_to_go_on_from, clear, only_training_in
from tribond.training.keep_last import KeepLast
from tribond.training.lightning_internals import steps_in
from tribond.training.live_view import LiveView
from tribond.training.loggers import check_loggers, make_loggers
from tribond.training.logs import quiet_lightning
from tribond.training.precision import single_precision
from tribond.training.property_config import PropertyTrainingConfig
from tribond.training.property_data import PropertyDataModule, PropertyDataset
from tribond.training.property_loss import PropertyLoss
from tribond.training.property_module import KeepBestProperty, PropertyTraining
from tribond.training.property_start import (
    PropertyStart,
    make_property_start,
    normalised,
    served,
    tell_rare_elements,
    with_known_elements,
)
from tribond.training.stages import Stage
from tribond.training.trainer import make_trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PropertyResult:
    """What a training of properties leaves."""

    output: Path
    model_file: Path
    train: PropertyTable
    validation: PropertyTable | None  # None: nothing was held out
    test: PropertyTable | None


@dataclass(frozen=True)
class _Split:
    train: PropertyTable
    validation: PropertyTable | None
    test: PropertyTable | None


def train_property(
    config: PropertyTrainingConfig, folder: Path, *, restart: bool = False, progress: bool = True
) -> PropertyResult:
    """Train a model of properties, or go on with a training that was interrupted.

    The folder and its rules are those of `tribond.training.run.train`. Of a cross-validation see
    `tribond.training.cross_validation`.

    Args:
        config: the training file.
        folder: what file names in it are relative to.
        restart: begin anew even if there is a checkpoint.
        progress: show a bar, if there is a terminal.

    Raises:
        ConfigError: as of `train`.
        DataError: if the data cannot be used; names the row.
        TribondError: if the training diverges.
        Interrupted: on Ctrl-C or SIGTERM, after saving.
        CheckpointError: if the checkpoint to go on from is damaged.
    """
    output = folder / Path(config.output).expanduser()
    with only_training_in(output):
        return _train(config, folder, output, restart=restart, progress=progress)


def _train(
    config: PropertyTrainingConfig, folder: Path, output: Path, *, restart: bool, progress: bool
) -> PropertyResult:
    launch = launch_of(config.devices, config.nodes)
    if launch.several:
        msg = (
            "models of properties are trained by one process on one device; start one, and leave out devices and nodes"
        )
        raise ConfigError(msg)
    check_loggers(config)
    checkpoint = None if restart else checkpoint_to_go_on_from(output, config)
    split = _read(config, folder)
    start = make_property_start(config, split.train, folder)
    split = _known(config, split, start)
    model, wanted = start.model, config.property

    def dataset(table: PropertyTable) -> PropertyDataset:
        return PropertyDataset(table, normalised(table, wanted, model.config), model.config, start.state_scale)

    nothing = split.train.take(np.zeros(0, dtype=np.int64))
    data = PropertyDataModule(dataset(split.train), dataset(split.validation or nothing), config)
    loss = PropertyLoss(config.loss, [target.weight for target in wanted.targets], model.config.classification)
    rate = config.optimizer.learning_rate
    old_rate = rate * config.model.base_learning_rate_fraction
    rates = {} if config.model.start_from is None else {n: old_rate for n, _ in model.named_parameters()}
    module = PropertyTraining(
        model,
        loss,
        _schedule(config),
        [target.name for target in wanted.targets],
        frozen=config.model.freeze,
        rates={name: rate for name, rate in rates.items() if name not in start.new},
    )
    model_file = output / "model.safetensors"

    def write(model: M3GNet, step: int, found: Mapping[str, float]) -> None:
        save_model(model_file, served(model, start.state_scale), _metadata(config, start, split, step, found))

    first_step = 0 if checkpoint is None else steps_in(checkpoint)
    if checkpoint is None:
        clear(output, config)
    average = MovingAverage(config.optimizer.ema_decay)
    best = KeepBestProperty(average, write, config.patience, validates=split.validation is not None)
    best.units = {target.name: target.unit for target in wanted.targets}
    log, curves = output / "logs" / "csv" / "metrics.csv", output / "learning_curves.png"
    callbacks: list[Callback] = [average, best, LearningCurves(log, curves, config.name)]
    callbacks += [LiveView(config.name, best)] if progress else []
    record_start(output / "environment.json", launch, first_step)
    with (
        quiet_lightning(),
        stop_requests("this step, or after the validation if one is running") as stop,
        single_precision(allow_tf32=config.allow_tf32),
    ):
        last = KeepLast(output / "checkpoints" / "last.ckpt", 60 * config.checkpoint_every_minutes, stop)
        trainer = make_trainer(config, launch, [*callbacks, last], make_loggers(config, output, first_step))
        trainer.fit(module, data, ckpt_path=None if checkpoint is None else str(checkpoint), weights_only=True)
    draw_curves(log, curves, config.name)
    if not model_file.is_file():
        msg = (
            f"there is no {model_file}: no validation gave a finite loss, or it was removed; start anew with --restart"
        )
        raise TribondError(msg)
    return PropertyResult(output, model_file, split.train, split.validation, split.test)


def read_table(config: PropertyTrainingConfig, files: Sequence[str], folder: Path) -> PropertyTable:
    """The rows of some files, as a training file wants them.

    Raises:
        DataError: naming the file or the row.
    """
    return read_property_table(
        files,
        config.property.columns(),
        state=config.property.state_columns(),
        structure=config.data.structure,
        identity=config.data.id,
        options=Options(config.data.format),
        bad_rows=config.data.bad_rows,
        folder=folder,
    )


def _read(config: PropertyTrainingConfig, folder: Path) -> _Split:
    data = config.data
    table = read_table(config, data.files, folder)
    folds = table.folds(data.validation_folds) if data.validation_folds else np.full(len(table), -1)
    testing = folds == (-2 if data.test_fold is None else data.test_fold)
    validating = np.zeros(len(table), dtype=bool) if data.validation else (folds == data.validation_fold) & (folds >= 0)
    train = table.take(~(testing | validating))
    validation = read_table(config, data.validation, folder) if data.validation else table.take(validating)
    test = read_table(config, data.test, folder) if data.test else table.take(testing)
    if not len(train):
        msg = "no structure is left to train on; look at validation_folds"
        raise DataError(msg)
    wanted = bool(data.validation) or data.validation_folds > 0
    if wanted and not len(validation):
        logger.warning("no structure is held out to validate with: the model will be that of the last step")
    logger.info("%d structures to train, %d to validate, %d to test", len(train), len(validation), len(test))
    return _Split(train, validation if len(validation) else None, test if len(test) else None)


def _known(config: PropertyTrainingConfig, split: _Split, start: PropertyStart) -> _Split:
    skip = config.data.unknown_elements == "skip"

    def known(table: PropertyTable | None, what: str, *, skip: bool = True) -> PropertyTable | None:
        found = None if table is None else with_known_elements(table, start.model.config, skip=skip, what=what)
        return found if found is not None and len(found) else None

    train = known(split.train, "to train on", skip=skip)
    if train is None:
        msg = "no structure is left to train on: all have elements that the model does not know"
        raise DataError(msg)
    validation, test = known(split.validation, "to validate"), known(split.test, "to test")
    for table, what in ((validation, "to validate"), (test, "to test")):
        if table is not None:
            tell_rare_elements(train, table, what)
    return _Split(train, validation, test)


def _schedule(config: PropertyTrainingConfig) -> Stage:
    optimizer = config.optimizer
    return Stage(
        name="1",
        first_step=0,
        steps=config.steps,
        learning_rate=optimizer.learning_rate,
        final_learning_rate_fraction=optimizer.final_learning_rate_fraction,
        warmup_steps=optimizer.warmup_steps,
        edge_budget=config.edge_budget,
        loss=LossConfig(),
        weights=(),
        shares=(),
        repeats=(),
    )


def _metadata(
    config: PropertyTrainingConfig, start: PropertyStart, split: _Split, step: int, found: Mapping[str, float]
) -> dict[str, Any]:
    """What the model file says about what it predicts and where it comes from."""
    wanted = config.property
    targets = [{"name": it.name, "unit": it.unit, "key": it.key or it.name, "log": it.log} for it in wanted.targets]
    one = len(targets) == 1
    stated: dict[str, Any] = {
        "name": targets[0]["name"] if one else ", ".join(str(it["name"]) for it in targets),
        "unit": targets[0]["unit"] if one else "",
        "kind": wanted.kind,
        "targets": targets,
    }
    if wanted.classes:
        stated["classes"] = wanted.classes
    if wanted.state is not None:
        stated["state"] = wanted.state.model_dump(mode="json")
    units = {target.name: target.unit for target in wanted.targets}
    errors = {}
    for key, value in found.items():
        name, _, kind = key.removeprefix("val/").rpartition("/")
        if name and math.isfinite(value):
            errors[f"validation {name} {kind}"] = f"{value:.4g} {units.get(name, '') if kind == 'MAE' else ''}".rstrip()
    return {
        **start.metadata,
        "name": config.name,
        "property": stated,
        "training_data": [f"{len(split.train)} structures of {', '.join(config.data.files)}"],
        "errors": errors,
        "steps": step,
        "tribond_version": tribond.__version__,
        **config.model_dump(mode="json")["metadata"],
    }
