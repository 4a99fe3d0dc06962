"""The sources of a training: read, filtered, and split into what trains and what validates."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from tribond.data.array_cache import ArrayCache
from tribond.data.frame_set import FrameSet
from tribond.data.frames import LABELS, Frame
from tribond.data.joined_frames import frame_set, joined
from tribond.data.read_table import read_table
from tribond.data.store.select import read_store
from tribond.errors import DataError
from tribond.nn.config import M3GNetConfig
from tribond.training.data_config import DataConfig, SourceConfig
from tribond.units import EV_PER_A3_TO_GPA

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingFrames:
    """Frames of all sources; `Frame.source` counts the training sources."""

    train: FrameSet
    validation: FrameSet
    repeats: NDArray[np.float64]  # (train,) times an epoch that a frame is seen
    validation_sets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    # (validation,) row of `DataConfig.validation_names`: a source to validate with may share its zero with one of another name

    def fingerprint(self) -> str:
        """A hash of all structures and labels: a training that goes on must go on with the same."""
        digest = hashlib.sha256(self.repeats.tobytes())
        self.train.update(digest)
        digest.update(b"|")
        self.validation.update(digest)
        return digest.hexdigest()


def read_training_frames(config: DataConfig, folder: Path, cache: ArrayCache | None = None) -> TrainingFrames:
    """Read all sources and split them.

    Args:
        config: the `data` part of a training file.
        folder: what relative file names are relative to.
        cache: keeps what was read.

    Raises:
        DataError: if a file cannot be used or nothing is left to train on.
    """
    cache = ArrayCache(None) if cache is None else cache
    names = [source.name for source in config.train]
    sets = config.validation_names()
    train, validation, repeats, chosen = [], [], [], []
    for number, source in enumerate(config.train):
        frames = _read_source(source, folder, number, cache)
        held_out = np.zeros(len(frames), dtype=bool)
        if not config.validation and config.validation_folds > 0:
            held_out = frames.fold(config.validation_folds, config.split_by) == config.validation_fold
        train.append(frames.take(~held_out))
        repeats.append(np.full(len(train[-1]), source.repeat))
        if source.in_validation:
            validation.append(frames.take(held_out))
            chosen.append(np.full(len(validation[-1]), sets.index(source.name) if held_out.any() else 0))
        fate = "to validate" if source.in_validation else "left out"
        logger.info("%s: %d structures to train, %d %s", source.name, len(train[-1]), held_out.sum(), fate)
    for source in config.validation:
        number = names.index(source.name if source.name in names else source.reference_energies)
        validation.append(_read_source(source, folder, number, cache))
        chosen.append(np.full(len(validation[-1]), sets.index(source.name)))
        logger.info("%s: %d structures to validate", source.name, len(validation[-1]))
    if not sum(map(len, train)):
        msg = (
            "no structure is left to train on: those that the filters (max_force_eV_per_A, ...) leave are all of compounds "
            "that are held out; for a single compound name files in `validation`, or set validation_folds to 0"
            if sum(map(len, validation))
            else "no structure is left to train on; look at the filters (max_force_eV_per_A, ...) and validation_folds"
        )
        raise DataError(msg)
    return TrainingFrames(
        joined(train),
        joined(validation),
        np.concatenate(repeats),
        np.concatenate(chosen).astype(np.int64) if chosen else np.zeros(0, dtype=np.int64),
    )


def _read_source(source: SourceConfig, folder: Path, number: int, cache: ArrayCache) -> FrameSet:
    frames: FrameSet
    if source.store is not None:
        frames = read_store(
            folder / Path(source.store).expanduser(), level=source.level, labels=source.labels, source=number
        )
    else:
        frames = read_table(
            [str(folder / Path(file).expanduser()) for file in source.files],
            labels=source.labels,
            stress_unit=source.stress_unit,
            source=number,
            cache=cache,
            keys=source.keys(),
            options=source.reading(),
        )
    # NaN marks what is missing, and is not beyond anything.
    beyond = np.asarray(frames.largest_forces > source.max_force_eV_per_A)
    beyond |= frames.largest_stresses * EV_PER_A3_TO_GPA > source.max_stress_GPa
    if beyond.any():
        logger.info("%s: %d of %d structures beyond the filters", source.name, beyond.sum(), len(frames))
    return frames.take(~beyond)


def with_known_elements(frames: TrainingFrames, config: DataConfig, model: M3GNetConfig) -> TrainingFrames:
    """Leave out frames with elements that the model does not know; to train on, only where their source says "skip".

    Raises:
        DataError: naming the elements and the first frame that has them.
    """
    usable = _knows(model, frames.train)
    strict = np.array([source.unknown_elements == "error" for source in config.train])
    wrong = np.flatnonzero(~usable & strict[frames.train.sources])
    if len(wrong):
        numbers = frames.train.composition.take(wrong).elements()
        symbols = {chemical_symbols[number] for number in numbers} - set(model.elements)
        msg = (
            f"{len(wrong)} structures to train on have elements that the model does not know: "
            f"{', '.join(sorted(symbols))} (first {frames.train.origin(int(wrong[0]))}); choose a model that does "
            "(elements: data), or leave them out (unknown_elements: skip)"
        )
        raise DataError(msg)
    comparable = _knows(model, frames.validation)
    left_out = int((~usable).sum() + (~comparable).sum())
    if left_out:
        logger.warning("%d structures left out: the model does not know all of their elements", left_out)
    if not usable.any():
        msg = "no structure is left to train on: all have elements that the model does not know"
        raise DataError(msg)
    return TrainingFrames(
        frames.train.take(usable),
        frames.validation.take(comparable),
        frames.repeats[usable],
        frames.validation_sets[comparable],
    )


def _knows(model: M3GNetConfig, frames: FrameSet) -> NDArray[np.bool_]:
    """(frames,) whether the model knows all elements of each."""
    return frames.composition.only([atomic_numbers[symbol] for symbol in model.elements])


def check_labels(frames: Sequence[Frame], weights: dict[str, float], counted: NDArray[np.bool_] | None = None) -> None:
    """Warn of terms of the loss that no label feeds.

    Args:
        frames: to train on.
        weights: of energy, forces and stress.
        counted: (sources, 3) which of them a source has a weight for; None: all.

    Raises:
        DataError: if no term with a weight has a label, so that nothing would be learnt.
    """
    table = frame_set(frames)
    taught = np.ones((len(table), 3), dtype=bool) if counted is None else counted[table.sources]
    counts: dict[str, int] = {
        label: int((table.has(label) & taught[:, column]).sum()) for column, label in enumerate(LABELS)
    }
    idle = [name for name, weight in weights.items() if weight and not counts[name]]
    if len(idle) == sum(weight > 0 for weight in weights.values()):
        msg = f"no structure to train on has {' or '.join(idle)}, but nothing else has a weight in the loss"
        raise DataError(msg)
    for name in idle:
        logger.warning("no structure to train on has %s: this term of the loss does nothing", name)
    for name, weight in weights.items():
        if counts[name] and not weight:
            logger.warning("%d structures have %s, but its weight in the loss is zero", counts[name], name)
