"""Energies that add up: what a network gives, and terms such as dispersion on top."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from tribond.graph.atom_graph import AtomGraph
from tribond.models.force_field import Evaluation
from tribond.terms.term import Term


def with_terms(result: Evaluation, terms: Sequence[Term], graph: AtomGraph) -> Evaluation:
    """An evaluation with the energies, forces and stresses of terms added; itself if there are none.

    Args:
        result: of the network.
        terms: what is added; no gradient goes through it.
        graph: what the result is of.

    Raises:
        ConfigError, StructureError: as of `Term.contribution`.
    """
    for term in terms:
        more = term.contribution(graph)
        volumes = graph.volumes()[:, None, None]
        # Where a system is not periodic the stress is NaN, and stays so.
        stress = result.stress + torch.where(volumes.isnan(), 0.0, more.virial / volumes.nan_to_num(nan=1.0))
        result = replace(
            result,
            energy=result.energy + more.energy,
            atomic_energies=result.atomic_energies + more.atomic_energies,
            forces=result.forces + more.forces,
            virial=result.virial + more.virial,
            stress=stress,
        )
    return result
