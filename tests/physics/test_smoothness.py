"""Nothing jumps when an atom crosses a cutoff: not the energy, not the forces, not their slope."""

import numpy as np
import pytest
import torch
from ase import Atoms

BOND_CUTOFF, ANGLE_CUTOFF = 5.0, 4.0  # Å
STEP = 1e-6  # Å, to either side of a cutoff
HOST = np.array([[0, 0, 0], [0.9, 1.0, 0.2], [-0.4, 1.1, -0.8]])  # Å, three atoms with angles between them


def visited(distance: float) -> Atoms:
    """Three atoms and a visitor at this distance from the first, Å; no other pair is near a cutoff."""
    direction = np.array([0.6, -0.64, 0.48])
    return Atoms("SiCHO", positions=[*HOST, distance * direction])


def jumps(potential, cutoff: float) -> tuple[float, float, float]:
    """Largest change of energy (eV), forces (eV/Å) and hessian (eV/Å²) over 2e-6 Å around the cutoff."""
    inside, outside = potential.predict([visited(cutoff - STEP), visited(cutoff + STEP)], with_hessian=True)
    return (
        abs(inside.energy - outside.energy),
        np.abs(inside.forces - outside.forces).max(),
        np.abs(inside.hessian - outside.hessian).max(),
    )


@pytest.fixture(
    params=[
        ("paper", {}),
        ("mattersim", {}),
        ("matgl_pyg", {"edge_basis": "smooth", "angle_radial_basis": "smooth"}),
        ("paper", {"bodies": 4}),
    ],
    ids=["paper", "mattersim", "matgl with use_smooth", "four bodies"],
)
def smooth_potential(request, make_potential):
    name, changes = request.param
    return make_potential(name, **changes)


@pytest.mark.parametrize("cutoff", [BOND_CUTOFF, ANGLE_CUTOFF])
def test_energy_forces_and_their_slope_are_continuous_where_an_atom_crosses(smooth_potential, cutoff):
    """Asked for in chgnet#79: the energy must not jump when a bond or an angle leaves the cutoff."""
    inside, outside = (smooth_potential.graph(visited(cutoff + side)) for side in (-STEP, STEP))
    if cutoff == BOND_CUTOFF:
        assert inside.num_edges == outside.num_edges + 2
    else:
        assert len(inside.angle_edges) == len(outside.angle_edges) + 2
    assert max(jumps(smooth_potential, cutoff)) < 1e-5


def test_the_work_done_along_a_scan_through_both_cutoffs_is_the_change_of_energy(smooth_potential):
    """Asked for in chgnet#79. It would not be, were there a step anywhere between the points."""
    distances = np.linspace(3.8, 5.2, 281)
    structures = [visited(distance) for distance in distances]
    predictions = smooth_potential.predict(structures)
    energies = np.array([p.energy for p in predictions])
    forces = np.array([p.forces for p in predictions])
    steps = np.diff([atoms.positions for atoms in structures], axis=0)
    work = ((forces[1:] + forces[:-1]) / 2 * steps).sum(axis=(1, 2))  # eV, trapezoidal rule
    np.testing.assert_allclose(np.diff(energies), -work, atol=1e-6)
    assert np.ptp(energies) > 0.01


@pytest.mark.parametrize("dialect", ["matgl_pyg", "matgl_dgl"])
def test_plain_bessel_functions_let_bonds_leave_with_a_kink_as_published(make_potential, dialect):
    """MatGL's j_l end with a slope: the energy is continuous, the forces are not. The tests above would see it."""
    energy, force, _ = jumps(make_potential(dialect), BOND_CUTOFF)
    assert energy < 1e-6
    assert force > 1e-3


def test_a_gate_with_a_bias_lets_bonds_leave_with_a_jump_as_published(make_potential):
    """M3GNet-Pytorch's gate is not shut at the cutoff. The tests above would see it."""
    energy, _, _ = jumps(make_potential("m3gnet_pytorch"), BOND_CUTOFF)
    assert energy > 1e-4


@pytest.mark.parametrize("dialect", ["matgl_pyg", "m3gnet_pytorch"])
def test_angles_are_smooth_in_all_dialects(make_potential, dialect):
    assert max(jumps(make_potential(dialect), ANGLE_CUTOFF)) < 1e-5


def test_it_is_the_envelope_that_makes_angles_smooth(make_potential, monkeypatch, without_kernels):
    """Without it the energy jumps at the three-body cutoff. The tests above would see it."""
    monkeypatch.setattr("tribond.nn.three_body.polynomial_cutoff", lambda lengths, cutoff: torch.ones_like(lengths))
    energy, force, _ = jumps(make_potential(), ANGLE_CUTOFF)
    assert energy > 1e-4
    assert force > 1e-4
