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
from tribond.data.frame_table import FrameTable
from tribond.data.frames import LABELS, Frame
from tribond.data.read_table import read_table
from tribond.data.split import folds_of
from tribond.errors import DataError
from tribond.nn.config import M3GNetConfig
from tribond.training.data_config import DataConfig, SourceConfig
from tribond.units import EV_PER_A3_TO_GPA

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingFrames:
    """Frames of all sources; `Frame.source` counts the training sources."""

    train: FrameTable
    validation: FrameTable
    repeats: NDArray[np.float64]  # (train,) times an epoch that a frame is seen
    validation_sets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    # (validation,) row of `DataConfig.validation_names`: a source to validate with may share its zero with one of another name

    def fingerprint(self) -> str:
        """A hash of all structures and labels: a training that goes on must go on with the same."""
        digest = hashlib.sha256(self.repeats.tobytes())
        _update(digest, self.train)
        digest.update(b"|")
        _update(digest, self.validation)
        return digest.hexdigest()


def _update(digest: "hashlib._Hash", table: FrameTable) -> None:
    """Frame by frame, in the form in which checkpoints of tribond have always had it."""
    has_energy, has_stress = ~np.isnan(table.energies), table.has("stress")
    numbers = table.numbers.astype(np.int64)
    ends = table.offsets.tolist()
    rows = zip(has_energy.tolist(), table.has_forces.tolist(), has_stress.tolist(), strict=True)
    for row, (energy, forces, stress) in enumerate(rows):
        part = slice(ends[row], ends[row + 1])
        parts = [table.sources[row : row + 1], numbers[part], table.positions[part], table.cells[row], table.pbc[row]]
        parts += [table.energies[row : row + 1]] if energy else []
        parts += [table.forces[part]] if forces else []
        parts += [table.stresses[row]] if stress else []
        digest.update(b"".join([part.tobytes() for part in parts]) + b"|")


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
            held_out = folds_of(frames, config.validation_folds) == config.validation_fold
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
        msg = "no structure is left to train on; look at the filters (max_force_eV_per_A, ...) and validation_folds"
        raise DataError(msg)
    return TrainingFrames(
        FrameTable.joined(train),
        FrameTable.joined(validation),
        np.concatenate(repeats),
        np.concatenate(chosen).astype(np.int64) if chosen else np.zeros(0, dtype=np.int64),
    )


def _read_source(source: SourceConfig, folder: Path, number: int, cache: ArrayCache) -> FrameTable:
    files = [str(folder / Path(file).expanduser()) for file in source.files]
    frames = read_table(
        files,
        labels=source.labels,
        stress_unit=source.stress_unit,
        source=number,
        cache=cache,
        keys=source.keys(),
        options=source.reading(),
    )
    # NaN marks what is missing, and is not beyond anything.
    beyond = np.zeros(len(frames), dtype=bool)
    violent = (np.abs(frames.forces) > source.max_force_eV_per_A).any(axis=1)
    beyond[frames.frame_of_atom[violent]] = True
    beyond |= (np.abs(frames.stresses) * EV_PER_A3_TO_GPA > source.max_stress_GPa).any(axis=(1, 2))
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
        numbers = np.unique(frames.train.take(wrong).numbers)
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


def _knows(model: M3GNetConfig, frames: FrameTable) -> NDArray[np.bool_]:
    """(frames,) whether the model knows all elements of each."""
    unknown = np.ones(len(chemical_symbols) + 1, dtype=bool)
    unknown[[atomic_numbers[symbol] for symbol in model.elements]] = False
    usable = np.ones(len(frames), dtype=bool)
    usable[frames.frame_of_atom[unknown[frames.numbers]]] = False
    return usable


def check_labels(frames: Sequence[Frame], weights: dict[str, float], counted: NDArray[np.bool_] | None = None) -> None:
    """Warn of terms of the loss that no label feeds.

    Args:
        frames: to train on.
        weights: of energy, forces and stress.
        counted: (sources, 3) which of them a source has a weight for; None: all.

    Raises:
        DataError: if no term with a weight has a label, so that nothing would be learnt.
    """
    table = FrameTable.of(frames)
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
