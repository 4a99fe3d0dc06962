"""Radial and angular basis functions: equations (10)-(15), and the j_l and Y_l of equation (2)."""

import math
from functools import cache
from itertools import pairwise

import torch
from scipy.optimize import brentq
from scipy.special import spherical_jn
from torch import Tensor, nn

SERIES_BELOW = 1.0  # under this argument j_l is summed as a series: the closed form cancels all digits there
SERIES_TERMS = 8


class SmoothBessel(nn.Module):
    """The orthonormal radial functions h_m(r) of (10)-(15), smooth to second order at the cutoff (arXiv 1907.02374).

    h_m is the sum of sinc(r k π / r_c) over k = 1 ... m + 2 with fixed coefficients, which are worked out once here.
    """

    coefficients: Tensor  # (max_n, max_n + 1)
    wave_numbers: Tensor  # (max_n + 1,) 1/Å

    def __init__(self, max_n: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        m = torch.arange(max_n, dtype=torch.float64)
        norm = math.sqrt(2) * math.pi / cutoff**1.5
        f = (-1) ** m * norm * (m + 1) * (m + 2) / ((m + 1) ** 2 + (m + 2) ** 2).sqrt()  # (12): weight of both sincs
        e = m**2 * (m + 2) ** 2 / (4 * (m + 1) ** 4 + 1)  # (13)
        rows = torch.zeros(max_n, max_n + 1, dtype=torch.float64)  # h_m = Σ_k rows[m, k] sinc(r (k + 1) π / r_c)
        d = torch.ones(max_n, dtype=torch.float64)
        for i in range(max_n):
            rows[i, i : i + 2] = f[i]
            if i > 0:
                d[i] = 1 - e[i] / d[i - 1]  # (14)
                rows[i] = (rows[i] + (e[i] / d[i - 1]).sqrt() * rows[i - 1]) / d[i].sqrt()  # (15)
        self.register_buffer("coefficients", rows, persistent=False)
        wave_numbers = torch.arange(1, max_n + 2, dtype=torch.float64) * math.pi / cutoff
        self.register_buffer("wave_numbers", wave_numbers, persistent=False)

    def forward(self, lengths: Tensor) -> Tensor:
        """h_m(r).  (edges,) Å -> (edges, max_n), zero at and beyond the cutoff."""
        phase = lengths.clamp(max=self.cutoff)[:, None] * self.wave_numbers
        values = (torch.sin(phase) / phase) @ self.coefficients.T
        return torch.where(lengths[:, None] < self.cutoff, values, 0.0)


class SphericalBessel(nn.Module):
    """j_l(z_ln r / r_c), z_ln the n-th root of j_l, normalised by √(2/r_c³) / |j_{l+1}(z_ln)| (arXiv 2003.03123).

    Zero at the cutoff, but with a slope there: bonds that use it as e⁰ leave the cutoff with a kink in the energy.
    """

    wave_numbers: Tensor  # (max_l, max_n) 1/Å
    norms: Tensor  # (max_l, max_n) Å^(-3/2)

    def __init__(self, max_n: int, max_l: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.max_l = max_l
        roots = [spherical_bessel_roots(l, max_n) for l in range(max_l)]
        slopes = [[abs(float(spherical_jn(l + 1, z))) for z in row] for l, row in enumerate(roots)]
        self.register_buffer("wave_numbers", torch.tensor(roots, dtype=torch.float64) / cutoff, persistent=False)
        norms = math.sqrt(2 / cutoff**3) / torch.tensor(slopes, dtype=torch.float64)
        self.register_buffer("norms", norms, persistent=False)

    def forward(self, lengths: Tensor) -> Tensor:
        """Normalised j_l.  (edges,) Å -> (edges, max_l, max_n), zero at and beyond the cutoff."""
        inside = lengths.clamp(max=self.cutoff)[:, None]
        values = [spherical_bessel(l, inside * self.wave_numbers[l]) for l in range(self.max_l)]
        return torch.where(lengths[:, None, None] < self.cutoff, torch.stack(values, dim=1) * self.norms, 0.0)


class SmoothBesselPerL(nn.Module):
    """MatGL's `use_smooth` angle basis: max_l · max_n smooth functions where (2) has j_l, counted through l by l."""

    def __init__(self, max_n: int, max_l: int, cutoff: float) -> None:
        super().__init__()
        self.shape = (max_l, max_n)
        self.smooth = SmoothBessel(max_n * max_l, cutoff)

    def forward(self, lengths: Tensor) -> Tensor:
        """h_m with m = l · max_n + n.  (edges,) Å -> (edges, max_l, max_n)."""
        return self.smooth(lengths).unflatten(1, self.shape)


def spherical_bessel(l: int, x: Tensor) -> Tensor:
    """The spherical Bessel function j_l(x) for x >= 0, by recurrence, and by its series near zero. Any shape."""
    safe = x.clamp(min=SERIES_BELOW)
    sine = torch.sin(safe) / safe
    previous, current = torch.cos(safe) / safe, sine  # j_{-1}, j_0
    for order in range(l):
        previous, current = current, (2 * order + 1) / safe * current - previous
    return torch.where(x < SERIES_BELOW, _spherical_bessel_series(l, x.clamp(max=SERIES_BELOW)), current)


def _spherical_bessel_series(l: int, x: Tensor) -> Tensor:
    """x^l / (2l+1)!! · (1 - x²/2 / (2l+3) · (1 - x²/2 / (2 (2l+5)) · ...)), by Horner's rule."""
    half = x * x / 2
    total = torch.ones_like(x)
    for k in range(SERIES_TERMS, 0, -1):
        total = 1 - half / (k * (2 * (l + k) + 1)) * total
    return x**l / math.prod(range(1, 2 * l + 2, 2)) * total


@cache
def spherical_bessel_roots(l: int, count: int) -> tuple[float, ...]:
    """The first `count` positive roots of j_l. Those of j_l lie between neighbouring roots of j_{l-1}."""
    if l == 0:
        return tuple(math.pi * n for n in range(1, count + 1))
    brackets = spherical_bessel_roots(l - 1, count + 1)
    return tuple(
        float(brentq(lambda x: float(spherical_jn(l, x)), a, b, xtol=1e-14, rtol=1e-15)) for a, b in pairwise(brackets)
    )


def real_spherical_harmonics(unit_vectors: Tensor, max_l: int) -> Tensor:
    """Orthonormal real Y_lm for l < max_l <= 4, as polynomials of the unit vector.

    Args:
        unit_vectors: (edges, 3).
        max_l: number of angular momenta.

    Returns:
        (edges, max_l²), columns (0,0) (1,-1) (1,0) (1,1) (2,-2) ... (3,3).
    """
    x, y, z = unit_vectors.unbind(-1)
    columns = [torch.full_like(x, math.sqrt(1 / (4 * math.pi)))]
    if max_l > 1:
        c = math.sqrt(3 / (4 * math.pi))
        columns += [c * y, c * z, c * x]
    if max_l > 2:
        c = math.sqrt(15 / (4 * math.pi))
        columns += [c * x * y, c * y * z, c / math.sqrt(12) * (3 * z * z - 1), c * x * z, c / 2 * (x * x - y * y)]
    if max_l > 3:
        c = math.sqrt(35 / (32 * math.pi))
        d = math.sqrt(105 / (4 * math.pi))
        e = math.sqrt(21 / (32 * math.pi))
        f = math.sqrt(7 / (16 * math.pi))
        columns += [
            c * y * (3 * x * x - y * y),
            d * x * y * z,
            e * y * (5 * z * z - 1),
            f * z * (5 * z * z - 3),
            e * x * (5 * z * z - 1),
            d / 2 * z * (x * x - y * y),
            c * x * (x * x - 3 * y * y),
        ]
    return torch.stack(columns, dim=-1)
