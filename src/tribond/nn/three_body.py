"""Three-body to bond: equations (2) and (3), without listing triplets.

    ẽ_ij[l,n] = Σ_{k≠j} R_ln(r_ik) Y_l0(θ_jik) s[l,n] f_c(r_ij) f_c(r_ik)

By the addition theorem Y_l0(θ_jik) = √(4π/(2l+1)) Σ_m Y_lm(r̂_ij) Y_lm(r̂_ik): the sum over k becomes one density per
atom, built in one pass over the bonds and read back in a second. Cost and memory are linear in bonds. The explicit
sum over triplets stands in the tests, as the oracle.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from tribond.nn.basis import SmoothBesselPerL, SphericalBessel, real_spherical_harmonics
from tribond.nn.config import LEAST_BODIES, M3GNetConfig
from tribond.nn.cutoff import polynomial_cutoff
from tribond.nn.four_body import FourBodyProducts
from tribond.nn.gated_mlp import GatedMLP


class AngularBasis(nn.Module):
    """What (2) needs of every bond inside the three-body cutoff, computed once for all blocks."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        radial = SphericalBessel if config.angle_radial_basis == "spherical_bessel" else SmoothBesselPerL
        self.radial = radial(config.max_n, config.max_l, config.cutoff)
        self.max_l = config.max_l
        self.cutoff = config.threebody_cutoff

    def forward(self, vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bond vectors (edges, 3) and lengths (edges,), Å, to what `angular_messages` takes.

        Returns:
            radial (edges, max_l, max_n), envelope (edges,), harmonics (edges, max_l²).
        """
        harmonics = real_spherical_harmonics(vectors / lengths[:, None], self.max_l)
        return self.radial(lengths), polynomial_cutoff(lengths, self.cutoff), harmonics


class ThreeBodyToBond(nn.Module):
    """Adds to every bond what the angles at its centre say: e_ij ← e_ij + g(W̃₂ ẽ_ij) ⊙ σ(W̃₁ ẽ_ij), (3).

    With `bodies = 4` it is ẽ ⊕ ẽ⁽⁴⁾ in the place of ẽ: see nn/four_body.py.
    """

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        self.gated_atom: Literal["end", "centre"] = config.angle_gate
        self.shape = (config.max_l, config.max_n)
        self.atom_gate = nn.Linear(config.node_features, config.max_l * config.max_n)
        self.products = FourBodyProducts(config) if config.bodies > LEAST_BODIES else None
        width = config.max_l * config.max_n * (1 if self.products is None else 2)
        self.bond_update = GatedMLP([width, config.edge_features], bias=False)

    def forward(
        self,
        nodes: Tensor,
        edges: Tensor,
        angular_basis: tuple[Tensor, Tensor, Tensor],
        edge_index: Tensor,
        angle_edges: Tensor,
    ) -> Tensor:
        """Update the bonds.

        Args:
            nodes: (atoms, node_features) v.
            edges: (edges, edge_features) e.
            angular_basis: of the bonds `angle_edges`.
            edge_index: (2, edges).
            angle_edges: (angle_edges,) bonds within the three-body cutoff; the others have no angle and stay.

        Returns:
            (edges, edge_features).
        """
        gate = torch.sigmoid(self.atom_gate(nodes)).unflatten(1, self.shape)  # σ(W_v v + b_v)
        centre, neighbour = edge_index[:, angle_edges]
        gated_by = neighbour if self.gated_atom == "end" else centre
        messages = angular_messages(*angular_basis, gate[gated_by], centre, nodes.shape[0]).flatten(1)
        if self.products is not None:
            messages = self.products(messages)
        return edges.index_add(0, angle_edges, self.bond_update(messages))


def angular_messages(
    radial: Tensor, envelope: Tensor, harmonics: Tensor, gate: Tensor, centre: Tensor, num_atoms: int
) -> Tensor:
    """The sum ẽ_ij over all angles of every bond, (2).

    Args:
        radial: (edges, max_l, max_n) normalised R_ln(r_ik).
        envelope: (edges,) f_c(r_ik).
        harmonics: (edges, max_l²) Y_lm(r̂_ik).
        gate: (edges, max_l, max_n) s of the atom that gates bond ik.
        centre: (edges,) i.
        num_atoms: atoms in the batch.

    Returns:
        (edges, max_l, max_n). The only bond of an atom has no angle and gets zero to rounding.
    """
    max_l = radial.shape[1]
    weighted = envelope[:, None, None] * radial * gate  # what bond ik contributes, but for its direction
    messages = []
    for l in range(max_l):
        y = harmonics[:, l * l : (l + 1) ** 2]  # (edges, 2l+1)
        contributions = y[:, :, None] * weighted[:, l, None, :]  # (edges, 2l+1, n)
        density = contributions.new_zeros(num_atoms, *contributions.shape[1:]).index_add(0, centre, contributions)
        pole = math.sqrt((2 * l + 1) / (4 * math.pi))  # Y_l0(0), and 1 / pole = √(4π / (2l+1))
        seen = (y[:, :, None] * density[centre]).sum(1) / pole
        messages.append(seen - pole * weighted[:, l])  # without k = j, where cos θ = 1
    return envelope[:, None, None] * torch.stack(messages, dim=1)
