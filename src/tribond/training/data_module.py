"""Batches for Lightning, and where a training stands in them."""

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from tribond.data.array_cache import ArrayCache, Arrays, digest_of
from tribond.data.dataset import FrameDataset, LabeledGraph, count_edges
from tribond.data.frame_table import FrameTable
from tribond.data.loader import LoaderAhead
from tribond.data.mixture import MixedBatches, Position, StagedBatches, shares_of
from tribond.data.read_table import WORTH_KEEPING
from tribond.data.sampler import EdgeBudgetBatches, PartsOfBatches, StepBatches
from tribond.errors import ConfigError
from tribond.nn.config import M3GNetConfig
from tribond.training.config import TrainingConfig
from tribond.training.sources import TrainingFrames
from tribond.training.stages import are_mixed, stages_of

COUNTING = 1  # to be raised whenever bonds are counted in another way


class TrainingData(LightningDataModule):
    """Loaders for Lightning, with the position in the epoch in the checkpoint.

    Args:
        frames: from `read_training_frames`.
        config: the training file.
        model: gives cutoffs and elements.
        reference_energies: (sources, elements) eV; the first source's are the model's.
        progress: show a bar while bonds are counted.
        cache: keeps how many bonds there are.
    """

    def __init__(
        self,
        frames: TrainingFrames,
        config: TrainingConfig,
        model: M3GNetConfig,
        reference_energies: NDArray[np.float64],
        *,
        progress: bool = False,
        cache: ArrayCache | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.stages = stages_of(config)
        shift = reference_energies[0] - reference_energies
        self.train_set = FrameDataset(frames.train, model, shift)
        self.validation_set = FrameDataset(frames.validation, model, shift, frames.validation_sets)
        self.repeats = frames.repeats
        self.fingerprint = frames.fingerprint()
        self.progress = progress
        self.cache = ArrayCache(None) if cache is None else cache
        self.train_batches: StepBatches | StagedBatches | None = None
        self.start = Position()  # where to go on

    def train_dataloader(self) -> DataLoader[LabeledGraph]:
        """One shuffled batch for every step still to come."""
        num_edges = self._count(self.train_set)
        first_step = self.trainer.global_step if self.trainer else 0
        self.train_batches = self._staged(num_edges, first_step) if are_mixed(self.config) else None
        if self.train_batches is None:
            epochs = EdgeBudgetBatches(num_edges, self.config.edge_budget, seed=self.config.seed, repeats=self.repeats)
            self.train_batches = StepBatches(
                epochs, self.config.steps, first_step=first_step, epoch=self.start.epoch, done=self.start.done
            )
        parts = PartsOfBatches(self.train_batches, num_edges, *self._process())
        return self._loader(self.train_set, parts)

    def val_dataloader(self) -> DataLoader[LabeledGraph] | list[Any]:
        """Batches in order."""
        return self.validation_batches(*self._process())

    def validation_batches(self, rank: int = 0, world_size: int = 1) -> DataLoader[LabeledGraph] | list[Any]:
        """What one of several processes validates; by default everything."""
        if not len(self.validation_set):
            return []
        num_edges = self._count(self.validation_set)
        batches = EdgeBudgetBatches(num_edges, self.config.edge_budget, seed=None)
        return self._loader(self.validation_set, PartsOfBatches(batches, num_edges, rank, world_size))

    def state_dict(self) -> dict[str, Any]:
        """Where in which epoch the training stands, and on which data."""
        if self.train_batches is None or self.trainer is None:
            return {}
        where = self.train_batches.position(self.trainer.global_step)
        if isinstance(where, Position):
            return asdict(where) | {"data": self.fingerprint}
        epoch, done = where
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
        self.start = Position(
            stage=state_dict.get("stage", 0),
            epoch=state_dict["epoch"],
            done=state_dict["done"],
            drawn=tuple(state_dict.get("drawn", ())),
        )

    def _staged(self, num_edges: NDArray[np.int64], first_step: int) -> StagedBatches:
        sources = self.train_set.frames.sources
        sizes = np.bincount(sources, minlength=len(self.config.data.train))
        names = [source.name for source in self.config.data.train]
        shares = [shares_of(sizes, stage.shares, stage.repeats, names) for stage in self.stages]  # all, to fail early

        def make(stage: int, drawn: tuple[int, ...]) -> MixedBatches:
            return MixedBatches(
                num_edges,
                self.stages[stage].edge_budget,
                seed=self.config.seed,
                sources=sources,
                shares=shares[stage],
                drawn=drawn,
            )

        ends = [stage.end for stage in self.stages]
        return StagedBatches(make, ends, first_step=first_step, position=self.start)

    def _process(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _count(self, dataset: FrameDataset) -> NDArray[np.int64]:
        def make() -> Arrays:
            indices = range(len(dataset))
            hidden = None if self.progress else True  # None: where there is no terminal
            shown = tqdm(indices, "counting bonds", leave=False, disable=hidden, unit=" structures")
            return {"edges": count_edges(dataset, shown)}

        frames, model = dataset.frames, dataset.config
        known = frames.known_edges(model.cutoff)
        if known is not None:
            return known
        if self.cache.folder is None:
            return make()["edges"]
        if isinstance(frames, FrameTable):
            structures = [frames.offsets, frames.numbers, frames.positions, frames.cells, frames.pbc]
        else:
            digest = hashlib.sha256()
            frames.update(digest)
            structures = [np.frombuffer(digest.digest(), dtype=np.uint8)]
        key = digest_of(COUNTING, model.cutoff, model.threebody_cutoff, model.elements, *structures)
        return self.cache.get("bonds", key, make, keep=lambda new: len(new["edges"]) >= WORTH_KEEPING)["edges"]

    def _loader(self, dataset: FrameDataset, batches: Sampler[list[int]]) -> DataLoader[LabeledGraph]:
        workers = self.config.workers
        return LoaderAhead(
            dataset,
            batch_sampler=batches,
            collate_fn=LabeledGraph.batch,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
