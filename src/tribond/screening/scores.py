"""How uncertain structures are, and where they lie in the space of a model's features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from tribond.errors import StructureError
from tribond.graph.build import graphs_of
from tribond.graph.narrow import narrowed
from tribond.models.ensemble import Ensemble
from tribond.models.force_field import unbatch
from tribond.models.potential import Potential
from tribond.models.trained_model import in_batches


@dataclass(frozen=True)
class Scores:
    """Of some structures; NaN of those that the model cannot describe, and of the spreads of a single model.

    Attributes:
        descriptors: (structures, features) | mean over the atoms of their features after the last block of the first member.
        force_spreads: (structures,) eV/Å | the largest of each, see `tribond.Spread`.
        energy_stds: (structures,) eV/atom.
    """

    descriptors: NDArray[np.float32]
    force_spreads: NDArray[np.float64]
    energy_stds: NDArray[np.float64]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(structures,) which of them could be described."""
        return np.asarray(np.isfinite(self.descriptors).all(axis=1), dtype=np.bool_)

    @classmethod
    def joined(cls, parts: "Sequence[Scores]") -> "Scores":
        """All of several parts, one or more."""
        return cls(
            np.concatenate([part.descriptors for part in parts]),
            np.concatenate([part.force_spreads for part in parts]),
            np.concatenate([part.energy_stds for part in parts]),
        )


def score(
    model: Potential | Ensemble, structures: Sequence[Atoms], *, with_spread: bool = True
) -> tuple[Scores, dict[int, str]]:
    """Score structures.

    Args:
        model: the spread is an ensemble's; a potential has none.
        structures: only read.
        with_spread: False: descriptors alone, which cost less.

    Returns:
        The scores, and what is wrong with those that cannot be described, by their index.
    """
    try:
        return _score(model, structures, with_spread=with_spread), {}
    except StructureError as error:
        if len(structures) == 1:
            width = _first(model).config.node_features
            nothing = np.full(1, np.nan)
            return Scores(np.full((1, width), np.nan, dtype=np.float32), nothing, nothing), {0: str(error)}
    parts: list[Scores] = []
    wrong: dict[int, str] = {}
    for index, structure in enumerate(structures):
        part, errors = score(model, [structure], with_spread=with_spread)
        parts.append(part)
        wrong |= dict.fromkeys([index] if errors else [], errors.get(0, ""))
    return Scores.joined(parts), wrong


def _first(model: Potential | Ensemble) -> Potential:
    return model.members[0] if isinstance(model, Ensemble) else model


def _score(model: Potential | Ensemble, structures: Sequence[Atoms], *, with_spread: bool) -> Scores:
    first = _first(model)
    if any(len(atoms) == 0 for atoms in structures):
        raise StructureError("it has no atoms")
    descriptors, spreads, energies = [], [], []
    graphs = graphs_of(structures, model.cutoff, model.threebody_cutoff, model.elements)
    for graph in in_batches(graphs, model.device):
        if with_spread and isinstance(model, Ensemble):
            found = [it.spread for it in unbatch(graph, model.evaluate(graph))]
            spreads += [np.nan if it is None else it.max_force_spread for it in found]
            energies += [np.nan if it is None else it.energy_std_per_atom for it in found]
        same = (first.cutoff, first.threebody_cutoff) == (model.cutoff, model.threebody_cutoff)
        seen = graph if same else narrowed(graph, first.cutoff, first.threebody_cutoff)
        with torch.no_grad():
            nodes = first.model.features(seen.edge_vectors(), seen).nodes.double()
        sums = nodes.new_zeros(graph.num_systems, nodes.shape[1]).index_add(0, graph.system_index, nodes)
        means = sums / graph.atoms_per_system()[:, None]
        descriptors.append(means.numpy(force=True).astype(np.float32))
    together = np.concatenate(descriptors)
    unknown = np.full(len(together), np.nan)
    return Scores(together, np.array(spreads) if spreads else unknown, np.array(energies) if energies else unknown)
