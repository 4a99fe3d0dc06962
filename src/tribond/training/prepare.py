"""From a training file to what a training needs: data, model, and what is fitted to what."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tribond.data.array_cache import ArrayCache
from tribond.data.frames import LABELS
from tribond.errors import DataError
from tribond.training.config import TrainingConfig
from tribond.training.data_module import TrainingData
from tribond.training.loss import TERMS, Loss
from tribond.training.module import PotentialTraining
from tribond.training.parts import freeze
from tribond.training.sources import TrainingFrames, check_labels, read_training_frames
from tribond.training.stages import Stage, stages_of
from tribond.training.start import Start, make_start
from tribond.training.validation import ValidationErrors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Everything that stands before the first step."""

    stages: list[Stage]
    start: Start
    data: TrainingData
    module: PotentialTraining


def prepare(config: TrainingConfig, folder: Path, cache: ArrayCache, *, progress: bool) -> Prepared:
    """Read the data, make or load the model, and check that they fit.

    Args:
        config: the training file.
        folder: what file names in it are relative to.
        cache: keeps what was read and counted.
        progress: show bars, if there is a terminal.

    Raises:
        ConfigError: if a setting makes no sense.
        DataError: if the data cannot be used.
    """
    stages = stages_of(config)
    frames = read_training_frames(config.data, folder, cache)
    start = make_start(config, frames, folder, cache)
    _check_data(config, stages, start.frames)
    data = TrainingData(
        start.frames, config, start.model.config, start.reference_energies, progress=progress, cache=cache
    )
    freeze(start.model, config.model.freeze)
    module = PotentialTraining(start.model, stages, config.optimizer.learning_rate, _validation_errors(config))
    return Prepared(stages, start, data, module)


def _check_data(config: TrainingConfig, stages: Sequence[Stage], frames: TrainingFrames) -> None:
    """Refuse data that cannot do what the settings want of it.

    Raises:
        DataError: if no term with a weight has a label in some stage, or a source in `best_by` cannot validate.
    """
    _tell_missing(config, frames)
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


def _tell_missing(config: TrainingConfig, frames: TrainingFrames) -> None:
    """Warn of labels that a source is to have, by its `labels` or `weights`, and has not."""
    for number, source in enumerate(config.data.train):
        mine = frames.train.take(frames.train.sources == number)
        for label in LABELS:
            named = label in source.labels and "labels" in source.model_fields_set
            weighted = label in source.weights.model_fields_set and getattr(source.weights, label) > 0
            if len(mine) and (named or weighted) and not mine.has(label).any():
                setting = "labels" if named else "weights"
                logger.warning("source %s: %s names %s, but none of its structures has it", source.name, setting, label)


def _validation_errors(config: TrainingConfig) -> ValidationErrors:
    names = config.data.validation_names()
    sources = config.data.validation or config.data.train
    weights = {source.name: [getattr(source.weights, term) for term in TERMS] for source in reversed(sources)}
    return ValidationErrors(
        Loss(**config.loss.model_dump()), names, [weights[name] for name in names], best_by=config.best_by
    )
