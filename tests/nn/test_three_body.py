"""The angular sum without triplets is the sum over triplets."""

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre
from torch.nn.functional import normalize

from tests.nn.triplet_oracle import angles, angular_messages_by_triplets, legendre
from tribond.nn.basis import real_spherical_harmonics
from tribond.nn.three_body import angular_messages


def random_bonds(max_l: int, max_n: int = 3, num_atoms: int = 6, num_bonds: int = 50):
    """(radial, envelope, unit vectors, gate of every atom, edge_index)."""
    random = torch.Generator().manual_seed(max_l)
    edge_index = torch.randint(num_atoms, (2, num_bonds), generator=random)
    unit_vectors = normalize(torch.randn(num_bonds, 3, generator=random, dtype=torch.float64), dim=1)
    radial = torch.randn(num_bonds, max_l, max_n, generator=random, dtype=torch.float64)
    envelope = torch.rand(num_bonds, generator=random, dtype=torch.float64)
    gate = torch.rand(num_atoms, max_l, max_n, generator=random, dtype=torch.float64)
    return radial, envelope, unit_vectors, gate, edge_index


@pytest.mark.parametrize("gated_by", ["end", "centre"])
@pytest.mark.parametrize("max_l", [1, 2, 3, 4])
def test_the_sum_without_triplets_equals_the_sum_over_triplets(max_l, gated_by):
    radial, envelope, unit_vectors, gate, edge_index = random_bonds(max_l)
    centre, neighbour = edge_index
    gate_of_edge = gate[neighbour if gated_by == "end" else centre]
    fast = angular_messages(
        radial, envelope, real_spherical_harmonics(unit_vectors, max_l), gate_of_edge, centre, len(gate)
    )
    slow = angular_messages_by_triplets(radial, envelope, unit_vectors, gate_of_edge, centre, len(gate))
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    assert slow.abs().max() > 0.1


@pytest.mark.parametrize("gated_by", ["end", "centre"])
@pytest.mark.parametrize("max_l", [1, 3, 4])
def test_energies_forces_and_stresses_with_triplets_are_the_same(
    make_potential, structures, monkeypatch, request, gated_by, max_l
):
    potential = make_potential(angle_gate=gated_by, max_l=max_l)
    without_triplets = potential.predict(structures.values())
    request.getfixturevalue("without_kernels")  # the oracle stands in nn
    # The oracle takes unit vectors where the package takes their spherical harmonics.
    monkeypatch.setattr("tribond.nn.three_body.real_spherical_harmonics", lambda unit_vectors, _: unit_vectors)
    monkeypatch.setattr("tribond.nn.three_body.angular_messages", angular_messages_by_triplets)
    with_triplets = potential.predict(structures.values())
    monkeypatch.setattr("tribond.nn.three_body.angular_messages", lambda radial, *_: torch.zeros_like(radial))
    without_angles = potential.predict(structures.values())
    for name, fast, slow, none in zip(structures, without_triplets, with_triplets, without_angles, strict=True):
        np.testing.assert_allclose(fast.atomic_energies, slow.atomic_energies, rtol=0, atol=1e-10, err_msg=name)
        np.testing.assert_allclose(fast.forces, slow.forces, rtol=0, atol=1e-10, err_msg=name)
        if slow.stress is not None:
            np.testing.assert_allclose(fast.stress, slow.stress, rtol=0, atol=1e-10, err_msg=name)
        if name in ("crystal", "slab", "methanol"):
            assert np.abs(fast.forces - none.forces).max() > 1e-5  # angles do matter here


def test_slopes_of_the_sum_are_the_same_too():
    """Training needs them with respect to everything that goes in."""
    radial, envelope, unit_vectors, gate, edge_index = random_bonds(3, num_bonds=20)
    inputs = [x.requires_grad_() for x in (radial, envelope, unit_vectors, gate[edge_index[1]])]
    weights = torch.linspace(-1, 1, radial.numel(), dtype=torch.float64).reshape(radial.shape)

    def slopes(messages):
        return torch.autograd.grad((messages * weights).sum(), inputs)

    r, f, u, s = inputs
    fast = slopes(angular_messages(r, f, real_spherical_harmonics(u, 3), s, edge_index[0], len(gate)))
    slow = slopes(angular_messages_by_triplets(r, f, u, s, edge_index[0], len(gate)))
    # Along a unit vector the two continue differently; only directions across it are ever used.
    across = torch.eye(3, dtype=torch.float64) - u[:, :, None] * u[:, None, :]
    fast, slow = ((dr, df, torch.einsum("exy,ey->ex", across, du), ds) for dr, df, du, ds in (fast, slow))
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_the_only_bond_of_an_atom_has_no_angle():
    radial, envelope, unit_vectors, gate, _ = random_bonds(4, num_bonds=3)
    centre = torch.tensor([0, 1, 2])
    messages = angular_messages(radial, envelope, real_spherical_harmonics(unit_vectors, 4), gate[centre], centre, 6)
    assert messages.abs().max() < 1e-14


def test_two_bonds_in_the_same_direction_see_each_other():
    """k = j is left out because it is the same bond, not because it lies in the same direction."""
    radial, envelope, unit_vectors, gate, _ = random_bonds(2, num_bonds=2)
    unit_vectors[1] = unit_vectors[0]
    centre = torch.tensor([0, 0])
    messages = angular_messages(radial, envelope, real_spherical_harmonics(unit_vectors, 2), gate[centre], centre, 1)
    pole = torch.tensor([1, 3], dtype=torch.float64).div(4 * torch.pi).sqrt()  # Y_00 and Y_10 at θ = 0
    expected = (envelope.prod() * radial * gate[centre] * pole[:, None]).flip(0)
    torch.testing.assert_close(messages, expected, rtol=0, atol=1e-14)


def test_no_bonds_at_all_are_valid():
    empty = torch.zeros(0, 3, 3)
    messages = angular_messages(empty, torch.zeros(0), torch.zeros(0, 9), empty, torch.zeros(0, dtype=torch.long), 5)
    assert messages.shape == (0, 3, 3)


def test_the_oracle_counts_ordered_pairs_of_different_bonds():
    ij, ik = angles(torch.tensor([0, 0, 0, 1, 2, 2]))
    assert len(ij) == 3 * 2 + 0 + 2 * 1
    assert (ij != ik).all()


@pytest.mark.parametrize("l", range(4))
def test_the_oracle_knows_legendre_polynomials(l):
    x = torch.linspace(-1, 1, 11, dtype=torch.float64)
    np.testing.assert_allclose(legendre(l, x).numpy(), eval_legendre(l, x.numpy()), atol=1e-15)
