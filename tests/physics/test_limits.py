"""The ends of what a structure can be: one atom, one bond, no angle, no bond, no atom.

Asked for in m3gnet#38, #40, #63 and matgl#78: all of these are valid input.
"""

import numpy as np
import pytest
import torch
from ase import Atoms

from tests.structures import ELEMENTS


def energy_without_neighbours(potential, symbol: str) -> float:
    """Reference energy plus what the readout makes of the bare embedding of the element, eV."""
    model = potential.model
    row = ELEMENTS.index(symbol)
    bare = model.readout(model.atom_embedding.weight[row : row + 1])[0, 0]
    return (model.reference_energy.scale[row] * bare + model.reference_energy.reference[row]).item()


@pytest.mark.parametrize("symbol", ELEMENTS)
def test_an_isolated_atom_has_its_reference_energy_plus_the_term_of_no_neighbours(every_potential, symbol):
    (prediction,) = every_potential.predict(Atoms(symbol))
    assert prediction.energy == pytest.approx(energy_without_neighbours(every_potential, symbol), abs=1e-12)
    assert prediction.atomic_energies.shape == (1,)
    assert prediction.forces.shape == (1, 3)
    assert not prediction.forces.any()
    assert prediction.stress is None


def test_atoms_out_of_reach_of_each_other_are_isolated_atoms(every_potential, structures):
    atoms = structures["stretched_crystal"]
    assert every_potential.graph(atoms).num_edges == 0
    (prediction,) = every_potential.predict(atoms)
    assert prediction.energy == pytest.approx(sum(energy_without_neighbours(every_potential, s) for s in atoms.symbols))
    assert not prediction.forces.any()
    assert not prediction.stress.any()


def test_a_bond_longer_than_the_three_body_cutoff_still_binds(every_potential, structures):
    dimer = structures["far_dimer"]
    graph = every_potential.graph(dimer)
    assert graph.num_edges == 2
    assert len(graph.angle_edges) == 0
    (prediction,) = every_potential.predict(dimer)
    apart = sum(energy_without_neighbours(every_potential, symbol) for symbol in dimer.symbols)
    assert abs(prediction.energy - apart) > 1e-4
    along = dimer.positions[1] - dimer.positions[0]
    np.testing.assert_allclose(np.cross(prediction.forces, along), 0, atol=1e-12)
    assert np.abs(prediction.forces).max() > 1e-5


def test_a_dimer_pulled_beyond_the_cutoff_is_two_atoms(every_potential):
    (prediction,) = every_potential.predict(Atoms("SiO", positions=[[0, 0, 0], [0, 0, 5.01]]))
    apart = sum(energy_without_neighbours(every_potential, symbol) for symbol in ("Si", "O"))
    assert prediction.energy == pytest.approx(apart, abs=1e-12)
    assert not prediction.forces.any()


def test_a_dimer_has_no_angle_however_short(every_potential, monkeypatch):
    dimer = Atoms("SiO", positions=[[0, 0, 0], [0.3, 1.2, 1.0]])
    with_angles = every_potential.predict(dimer)[0]
    monkeypatch.setattr("tribond.nn.three_body.angular_messages", lambda radial, *_: torch.zeros_like(radial))
    without = every_potential.predict(dimer)[0]
    assert with_angles.energy == pytest.approx(without.energy, abs=1e-12)
    np.testing.assert_allclose(with_angles.forces, without.forces, atol=1e-12)


def test_a_third_atom_makes_an_angle_that_is_felt(every_potential):
    """Three bond lengths stay as they are, or nearly: only the angle between two of them opens."""
    predictions = []
    for angle in (2.0, 2.4, np.pi):
        end = 2.6 * np.array([np.cos(angle), np.sin(angle), 0])  # its distance to the other end is beyond 5 Å or near
        predictions += every_potential.predict(Atoms("OSiO", positions=[[2.6, 0, 0], [0, 0, 0], end]))
    assert np.ptp([p.energy for p in predictions]) > 1e-4


@pytest.mark.parametrize("cell", [None, np.diag([4.0, 5.0, 6.0])], ids=["without a cell", "with a cell"])
def test_no_atoms_have_no_energy(every_potential, cell):
    nothing = Atoms(cell=cell, pbc=cell is not None)
    (prediction,) = every_potential.predict(nothing)
    assert prediction.energy == 0
    assert prediction.atomic_energies.shape == (0,)
    assert prediction.forces.shape == (0, 3)
    if cell is None:
        assert prediction.stress is None
    else:
        assert not prediction.stress.any()


def test_no_structures_have_no_predictions(potential):
    assert potential.predict([]) == []


def test_nothing_between_others_in_a_batch_changes_nothing(potential, structures):
    crystal, empty = structures["crystal"], structures["no_atoms"]
    first, nothing, last = potential.predict([crystal, empty, crystal])
    assert nothing.energy == 0
    assert first.energy == pytest.approx(potential.predict(crystal)[0].energy, abs=1e-12)
    np.testing.assert_allclose(last.forces, first.forces, atol=1e-12)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False), (False, False, False)])
def test_a_system_that_is_not_periodic_along_all_axes_has_no_stress(potential, structures, pbc):
    """Asked for in mattersim#82: a volume that is not there must not divide anything."""
    atoms = structures["crystal"]
    atoms.pbc = pbc
    assert potential.predict(atoms)[0].stress is None
    assert torch.isnan(potential.evaluate(potential.graph(atoms)).stress).all()


def test_dense_matter_keeps_all_its_neighbours(potential):
    """Asked for in chgnet#79 and chgnet#119: no cap on neighbours, and no list of the half a million triplets here."""
    squeezed = Atoms("H", cell=[[0.8, 0, 0], [0, 0.9, 0], [0, 0.1, 0.85]], pbc=True)
    graph = potential.graph(squeezed)
    expected = 4 / 3 * np.pi * 5.0**3 / squeezed.get_volume()
    assert graph.num_edges == pytest.approx(expected, rel=0.05)
    (prediction,) = potential.predict(squeezed)
    assert np.isfinite(prediction.energy)
    np.testing.assert_allclose(prediction.forces, 0, atol=1e-10)  # every atom is a centre of inversion
