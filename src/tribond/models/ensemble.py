"""Several potentials as one: their mean, and how far they differ, which tells where not to trust it.

    ensemble = tribond.Ensemble([tribond.load("a.safetensors"), tribond.load("b.safetensors")])
    prediction = ensemble.predict(atoms)[0]
    prediction.forces, prediction.spread.forces_std  # eV/Å

Members were trained on the same data from different first weights and in different order (`tribond train --ensemble`): where
there was data they agree, elsewhere nothing makes them. Lakshminarayanan, Pritzel and Blundell, arXiv 1612.01474.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import as_list, graphs_of
from tribond.graph.narrow import narrowed
from tribond.models.force_field import Evaluation, EvaluationWithSpread, Prediction, unbatch
from tribond.models.potential import Potential
from tribond.models.trained_model import State, in_batches
from tribond.nn.config import M3GNetConfig
from tribond.terms.known import KEY

if TYPE_CHECKING:
    from tribond.graph.build import AnyStructure

logger = logging.getLogger(__name__)


class Ensemble:
    """The mean of several potentials, with the standard deviations over them. It is a `ForceField`.

    Neighbours are searched once, up to the longest cutoff; a member with a shorter one does not see longer bonds. The elements
    are those that all members know.

    Attributes:
        members: the potentials.
        metadata: at least the name, and under "energy_terms" what all members add, such as dispersion.

    Args:
        members: two or more, on one device and in one precision.
        metadata: where it comes from.

    Raises:
        ConfigError: for fewer than two members, for what is no `Potential` or takes a state input, for the same model twice, for
            different devices, precisions or added terms, such as dispersion, and for members without a common element.
    """

    def __init__(self, members: Sequence[Potential], metadata: Mapping[str, Any] | None = None) -> None:
        self.members = tuple(members)
        _check(self.members)
        common = set(self.members[0].elements).intersection(*(member.elements for member in self.members))
        if not common:
            raise ConfigError("the members of an ensemble must know the same elements; these have none in common")
        self._elements = tuple(symbol for symbol in self.members[0].elements if symbol in common)
        if left := sorted(set().union(*(member.elements for member in self.members)) - common):
            logger.warning("the ensemble knows only what all its members know; that leaves out %s", ", ".join(left))
        theories = {str(theory) for it in self.members if (theory := it.metadata.get("level_of_theory"))}
        if len(theories) > 1:
            logger.warning(
                "the members are of different levels of theory (%s): their spread tells these apart, too",
                "; ".join(sorted(theories)),
            )
        self.metadata: dict[str, Any] = {"name": f"ensemble of {len(self.members)}"}
        if len(theories) == 1:
            self.metadata["level_of_theory"] = theories.pop()
        self.metadata |= metadata or {}
        self.metadata.pop(KEY, None)
        if terms := [term.name for term in self.members[0].terms]:
            self.metadata[KEY] = terms

    def __repr__(self) -> str:
        """Name, size and where it lives."""
        return f"Ensemble({self.metadata['name']!r}, {self.num_members} members, {self.dtype}, {self.device})"

    @property
    def num_members(self) -> int:
        """How many potentials."""
        return len(self.members)

    @property
    def config(self) -> M3GNetConfig:
        """Hyperparameters of the first member; none has a state input, all else may be others."""
        return self.members[0].config

    @property
    def cutoff(self) -> float:
        """Longest bond of all members, Å."""
        return max(member.cutoff for member in self.members)

    @property
    def threebody_cutoff(self) -> float:
        """Longest bond that takes part in angles of any member, Å."""
        return max(member.threebody_cutoff for member in self.members)

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that all members know, in the order of the first."""
        return self._elements

    @property
    def device(self) -> torch.device:
        """Where the members lie."""
        return self.members[0].device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the members."""
        return self.members[0].dtype

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None) -> Self:
        """A copy on another device or in another precision; this one stays as it is.

        Raises:
            ConfigError: for a device that is not there or a precision that is not float32 or float64.
        """
        return type(self)([member.to(device, dtype) for member in self.members], self.metadata)

    def graph(self, structures: "AnyStructure | Iterable[AnyStructure]") -> AtomGraph:
        """Structures as one batch on the members' device; errors as of `predict`."""
        graphs = graphs_of(as_list(structures), self.cutoff, self.threebody_cutoff, self.elements)
        return AtomGraph.batch(list(graphs)).to(self.device)

    def evaluate_members(self, graph: AtomGraph) -> Iterator[Evaluation]:
        """What each member says about a batch.

        Args:
            graph: with bonds up to the cutoffs of the ensemble.
        """
        # One cutoff a kind: a graph is narrowed once for all members that share it.
        graphs = {(self.cutoff, self.threebody_cutoff): graph}
        for member in self.members:
            reach = member.cutoff, member.threebody_cutoff
            if reach not in graphs:
                graphs[reach] = narrowed(graph, *reach)
            yield member.evaluate(graphs[reach])

    def evaluate(self, graph: AtomGraph) -> EvaluationWithSpread:
        """Means and standard deviations of a batch, as tensors."""
        every = list(self.evaluate_members(graph))
        energy, energy_std = _mean_and_std([it.energy for it in every])
        forces, forces_std = _mean_and_std([it.forces for it in every])
        stress, stress_std = _mean_and_std([it.stress for it in every])
        return EvaluationWithSpread(
            energy=energy,
            atomic_energies=_mean_and_std([it.atomic_energies for it in every])[0],
            forces=forces,
            virial=_mean_and_std([it.virial for it in every])[0],
            stress=stress,
            energy_std=energy_std,
            forces_std=forces_std,
            stress_std=stress_std,
        )

    def predict(
        self, structures: "AnyStructure | Iterable[AnyStructure]", *, state: State | None = None
    ) -> list[Prediction]:
        """Energy, forces and stress of one or many structures with their spreads, evaluated in batches.

        Args:
            structures: ASE Atoms, pymatgen Structure or Molecule, or an iterable of them; only read.
            state: None: members have no state input.

        Returns:
            One prediction a structure, in order; for one structure, a list of one.

        Raises:
            StructureError: for a structure that makes no sense or holds an element that not all members know; it says which.
            ConfigError: for a state.
        """
        if state is not None:
            raise ConfigError("an ensemble takes no state input")
        graphs = graphs_of(as_list(structures), self.cutoff, self.threebody_cutoff, self.elements)
        predictions: list[Prediction] = []
        for graph in in_batches(graphs, self.device):
            predictions += unbatch(graph, self.evaluate(graph))
        return predictions


