"""Labels without what terms add: a network learns the rest, and the model file adds the terms again."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tribond.data.array_cache import ArrayCache, Arrays, digest_of
from tribond.data.frame_set import FrameSet
from tribond.data.frame_table import FrameTable
from tribond.data.read_table import WORTH_KEEPING
from tribond.errors import DataError, StructureError
from tribond.graph.build import atom_graph
from tribond.terms.term import Term
from tribond.training.sources import TrainingFrames

COMPUTING = 1  # to be raised whenever a term gives other numbers
NO_BONDS = 0.1  # Å | terms look at positions, not at the bonds of a graph


def without_terms(frames: TrainingFrames, terms: Sequence[Term], cache: ArrayCache) -> TrainingFrames:
    """The frames with energies, forces and stresses of the terms taken off; themselves if there are no terms.

    Args:
        frames: as they were read.
        terms: of the model.
        cache: keeps what was computed.

    Raises:
        ConfigError: if a term cannot be computed here.
        DataError: for a frame that a term cannot describe; it says which.
    """
    return replace(
        frames, train=added(frames.train, terms, cache, -1.0), validation=added(frames.validation, terms, cache, -1.0)
    )


def added(frames: FrameSet, terms: Sequence[Term], cache: ArrayCache, factor: float = 1.0) -> FrameSet:
    """The frames with the terms added to their labels, times a factor; labels that are missing stay so.

    Without terms they are what was given; with terms all of them are read into memory, those of a store, too.
    """
    if not terms:
        return frames
    table = frames.loaded()
    for term in terms:
        term.check()
        structures = (table.offsets, table.numbers, table.positions, table.cells, table.pbc)
        key = digest_of(COMPUTING, term.name, *structures)
        found = cache.get("terms", key, partial(_computed, table, term), keep=_worth_keeping)
        table = replace(
            table,
            energies=table.energies + factor * found["energies"],
            forces=table.forces + factor * found["forces"],
            stresses=table.stresses + factor * found["stresses"],
        )
    return table


def _worth_keeping(found: Arrays) -> bool:
    return len(found["energies"]) >= WORTH_KEEPING


def _computed(table: FrameTable, term: Term) -> Arrays:
    energies, stresses = np.zeros(len(table)), np.zeros((len(table), 3, 3))
    forces = np.zeros_like(table.positions)
    for index in range(len(table)):
        graph = atom_graph(table.atoms(index), NO_BONDS, NO_BONDS)
        try:
            more = term.contribution(graph)
        except StructureError as error:
            msg = f"{table.origin(index)}: {error}"
            raise DataError(msg) from error
        energies[index] = more.energy.item()
        forces[table.offsets[index] : table.offsets[index + 1]] = more.forces.numpy()
        stresses[index] = (more.virial / graph.volumes()[:, None, None]).nan_to_num(nan=0.0)[0].numpy()
    return {"energies": energies, "forces": forces, "stresses": stresses}
