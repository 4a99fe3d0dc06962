"""Four bodies to bond: equation (1) beyond three bodies, as products of two angular sums at the same bond.

    ẽ⁽⁴⁾_ij[p] = (Σ_ln a[p;l,n] ẽ_ij[l,n]) (Σ_ln b[p;l,n] ẽ_ij[l,n])

with the three-body sums ẽ_ij of (2) and learned a and b. Multiplied out this is a sum over two neighbours k and k' of i,

    ẽ⁽⁴⁾_ij[p] = Σ_(k≠j) Σ_(k'≠j) A_p(r_ik, θ_jik, v_k) B_p(r_ik', θ_jik', v_k') f_c(r_ij)²

so each term joins four atoms, i, j, k and k', by two independent angles at the bond ij; the angle between ik and ik' does
not enter. Neither pairs nor triples of bonds are listed. Terms with k = k', which (1) leaves out, stay in: they are
three-body terms of a richer angular shape, and to take them out would need densities of their own.
"""

import torch
from torch import Tensor, nn

from tribond.nn.config import M3GNetConfig


class FourBodyProducts(nn.Module):
    """Appends to the angular sums of every bond as many products of two mixtures of them."""

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        width = config.max_l * config.max_n
        self.first = nn.Linear(width, width, bias=False)  # a
        self.second = nn.Linear(width, width, bias=False)  # b

    def forward(self, messages: Tensor) -> Tensor:
        """ẽ ⊕ ẽ⁽⁴⁾.  (edges, max_l · max_n) -> (edges, 2 · max_l · max_n), zero where ẽ is zero."""
        return torch.cat([messages, self.first(messages) * self.second(messages)], dim=1)
