"""What is a force field, and that no more than that is asked for."""

from dataclasses import dataclass

import numpy as np
import torch

import tribond
from tests.small_models import random_model, small_config
from tests.structures import crystal
from tribond.models.force_field import Evaluation, ForceField, Prediction, TakesState, unbatch
from tribond.models.potential import Potential
from tribond.models.property_model import PropertyModel


@dataclass
class Sum:
    """Two force fields, added."""

    first: ForceField
    second: ForceField

    cutoff = 5.0
    threebody_cutoff = 4.0
    device = torch.device("cpu")
    dtype = torch.float64

    @property
    def elements(self) -> tuple[str, ...]:
        return self.first.elements

    def evaluate(self, graph) -> Evaluation:
        first, second = (vars(it.evaluate(graph)) for it in (self.first, self.second))
        return Evaluation(**{name: first[name] + second[name] for name in first})

    def predict(self, structures) -> list[Prediction]:
        raise NotImplementedError


def test_a_potential_is_one(potential):
    assert isinstance(potential, ForceField)
    assert isinstance(potential, TakesState)
    assert (potential.cutoff, potential.threebody_cutoff) == (5.0, 4.0)


def test_a_model_of_a_property_is_none():
    assert not isinstance(PropertyModel(random_model(small_config(readout="mean"))), ForceField)


def test_a_calculator_takes_any(potential):
    atoms = crystal()
    both = Sum(potential, Potential(random_model(small_config(), seed=1)))
    assert isinstance(both, ForceField)
    assert not isinstance(both, TakesState)
    atoms.calc = tribond.Calculator(both)
    graph = potential.graph(atoms)
    (expected,) = unbatch(graph, both.evaluate(graph))
    assert atoms.get_potential_energy() == expected.energy
    np.testing.assert_array_equal(atoms.get_forces(), expected.forces)
    np.testing.assert_array_equal(atoms.get_stress(voigt=False), expected.stress)
