"""Batches of structures with properties, and where a training stands in them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tribond.data.property_table import PropertyTable
from tribond.data.sampler import EdgeBudgetBatches, StepBatches
from tribond.errors import ConfigError, DataError, StructureError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.nn.config import M3GNetConfig
from tribond.training.property_config import PropertyTrainingConfig

KEPT_EDGES = 4_000_000  # bonds of graphs that are kept in memory, some 300 MB; others are built again each epoch


@dataclass(frozen=True, eq=False)
class PropertyBatch:
    """A batch of systems with what the network shall say about them; NaN marks what is missing."""

    graph: AtomGraph
    target: Tensor  # (systems, targets) float32; of classes their number

    @classmethod
    def batch(cls, parts: Sequence["PropertyBatch"]) -> Self:
        """Concatenate."""
        return cls(AtomGraph.batch([part.graph for part in parts]), torch.cat([part.target for part in parts]))

    def to(self, device: torch.device | str, *_: Any, **__: Any) -> Self:
        """The same on another device."""
        return type(self)(self.graph.to(device), self.target.to(device))


class PropertyDataset(Dataset[PropertyBatch]):
    """Structures as graphs with targets.

    Args:
        table: structures and states.
        targets: (rows, targets) what the network shall say.
        config: gives cutoffs and the kind of state.
        state_scale: what numbers of the state are divided by.
    """

    def __init__(
        self,
        table: PropertyTable,
        targets: NDArray[np.float64],
        config: M3GNetConfig,
        state_scale: NDArray[np.float64] | None,
    ) -> None:
        self.table = table
        self.config = config
        self.targets = torch.from_numpy(targets).float()
        self.states: Tensor | None = None
        if table.states is not None and config.state == "categorical":
            self.states = torch.from_numpy(table.states[:, 0].astype(np.int64))
        elif table.states is not None:
            self.states = torch.from_numpy(table.states / (1.0 if state_scale is None else state_scale))
        self.kept: dict[int, AtomGraph] = {}
        self.room = KEPT_EDGES

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.table)

    def __getitem__(self, index: int) -> PropertyBatch:
        """One structure as a batch of one.

        Raises:
            DataError: if the structure cannot be used; names file and row.
        """
        return PropertyBatch(self._graph(index), self.targets[index : index + 1])

    def num_edges(self) -> NDArray[np.int64]:
        """(structures,) bonds of each."""
        return np.array([self._graph(index).num_edges for index in range(len(self))], dtype=np.int64)

    def _graph(self, index: int) -> AtomGraph:
        if index in self.kept:
            return self.kept[index]
        try:
            graph = atom_graph(self.table.structures[index], self.config.cutoff, self.config.threebody_cutoff)
        except StructureError as error:
            msg = f"{self.table.names[index]}: {error}"
            raise DataError(msg) from error
        if self.states is not None:
            graph = replace(graph, state=self.states[index : index + 1])
        if graph.num_edges <= self.room:
            self.room -= graph.num_edges
            self.kept[index] = graph
        return graph


class PropertyDataModule(LightningDataModule):
    """Loaders for Lightning, with the position in the epoch in the checkpoint.

    Args:
        train: to train on.
        validation: to validate with; may be empty.
        config: the training file.
    """

    def __init__(self, train: PropertyDataset, validation: PropertyDataset, config: PropertyTrainingConfig) -> None:
        super().__init__()
        self.train_set, self.validation_set, self.config = train, validation, config
        self.fingerprint = fingerprint(train, validation)
        self.batches: StepBatches | None = None
        self.start = (0, 0)  # epoch, and batches of it that are done

    def train_dataloader(self) -> DataLoader[PropertyBatch]:
        """One shuffled batch for every step still to come."""
        epochs = EdgeBudgetBatches(self.train_set.num_edges(), self.config.edge_budget, seed=self.config.seed)
        first_step = self.trainer.global_step if self.trainer else 0
        epoch, done = self.start
        self.batches = StepBatches(epochs, self.config.steps, first_step=first_step, epoch=epoch, done=done)
        return self._loader(self.train_set, self.batches)

    def val_dataloader(self) -> DataLoader[PropertyBatch] | list[Any]:
        """Batches in order."""
        if not len(self.validation_set):
            return []
        batches = EdgeBudgetBatches(self.validation_set.num_edges(), self.config.edge_budget, seed=None)
        return self._loader(self.validation_set, batches)

    def state_dict(self) -> dict[str, Any]:
        """Where in which epoch the training stands, and on which data."""
        if self.batches is None or self.trainer is None:
            return {}
        epoch, done = self.batches.position(self.trainer.global_step)
        return {"epoch": epoch, "done": done, "data": self.fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            ConfigError: if the data has changed since.
        """
        if not state_dict:
            return
        if state_dict["data"] != self.fingerprint:
            msg = "the data has changed since this training was interrupted; restore it, or start anew with --restart"
            raise ConfigError(msg)
        self.start = (state_dict["epoch"], state_dict["done"])

    def _loader(self, dataset: PropertyDataset, batches: Sampler[list[int]]) -> DataLoader[PropertyBatch]:
        workers = self.config.workers
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=PropertyBatch.batch,
            num_workers=workers,
            persistent_workers=workers > 0,
        )


def fingerprint(*sets: PropertyDataset) -> str:
    """A hash of all structures, targets and states: a training that goes on must go on with the same."""
    digest = hashlib.sha256()
    for dataset in sets:
        for atoms in dataset.table.structures:
            for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
                digest.update(np.ascontiguousarray(array).tobytes() + b"|")
        digest.update(dataset.targets.numpy().tobytes() + b"|")
        digest.update(b"" if dataset.states is None else dataset.states.numpy().tobytes())
        digest.update(b"||")
    return digest.hexdigest()
