"""A trained M3GNet as a potential: energy, forces, stress and hessian of structures."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from tribond.backends.bond_sums import edge_vectors, forces_virial_stress
from tribond.backends.choose import Evaluator
from tribond.backends.known import explained
from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import as_list
from tribond.models.additive import with_terms
from tribond.models.force_field import Evaluation, Prediction, unbatch
from tribond.models.recorded import RecordedSteps, can_record
from tribond.models.trained_model import State, TrainedModel
from tribond.nn.config import Readout
from tribond.nn.m3gnet import M3GNet
from tribond.terms.known import terms_of

if TYPE_CHECKING:
    from tribond.graph.build import AnyStructure


def evaluate(
    model: M3GNet, graph: AtomGraph, *, create_graph: bool = False, evaluator: Evaluator | None = None
) -> Evaluation:
    """Energy, forces and stress of a batch from one derivative, that with respect to the bond vectors.

    Args:
        model: an M3GNet with an extensive readout.
        graph: the batch.
        create_graph: make the results differentiable by the weights, to train on them: forces and stress too.
        evaluator: keeps what it packs of the model for the next call; without one, weights are packed for this call alone.

    Raises:
        ConfigError: if the model was changed so that it cannot be computed any more; it says what was changed.
    """
    vectors = edge_vectors(graph)
    evaluator = evaluator or Evaluator()
    try:
        fast = (evaluator.trainable if create_graph else evaluator.energy_and_gradient)(model, vectors, graph)
        atomic_energies, gradient = fast or _differentiate(model, vectors, graph, create_graph=create_graph)
        energy = model.system_energies(atomic_energies, graph)
        if energy.shape != (graph.num_systems,) or atomic_energies.shape != (graph.num_atoms,):
            msg = f"energies of shapes {tuple(energy.shape)} and {tuple(atomic_energies.shape)} came out"
            raise ValueError(msg)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        if (told := explained(model, error)) is error:
            raise
        raise told from error
    forces, virial, stress = forces_virial_stress(vectors, gradient, graph)
    return Evaluation(
        energy=energy,
        atomic_energies=atomic_energies,
        forces=forces,
        virial=virial,
        stress=stress,
    )


def _differentiate(model: M3GNet, vectors: Tensor, graph: AtomGraph, *, create_graph: bool) -> tuple[Tensor, Tensor]:
    """Energy of every atom and dE/dr of every bond by automatic differentiation, which can be differentiated again."""
    leaf = vectors.detach().requires_grad_()
    with torch.enable_grad():
        energies = model.atomic_energies(leaf, graph)
        (gradient,) = torch.autograd.grad(energies.sum(), leaf, create_graph=create_graph, materialize_grads=True)
    return energies if create_graph else energies.detach(), gradient


def hessian(model: M3GNet, graph: AtomGraph) -> Tensor:
    """Second derivatives of the energy of one system.  (atoms, 3, atoms, 3) eV/Å²; one backward pass a coordinate.

    Raises:
        ConfigError: if the graph holds more than one system.
    """
    if graph.num_systems != 1:
        msg = f"the hessian is for one system, not for a batch of {graph.num_systems}"
        raise ConfigError(msg)
    positions = graph.positions.detach().requires_grad_()
    centre, neighbour = graph.edge_index
    constant = graph.edge_vectors() - (graph.positions[neighbour] - graph.positions[centre])
    with torch.enable_grad():
        vectors = positions[neighbour] - positions[centre] + constant
        energy = model.atomic_energies(vectors, graph).sum()
        (gradient,) = torch.autograd.grad(energy, positions, create_graph=True, materialize_grads=True)
        if graph.num_edges == 0:  # the energy does not depend on the positions at all
            return torch.zeros(*positions.shape, *positions.shape, dtype=positions.dtype, device=positions.device)
        rows = [
            torch.autograd.grad(component, positions, retain_graph=True, materialize_grads=True)[0]
            for component in gradient.flatten()
        ]
    return torch.stack(rows).reshape(*positions.shape, *positions.shape)


class Potential(TrainedModel):
    """An M3GNet with an extensive readout, ready to use; its weights are not trained through this class.

    Attributes:
        model: the network, in evaluation mode.
        metadata: where it comes from: name, licence, training data, level of theory, errors; under "energy_terms", what is
            added to the energy of the network.
        terms: what is added, such as dispersion; the network alone does not know of it.

    Raises:
        ConfigError: if the readout is another one, or the metadata name a term that there is not.
    """

    readouts: ClassVar[tuple[Readout, ...]] = ("extensive",)
    needs: ClassVar[str] = "an extensive"

    def __init__(self, model: M3GNet, metadata: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, metadata)
        self.terms = terms_of(self.metadata)
        self._evaluator = Evaluator()

    @property
    def cutoff(self) -> float:
        """Longest bond, Å."""
        return self.config.cutoff

    @property
    def threebody_cutoff(self) -> float:
        """Longest bond that takes part in angles, Å."""
        return self.config.threebody_cutoff

    def evaluate(self, graph: AtomGraph) -> Evaluation:
        """Energy, forces and stress of a batch, as tensors.

        Raises:
            ConfigError: if a term cannot be computed here, because a library is missing.
        """
        return with_terms(evaluate(self.model, graph, evaluator=self._evaluator), self.terms, graph)

    def recorder(self, skin: float) -> RecordedSteps | None:
        """On a GPU with Triton, one structure after the other as CUDA graphs; None elsewhere. See `RecordsSteps`.

        None with terms, too: a graph would hold the network alone.
        """
        return RecordedSteps(self.model, skin) if not self.terms and can_record(self.model) else None

    def predict(
        self,
        structures: "AnyStructure | Iterable[AnyStructure]",
        *,
        state: State | None = None,
        with_hessian: bool = False,
    ) -> list[Prediction]:
        """Energy, forces and stress of one or many structures, evaluated in batches.

        Args:
            structures: ASE Atoms, pymatgen Structure or Molecule, or an iterable of them; only read.
            state: for models with a state input: one for all structures, or one for each.
            with_hessian: second derivatives as well; needs 3 · atoms backward passes a structure.

        Returns:
            One prediction a structure, in order; for one structure, a list of one.

        Raises:
            StructureError: for a structure that makes no sense or holds an unknown element; it says which.
            ConfigError: for a state that is missing, not wanted or does not fit.
        """
        predictions = []
        for graph in self._batches(as_list(structures), state):
            predictions += unbatch(graph, self.evaluate(graph))
            if with_hessian:
                first = len(predictions) - graph.num_systems
                for index, single in enumerate(graph.split(), start=first):
                    second = hessian(self.model, single).cpu().double().numpy()
                    second = sum((term.hessian(single) for term in self.terms), start=second)
                    predictions[index] = replace(predictions[index], hessian=second)
        return predictions
