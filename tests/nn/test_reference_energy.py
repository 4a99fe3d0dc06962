"""Reference energies are exact: added in float64 whatever the precision of the network.

Asked for in mace#1452 and mace#249.
"""

import pytest
import torch
from ase import Atoms

from tests.small_models import random_model, small_config
from tribond.models.potential import Potential
from tribond.nn.reference_energy import ReferenceEnergy


def test_an_energy_is_scale_times_network_plus_reference():
    energy = ReferenceEnergy(3)
    energy.set(scale=[1.0, 2.0, 3.0], reference=[-10.0, -20.0, -30.0])
    found = energy(torch.tensor([0.5, 1.0, -1.0]), torch.tensor([2, 0, 1]))
    assert found.tolist() == [-28.5, -9.0, -22.0]
    assert found.dtype == torch.float64


def test_untouched_it_changes_nothing():
    network = torch.randn(4, dtype=torch.float64)
    torch.testing.assert_close(ReferenceEnergy(2)(network, torch.tensor([0, 1, 1, 0])), network, rtol=0, atol=0)


def test_each_table_can_be_set_alone():
    energy = ReferenceEnergy(2)
    energy.set(scale=[2.0, 3.0])
    energy.set(reference=[-1.0, -2.0])
    assert energy.scale.tolist() == [2.0, 3.0]
    assert energy.reference.tolist() == [-1.0, -2.0]


@pytest.mark.parametrize("change", ["float", "half", "double"])
def test_it_keeps_all_digits_when_the_network_changes_precision(change):
    energy = ReferenceEnergy(1)
    energy.set(reference=[-1234.5678901234567])
    getattr(energy, change)()
    assert energy.reference.dtype == torch.float64
    assert energy.reference.item() == -1234.5678901234567


def test_a_thousand_atoms_in_float32_sum_to_a_thousand_references():
    """In float32 the sum would be off by tens of meV."""
    model = random_model(small_config(), dtype=torch.float32)
    reference = -1234.567891
    model.reference_energy.set(scale=[0.0] * 5, reference=[reference] * 5)
    gas = Atoms("H1000", positions=[[8.0 * i, 0, 0] for i in range(1000)])
    assert Potential(model).predict(gas)[0].energy == pytest.approx(1000 * reference, abs=1e-6)


def test_the_offset_is_added_once_a_system():
    """The mean of (7), which some published weights have. It belongs to no atom."""
    model = random_model(small_config())
    pair = [Atoms("H"), Atoms("OSi", positions=[[0, 0, 0], [0, 0, 1.6]])]
    before = Potential(model).predict(pair)
    model.reference_energy.offset.fill_(0.25)
    after = Potential(model).predict(pair)
    for old, new in zip(before, after, strict=True):
        assert new.energy - old.energy == pytest.approx(0.25)
        assert (new.atomic_energies == old.atomic_energies).all()
