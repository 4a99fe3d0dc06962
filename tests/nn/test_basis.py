"""Radial and angular basis functions: what they are, that they are orthonormal, and how they end at the cutoff."""

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import leggauss
from scipy.special import eval_legendre, spherical_jn

from tests.nn.paper_oracle import bessel_basis, bessel_roots, envelope, smooth_basis
from tribond.nn.basis import (
    SERIES_BELOW,
    SmoothBessel,
    SmoothBesselPerL,
    SphericalBessel,
    real_spherical_harmonics,
    spherical_bessel,
    spherical_bessel_roots,
)
from tribond.nn.cutoff import polynomial_cutoff

CUTOFF = 5.0  # Å
LENGTHS = torch.linspace(0.3, 4.99, 57, dtype=torch.float64)


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def radial_quadrature(order: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    """Points in [0, cutoff] and weights of ∫ f(r) r² dr."""
    x, w = leggauss(order)
    r = CUTOFF * (x + 1) / 2
    return torch.from_numpy(r), torch.from_numpy(w * CUTOFF / 2 * r**2)


def sphere_quadrature() -> tuple[torch.Tensor, torch.Tensor]:
    """Points on the unit sphere and weights, exact for polynomials up to degree 9."""
    z, w = leggauss(5)
    phi = np.arange(10) * 2 * np.pi / 10
    z, phi = (grid.ravel() for grid in np.meshgrid(z, phi, indexing="ij"))
    rho = np.sqrt(1 - z**2)
    points = np.stack([rho * np.cos(phi), rho * np.sin(phi), z], axis=1)
    return torch.from_numpy(points), torch.from_numpy(np.repeat(w, 10) * 2 * np.pi / 10)


def derivatives(function, r: torch.Tensor, count: int = 2) -> list[torch.Tensor]:
    """The function and its derivatives at every r, for functions of one output at a time."""
    r = r.clone().requires_grad_()
    results = [function(r)]
    for _ in range(count):
        results.append(torch.autograd.grad(results[-1].sum(), r, create_graph=True)[0])
    return [result.detach() for result in results]


@pytest.mark.parametrize("max_n", [1, 3, 9])
def test_smooth_functions_are_those_of_the_recursion(max_n):
    expected = [smooth_basis(r, max_n, CUTOFF) for r in LENGTHS.tolist()]
    np.testing.assert_allclose(SmoothBessel(max_n, CUTOFF)(LENGTHS), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("max_n", [3, 9])
def test_smooth_functions_are_orthonormal(max_n):
    r, weight = radial_quadrature()
    h = SmoothBessel(max_n, CUTOFF)(r)
    torch.testing.assert_close(torch.einsum("ra,rb,r->ab", h, h, weight), torch.eye(max_n).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", range(4))
def test_smooth_functions_end_with_value_slope_and_curvature_zero(n):
    basis = SmoothBessel(4, CUTOFF)
    near = derivatives(lambda r: basis(r)[:, n], double(CUTOFF - 1e-7))
    beyond = derivatives(lambda r: basis(r)[:, n], double(CUTOFF, CUTOFF + 1e-7, 8.0))
    for order, tolerance in enumerate((1e-12, 1e-12, 1e-5)):
        assert near[order].abs().max() < tolerance
        assert not beyond[order].any()


@pytest.mark.parametrize(("max_n", "max_l"), [(3, 3), (4, 4), (1, 1)])
def test_plain_functions_are_normalised_spherical_bessel_functions(max_n, max_l):
    expected = [bessel_basis(r, max_n, max_l, CUTOFF) for r in LENGTHS.tolist()]
    np.testing.assert_allclose(SphericalBessel(max_n, max_l, CUTOFF)(LENGTHS), expected, rtol=0, atol=1e-12)


def test_plain_functions_of_each_l_are_orthonormal():
    r, weight = radial_quadrature()
    j = SphericalBessel(4, 4, CUTOFF)(r)
    overlap = torch.einsum("rla,rlb,r->lab", j, j, weight)
    torch.testing.assert_close(overlap, torch.eye(4).double().expand(4, 4, 4), rtol=0, atol=1e-12)


def test_plain_functions_end_at_zero_but_with_a_slope():
    basis = SphericalBessel(3, 3, CUTOFF)
    for l in range(3):
        for n in range(3):
            value, slope, _ = derivatives(lambda r, l=l, n=n: basis(r)[:, l, n], double(CUTOFF - 1e-9))
            assert value.abs() < 1e-8
            assert slope.abs() > 0.01  # Å^-5/2
    assert not basis(double(CUTOFF, 6.0)).any()


def test_smooth_functions_by_l_are_one_series_counted_through():
    per_l = SmoothBesselPerL(3, 2, CUTOFF)(LENGTHS)
    assert per_l.shape == (len(LENGTHS), 2, 3)
    torch.testing.assert_close(per_l.flatten(1), SmoothBessel(6, CUTOFF)(LENGTHS), rtol=0, atol=0)


@pytest.mark.parametrize("l", range(6))
def test_spherical_bessel_functions_are_those_of_scipy(l):
    x = torch.cat([torch.logspace(-8, 0, 40, dtype=torch.float64), torch.linspace(0, 40, 400, dtype=torch.float64)])
    np.testing.assert_allclose(spherical_bessel(l, x), spherical_jn(l, x.numpy()), rtol=0, atol=2e-13)


@pytest.mark.parametrize("l", range(4))
def test_so_are_their_slopes_and_nothing_is_nan_near_zero(l):
    x = torch.cat([double(1e-9, 1e-4, 0.3), torch.linspace(0.9, 1.1, 21, dtype=torch.float64), double(7.0)])
    _, slope, curvature = derivatives(lambda x: spherical_bessel(l, x), x)
    np.testing.assert_allclose(slope, spherical_jn(l, x.numpy(), derivative=True), rtol=0, atol=1e-12)
    assert torch.isfinite(curvature).all()


@pytest.mark.parametrize("l", range(4))
def test_series_and_recurrence_meet_without_a_seam(l):
    """The two ways to evaluate j_l, at either side of where one takes over from the other."""
    seam = double(SERIES_BELOW - 1e-13, SERIES_BELOW)
    for order, result in enumerate(derivatives(lambda x: spherical_bessel(l, x), seam)):
        below, above = result.tolist()
        assert below == pytest.approx(above, abs=1e-11), f"derivative {order}"


@pytest.mark.parametrize("l", range(4))
def test_float32_loses_only_its_own_digits(l):
    x = torch.linspace(0.01, 20, 500, dtype=torch.float64)
    np.testing.assert_allclose(spherical_bessel(l, x.float()), spherical_jn(l, x.numpy()), rtol=0, atol=3e-6)


@pytest.mark.parametrize("l", range(5))
def test_roots_are_all_roots_from_the_first_on(l):
    roots = spherical_bessel_roots(l, 6)
    np.testing.assert_allclose(roots, bessel_roots(l, 6), rtol=0, atol=1e-10)
    np.testing.assert_allclose(spherical_jn(l, np.array(roots)), 0, atol=1e-14)


def test_spherical_harmonics_are_orthonormal():
    points, weight = sphere_quadrature()
    y = real_spherical_harmonics(points, 4)
    torch.testing.assert_close(torch.einsum("pa,pb,p->ab", y, y, weight), torch.eye(16).double(), rtol=0, atol=1e-13)


def test_spherical_harmonics_obey_the_addition_theorem():
    """Σ_m Y_lm(a) Y_lm(b) = (2l+1)/4π P_l(a·b): what makes the angular sum linear."""
    points, _ = sphere_quadrature()
    a, b = points, points.roll(7, dims=0)
    ya, yb = real_spherical_harmonics(a, 4), real_spherical_harmonics(b, 4)
    for l in range(4):
        columns = slice(l * l, (l + 1) ** 2)
        expected = (2 * l + 1) / (4 * np.pi) * eval_legendre(l, (a * b).sum(1).numpy())
        np.testing.assert_allclose((ya * yb)[:, columns].sum(1), expected, rtol=0, atol=1e-14)


def test_the_middle_column_of_every_l_is_the_legendre_polynomial_of_z():
    points, _ = sphere_quadrature()
    y = real_spherical_harmonics(points, 4)
    for l in range(4):
        expected = np.sqrt((2 * l + 1) / (4 * np.pi)) * eval_legendre(l, points[:, 2].numpy())
        np.testing.assert_allclose(y[:, l * l + l], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("max_l", [1, 2, 3])
def test_fewer_angular_momenta_are_the_first_columns(max_l):
    points, _ = sphere_quadrature()
    few, many = real_spherical_harmonics(points, max_l), real_spherical_harmonics(points, 4)
    torch.testing.assert_close(few, many[:, : max_l**2], rtol=0, atol=0)


def test_the_envelope_is_the_polynomial_of_the_paper():
    expected = [envelope(r, 4.0) for r in LENGTHS.tolist()]
    np.testing.assert_allclose(polynomial_cutoff(LENGTHS, 4.0), expected, rtol=0, atol=1e-14)


def test_the_envelope_starts_at_one_and_ends_at_zero_both_with_two_derivatives():
    start = derivatives(lambda r: polynomial_cutoff(r, 4.0), double(1e-9))
    end = derivatives(lambda r: polynomial_cutoff(r, 4.0), double(4.0 - 1e-9))
    beyond = derivatives(lambda r: polynomial_cutoff(r, 4.0), double(4.0 + 1e-9, 4.7, 40.0))
    assert start[0].item() == pytest.approx(1)
    for result in (*start[1:], *end):
        assert result.abs().max() < 1e-8
    for result in beyond:
        assert not result.any()
