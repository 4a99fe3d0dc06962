"""The data of a training: sources read, filtered, split, put on one zero of energy, and batched."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from rich.progress import track
from torch.utils.data import DataLoader

from tribond.data.dataset import EdgeBudgetBatches, FrameDataset, LabeledGraph, count_edges
from tribond.data.frames import Frame, read_frames
from tribond.data.reference_energies import fit_reference_energies
from tribond.data.split import fold_of
from tribond.errors import DataError
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
        logger.info("%s: %d to train, %d to validate", source.name, len(kept), sum(held_out))
    for source in config.validation:
        number = names.index(source.name if source.name in names else source.reference_energies)
        validation += _read_source(source, folder, number)
    if not train:
        msg = "no frame is left to train on; look at the filters and the validation fraction"
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
        logger.info("%s: %d of %d frames beyond the filters", source.name, len(frames) - len(kept), len(frames))
    return kept


def reference_energies_of_sources(
    frames: Iterable[Frame], config: DataConfig, model: M3GNetConfig
) -> NDArray[np.float64]:
    """Reference energies of every training source, its own or those it shares.  (sources, elements) eV."""
    by_source: list[list[Frame]] = [[] for _ in config.train]
    names = [source.name for source in config.train]
    for frame in frames:
        zero = config.train[frame.source].reference_energies
        by_source[frame.source if zero == "fit" else names.index(zero)].append(frame)
    fitted = [
        fit_reference_energies(group, model.atomic_numbers, name) for group, name in zip(by_source, names, strict=True)
    ]
    own = [number if s.reference_energies == "fit" else names.index(s.reference_energies)
           for number, s in enumerate(config.train)]  # fmt: skip
    return np.stack([fitted[number] for number in own])


class TrainingData(LightningDataModule):
    """Loaders for Lightning, with the position in the epoch in the checkpoint.

    Args:
        frames: from `read_training_frames`.
        config: the training file.
        model: gives cutoffs and elements.
        reference_energies: (sources, elements) eV; the first source's are the model's.
    """

    def __init__(
        self,
        frames: TrainingFrames,
        config: TrainingConfig,
        model: M3GNetConfig,
        reference_energies: NDArray[np.float64],
    ) -> None:
        super().__init__()
        self.config = config
        shift = reference_energies[0] - reference_energies
        self.train_set = FrameDataset(frames.train, model, shift)
        self.validation_set = FrameDataset(frames.validation, model, shift)
        self.repeats = frames.repeats
        self.train_batches: EdgeBudgetBatches | None = None
        self.resumed: dict[str, Any] | None = None

    def train_dataloader(self) -> DataLoader[LabeledGraph]:
        """Shuffled batches."""
        if self.train_batches is None:
            world, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
            self.train_batches = EdgeBudgetBatches(
                self._count(self.train_set, "train"),
                self.config.edge_budget,
                seed=self.config.seed,
                repeats=self.repeats,
                rank=rank,
                world_size=world,
            )
        if self.resumed is not None:
            self.train_batches.epoch, self.train_batches.done = self.resumed["epoch"], self.resumed["done"]
            self.resumed = None
        return _loader(self.train_set, self.train_batches)

    def val_dataloader(self) -> DataLoader[LabeledGraph] | list[Any]:
        """Batches in order."""
        if not self.validation_set.frames:
            return []
        edges = self._count(self.validation_set, "validation")
        return _loader(self.validation_set, EdgeBudgetBatches(edges, self.config.edge_budget, seed=None))

    def state_dict(self) -> dict[str, Any]:
        """Where in which epoch the training stands."""
        batches = self.train_batches
        return {} if batches is None else {"epoch": batches.epoch, "done": batches.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.resumed = dict(state_dict) or None

    def _count(self, dataset: FrameDataset, name: str) -> NDArray[np.int64]:
        return count_edges(dataset, track(range(len(dataset)), f"counting bonds of {len(dataset)} {name} frames"))


def _loader(dataset: FrameDataset, batches: EdgeBudgetBatches) -> DataLoader[LabeledGraph]:
    return DataLoader(dataset, batch_sampler=batches, collate_fn=LabeledGraph.batch)


def without_unknown_elements(frames: TrainingFrames, config: DataConfig, model: M3GNetConfig) -> TrainingFrames:
    """Leave out frames with elements that the model does not know, where their source says "skip"."""
    known = set(model.atomic_numbers)

    def usable(frame: Frame) -> bool:
        skip = config.train[frame.source].unknown_elements == "skip"
        return not skip or known.issuperset(frame.atoms.numbers.tolist())

    kept = np.array([usable(frame) for frame in frames.train])
    validation = [frame for frame in frames.validation if usable(frame)]
    left_out = len(frames.train) + len(frames.validation) - int(kept.sum()) - len(validation)
    if left_out:
        logger.warning("%d frames left out: the model does not know all of their elements", left_out)
    train = [frame for frame, keep in zip(frames.train, kept, strict=True) if keep]
    return TrainingFrames(train, validation, frames.repeats[kept])
