"""Two nuclei that come too close: the screened repulsion of Ziegler, Biersack and Littmark, added to the network.

    V(r) = e²/4πε₀ · Z_i Z_j / r · φ(r / a),   a = 0.46850 Å / (Z_i^0.23 + Z_j^0.23)

(Ziegler, Biersack & Littmark, The Stopping and Range of Ions in Solids, 1985). It fades out between `inner` and `outer`, fractions
of the sum of the covalent radii, by 1 - 10 t³ + 15 t⁴ - 6 t⁵, so that forces and their derivatives are continuous. There
no bond of a crystal at rest is so short: what the network has learned is left alone. A network has seen few structures
with atoms closer than that, and may attract them to each other.
"""

import torch
from ase.data import covalent_radii
from torch import Tensor
from torch.linalg import vector_norm

from tribond.nn.config import M3GNetConfig
from tribond.nn.reference_energy import DoublePrecisionTables

COULOMB = 14.399645478  # eV Å | e²/4πε₀, CODATA 2018
SCREENING_LENGTH = 0.46850  # Å
SCREENING_POWER = 0.23
PART_BONDS = 2**20
SCREENING = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))  # φ(x) = Σ c exp(-d x)


class Repulsion(DoublePrecisionTables):
    """Half of the pair's energy for each of its two bonds, in float64.

    Args:
        config: says between which fractions of the sum of covalent radii (Cordero et al. 2008) it fades out.
    """

    charge: Tensor  # (elements,) Z
    radius: Tensor  # (elements,) Å

    def __init__(self, config: M3GNetConfig) -> None:
        super().__init__()
        self.inner, self.outer = config.repulsion_inner, config.repulsion_outer
        charge = torch.tensor(config.atomic_numbers, dtype=torch.float64)
        radius = torch.tensor([covalent_radii[it] for it in config.atomic_numbers], dtype=torch.float64)
        self.register_buffer("charge", charge, persistent=False)
        self.register_buffer("radius", radius)

    def forward(self, edge_vectors: Tensor, edge_index: Tensor, element: Tensor) -> Tensor:
        """(edges, 3) Å, (2, edges), (atoms,) rows of the elements -> (atoms,) eV: half of all pairs that an atom is in."""
        centre, neighbour = edge_index
        r = vector_norm(edge_vectors.to(self.radius.dtype), dim=1)
        i, j = element[centre], element[neighbour]
        screen = self.charge**SCREENING_POWER
        reach = self.radius[i] + self.radius[j]
        t = ((r / reach - self.inner) / (self.outer - self.inner)).clamp(0.0, 1.0)
        fade = 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t**2)
        x = r / SCREENING_LENGTH * (screen[i] + screen[j])
        screened = torch.zeros_like(x)
        for share, rate in SCREENING:
            screened = screened + share * torch.exp(-rate * x)
        pair = COULOMB * self.charge[i] * self.charge[j] / r * screened * fade
        return torch.zeros_like(self.radius[element]).index_add(0, centre, pair / 2)

    def energy_and_gradient(self, edge_vectors: Tensor, edge_index: Tensor, element: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and its derivative by the vector of every bond.  (atoms,) eV and (edges, 3) eV/Å.

        Part by part: automatic differentiation keeps some 300 bytes a bond.
        """
        energies = torch.zeros_like(self.radius[element])
        gradient = torch.zeros_like(edge_vectors)
        for first in range(0, len(edge_vectors), PART_BONDS):
            part = slice(first, first + PART_BONDS)
            with torch.enable_grad():
                leaf = edge_vectors[part].detach().requires_grad_()
                own = self(leaf, edge_index[:, part], element)
                (gradient[part],) = torch.autograd.grad(own.sum(), leaf, materialize_grads=True)
            energies += own.detach()
        return energies, gradient
