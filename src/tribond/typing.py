"""Tensor types with their shapes, as used in signatures. Checked at run time in the tests only (jaxtyping, beartype)."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Positions = Float[Tensor, "atoms 3"]  # Å
Forces = Float[Tensor, "atoms 3"]  # eV/Å
Cells = Float[Tensor, "systems 3 3"]  # Å, rows are the lattice vectors a, b, c
Stress = Float[Tensor, "systems 3 3"]  # eV/Å³, tension positive
Energies = Float[Tensor, "systems"]  # eV
AtomicEnergies = Float[Tensor, "atoms"]  # eV
AtomIndex = Int[Tensor, "atoms"]
EdgeIndex = Int[Tensor, "2 edges"]  # row 0 the centre i, row 1 the neighbour j
EdgeVectors = Float[Tensor, "edges 3"]  # Å, from i to the image of j
EdgeLengths = Float[Tensor, "edges"]  # Å
NodeFeatures = Float[Tensor, "atoms node_features"]  # v_i
EdgeFeatures = Float[Tensor, "edges edge_features"]  # e_ij
StateFeatures = Float[Tensor, "systems state_features"]  # u
PeriodicAxes = Bool[Tensor, "systems 3"]
