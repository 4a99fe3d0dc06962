"""Equation (2) as the paper writes it: every pair of bonds that share a centre, one by one. Slow, and plainly right.

The package sums the same without triplets; here stands what it must agree with.
"""

import math

import torch
from torch import Tensor


def legendre(l: int, x: Tensor) -> Tensor:
    """The Legendre polynomial P_l(x), by Bonnet's recurrence."""
    previous, current = torch.zeros_like(x), torch.ones_like(x)
    for order in range(l):
        previous, current = current, ((2 * order + 1) * x * current - order * previous) / (order + 1)
    return current


def angles(centre: Tensor) -> tuple[Tensor, Tensor]:
    """All ordered pairs of different bonds ij and ik with the same centre.  (edges,) -> two of (angles,)."""
    pairs = [
        (ij, ik)
        for ij, i in enumerate(centre.tolist())
        for ik, other in enumerate(centre.tolist())
        if other == i and ik != ij
    ]
    return tuple(torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).unbind(1))


def angular_messages_by_triplets(
    radial: Tensor, envelope: Tensor, unit_vectors: Tensor, gate: Tensor, centre: Tensor, num_atoms: int
) -> Tensor:
    """ẽ_ij[l,n] = Σ_{k≠j} R_ln(r_ik) Y_l0(θ_jik) s_ik[l,n] f_c(r_ij) f_c(r_ik), with Y_l0 = √((2l+1)/4π) P_l(cos θ).

    Args:
        radial: (edges, max_l, max_n) R_ln.
        envelope: (edges,) f_c.
        unit_vectors: (edges, 3), where `angular_messages` takes spherical harmonics of them.
        gate: (edges, max_l, max_n) s of the atom that gates bond ik.
        centre: (edges,) i.
        num_atoms: not needed here.

    Returns:
        (edges, max_l, max_n).
    """
    ij, ik = angles(centre)
    cosine = (unit_vectors[ij] * unit_vectors[ik]).sum(1)
    y = [math.sqrt((2 * l + 1) / (4 * math.pi)) * legendre(l, cosine) for l in range(radial.shape[1])]
    terms = radial[ik] * torch.stack(y, dim=1)[:, :, None] * gate[ik] * (envelope[ij] * envelope[ik])[:, None, None]
    return torch.zeros_like(radial).index_add(0, ij, terms)
