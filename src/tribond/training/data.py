"""The data of a training: sources read, filtered, split, put on one zero of energy, and batched."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from tribond.data.dataset import FrameDataset, LabeledGraph, count_edges
from tribond.data.frames import Frame, read_frames
from tribond.data.reference_energies import fit_reference_energies
from tribond.data.sampler import EdgeBudgetBatches, StepBatches
from tribond.data.split import fold_of
from tribond.errors import ConfigError, DataError
from tribond.nn.config import M3GNetConfig
from tribond.training.config import DataConfig, SourceConfig, TrainingConfig
from tribond.units import EV_PER_A3_TO_GPA

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingFrames:
    """Frames of all sources; `Frame.source` counts the training sources."""

    train: list[Frame]
    validation: list[Frame]
    repeats: NDArray[np.float64]  # (train,) times an epoch that a frame is seen

    def fingerprint(self) -> str:
        """A hash of all structures and labels: a training that goes on must go on with the same."""
        digest = hashlib.sha256(self.repeats.tobytes())
        for frame in (*self.train, None, *self.validation):
            parts = () if frame is None else _content(frame)
            for part in parts:
                digest.update(np.ascontiguousarray(part).tobytes())
            digest.update(b"|")
        return digest.hexdigest()


def _content(frame: Frame) -> list[Any]:
    labels = [label for label in (frame.energy, frame.forces, frame.stress) if label is not None]
    return [frame.source, frame.atoms.numbers, frame.atoms.positions, frame.atoms.cell.array, frame.atoms.pbc, *labels]


def read_training_frames(config: DataConfig, folder: Path) -> TrainingFrames:
    """Read all sources and split them.

    Args:
        config: the `data` part of a training file.
        folder: what relative file names are relative to.

    Raises:
        DataError: if a file cannot be used or nothing is left to train on.
    """
    names = [source.name for source in config.train]
    train, validation, repeats = [], [], []
    for number, source in enumerate(config.train):
        frames = _read_source(source, folder, number)
        held_out = [
            not config.validation
            and config.validation_folds > 0
            and fold_of(str(frame.atoms.symbols), config.validation_folds) == config.validation_fold
            for frame in frames
        ]
        kept = [frame for frame, out in zip(frames, held_out, strict=True) if not out]
        train += kept
        repeats += [source.repeat] * len(kept)
        if source.in_validation:
            validation += [frame for frame, out in zip(frames, held_out, strict=True) if out]
        fate = "to validate" if source.in_validation else "left out"
        logger.info("%s: %d structures to train, %d %s", source.name, len(kept), sum(held_out), fate)
    for source in config.validation:
        number = names.index(source.name if source.name in names else source.reference_energies)
        frames = _read_source(source, folder, number)
        validation += frames
        logger.info("%s: %d structures to validate", source.name, len(frames))
    if not train:
        msg = "no structure is left to train on; look at the filters (max_force_eV_per_A, ...) and validation_folds"
        raise DataError(msg)
    return TrainingFrames(train, validation, np.array(repeats))


def _read_source(source: SourceConfig, folder: Path, number: int) -> list[Frame]:
    files = [str(folder / Path(file).expanduser()) for file in source.files]
    frames = read_frames(files, labels=source.labels, stress_unit=source.stress_unit, source=number)
    kept = [
        frame
        for frame in frames
        if (frame.forces is None or np.abs(frame.forces).max(initial=0) <= source.max_force_eV_per_A)
        and (frame.stress is None or np.abs(frame.stress).max() * EV_PER_A3_TO_GPA <= source.max_stress_GPa)
    ]
    if len(kept) < len(frames):
        logger.info("%s: %d of %d structures beyond the filters", source.name, len(frames) - len(kept), len(frames))
    return kept


def with_known_elements(frames: TrainingFrames, config: DataConfig, model: M3GNetConfig) -> TrainingFrames:
    """Leave out frames with elements that the model does not know; to train on, only where their source says "skip".

    Raises:
        DataError: naming the elements and the first frame that has them.
    """
    known = set(model.atomic_numbers)
    usable = np.array([known.issuperset(frame.atoms.numbers.tolist()) for frame in frames.train])
    unknown = [frame for frame, use in zip(frames.train, usable, strict=True) if not use]
    wrong = [frame for frame in unknown if config.train[frame.source].unknown_elements == "error"]
    if wrong:
        symbols = {symbol for frame in wrong for symbol in frame.atoms.symbols} - set(model.elements)
        msg = (
            f"{len(wrong)} structures to train on have elements that the model does not know: "
            f"{', '.join(sorted(symbols))} (first {wrong[0].origin}); choose a model that does (elements: data), "
            "or leave them out (unknown_elements: skip)"
        )
        raise DataError(msg)
    validation = [frame for frame in frames.validation if known.issuperset(frame.atoms.numbers.tolist())]
    left_out = len(unknown) + len(frames.validation) - len(validation)
    if left_out:
        logger.warning("%d structures left out: the model does not know all of their elements", left_out)
    train = [frame for frame, use in zip(frames.train, usable, strict=True) if use]
    if not train:
        msg = "no structure is left to train on: all have elements that the model does not know"
        raise DataError(msg)
    return TrainingFrames(train, validation, frames.repeats[usable])


def check_labels(frames: TrainingFrames, weights: dict[str, float]) -> None:
    """Warn of terms of the loss that no label feeds.

    Args:
        frames: the data.
        weights: of energy, forces and stress.

    Raises:
        DataError: if no term with a weight has a label, so that nothing would be learnt.
    """
    counts = Counter(name for frame in frames.train for name in weights if getattr(frame, name) is not None)
    idle = [name for name, weight in weights.items() if weight and not counts[name]]
    if len(idle) == sum(weight > 0 for weight in weights.values()):
        msg = f"no structure to train on has {' or '.join(idle)}, but nothing else has a weight in the loss"
        raise DataError(msg)
    for name in idle:
        logger.warning("no structure to train on has %s: this term of the loss does nothing", name)
    for name, weight in weights.items():
        if counts[name] and not weight:
            logger.warning("%d structures have %s, but its weight in the loss is zero", counts[name], name)


def reference_energies_of_sources(
    frames: Iterable[Frame], config: DataConfig, model: M3GNetConfig
) -> NDArray[np.float64]:
    """Reference energies of every training source, its own or those it shares.  (sources, elements) eV."""
    names = [source.name for source in config.train]
    own = [
        number if source.reference_energies == "fit" else names.index(source.reference_energies)
        for number, source in enumerate(config.train)
    ]
    groups: list[list[Frame]] = [[] for _ in names]
    for frame in frames:
        groups[own[frame.source]].append(frame)
    fitted = [
        fit_reference_energies(group, model.atomic_numbers, name) for group, name in zip(groups, names, strict=True)
    ]
    return np.stack([fitted[number] for number in own])


def on_model_zero(frames: Sequence[Frame], reference_energies: NDArray[np.float64], model: M3GNetConfig) -> list[Frame]:
    """The frames with their energies moved from the zero of their source to that of the first, which is the model's.

    Args:
        frames: with elements that the model knows.
        reference_energies: (sources, elements) eV.
        model: gives the order of elements.
    """
    shifts = np.zeros((len(reference_energies), 119))
    shifts[:, list(model.atomic_numbers)] = reference_energies[0] - reference_energies
    return [
        frame
        if frame.energy is None
        else replace(frame, energy=frame.energy + float(shifts[frame.source, frame.atoms.numbers].sum()))
        for frame in frames
    ]


class TrainingData(LightningDataModule):
    """Loaders for Lightning, with the position in the epoch in the checkpoint.

    Args:
        frames: from `read_training_frames`.
        config: the training file.
        model: gives cutoffs and elements.
        reference_energies: (sources, elements) eV; the first source's are the model's.
        progress: show a bar while bonds are counted.
    """

    def __init__(
        self,
        frames: TrainingFrames,
        config: TrainingConfig,
        model: M3GNetConfig,
        reference_energies: NDArray[np.float64],
        *,
        progress: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        shift = reference_energies[0] - reference_energies
        self.train_set = FrameDataset(frames.train, model, shift)
        self.validation_set = FrameDataset(frames.validation, model, shift)
        self.repeats = frames.repeats
        self.fingerprint = frames.fingerprint()
        self.progress = progress
        self.train_batches: StepBatches | None = None
        self.epoch, self.done = 0, 0  # where to go on

    def train_dataloader(self) -> DataLoader[LabeledGraph]:
        """One shuffled batch for every step still to come."""
        rank, world_size = self._process()
        epochs = EdgeBudgetBatches(
            self._count(self.train_set),
            self.config.edge_budget,
            seed=self.config.seed,
            repeats=self.repeats,
            rank=rank,
            world_size=world_size,
        )
        first_step = self.trainer.global_step if self.trainer else 0
        self.train_batches = StepBatches(
            epochs, self.config.steps, first_step=first_step, epoch=self.epoch, done=self.done
        )
        return self._loader(self.train_set, self.train_batches)

    def val_dataloader(self) -> DataLoader[LabeledGraph] | list[Any]:
        """Batches in order."""
        if not self.validation_set.frames:
            return []
        rank, world_size = self._process()
        batches = EdgeBudgetBatches(
            self._count(self.validation_set), self.config.edge_budget, seed=None, rank=rank, world_size=world_size
        )
        return self._loader(self.validation_set, batches)

    def state_dict(self) -> dict[str, Any]:
        """Where in which epoch the training stands, and on which data."""
        if self.train_batches is None or self.trainer is None:
            return {}
        epoch, done = self.train_batches.position(self.trainer.global_step)
        return {"epoch": epoch, "done": done, "data": self.fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            ConfigError: if the data has changed since.
        """
        if not state_dict:
            return
        if state_dict.get("data", self.fingerprint) != self.fingerprint:
            msg = "the data has changed since this training was interrupted; restore it, or start anew with --restart"
            raise ConfigError(msg)
        self.epoch, self.done = state_dict["epoch"], state_dict["done"]

    def _process(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _count(self, dataset: FrameDataset) -> NDArray[np.int64]:
        indices = range(len(dataset))
        hidden = None if self.progress else True  # None: where there is no terminal
        return count_edges(dataset, tqdm(indices, "counting bonds", leave=False, disable=hidden, unit=" structures"))

    def _loader(self, dataset: FrameDataset, batches: EdgeBudgetBatches | StepBatches) -> DataLoader[LabeledGraph]:
        workers = self.config.workers
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=LabeledGraph.batch,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