def _mean_and_std(values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Over members, in float64; the standard deviation with N - 1."""
    every = torch.stack([it.detach().double() for it in values])
    return every.mean(dim=0), every.std(dim=0, correction=1)


def _check(members: Sequence[Potential]) -> None:
    """Raise ConfigError for members that make no ensemble."""
    for number, member in enumerate(members):
        given: object = member
        if not isinstance(given, Potential):
            msg = f"member {number} of an ensemble must be a Potential, as tribond.load gives; not {member!r}"
            raise ConfigError(msg)
        if given.config.state != "none":
            msg = f"member {number} takes a state input, and ensembles are of potentials without one"
            raise ConfigError(msg)
    if len(members) < 2:
        msg = f"an ensemble needs two members or more; it was given {len(members)}"
        raise ConfigError(msg)
    for what, values in (
        ("on one device", [str(member.device) for member in members]),
        ("in one precision", [str(member.dtype).removeprefix("torch.") for member in members]),
    ):
        if len(set(values)) > 1:
            msg = f"the members of an ensemble must be {what}; these are {', '.join(values)}. Use .to(...)"
            raise ConfigError(msg)
    terms = [" and ".join(sorted(term.name for term in member.terms)) or "nothing" for member in members]
    if len(set(terms)) > 1:
        told = "; ".join(f"member {number} adds {it}" for number, it in enumerate(terms))
        msg = (
            f"the members of an ensemble must add the same terms to the network's energy: {told}. `tribond convert --dispersion` "
            "adds it or takes it off"
        )
        raise ConfigError(msg)
    for (i, one), (j, other) in combinations(enumerate(members), 2):
        if _same(one, other):
            msg = f"members {i} and {j} of the ensemble are the same model: they differ nowhere, and it says nothing"
            raise ConfigError(msg)


def _same(one: Potential, other: Potential) -> bool:
    if one is other:
        return True
    mine, theirs = one.model.state_dict(), other.model.state_dict()
    return one.config == other.config and all(torch.equal(mine[name], theirs[name]) for name in mine)
