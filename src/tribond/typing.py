"""Tensor types with their shapes, as they stand in signatures."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Positions = Float[Tensor, "atoms 3"]  # Å
Cells = Float[Tensor, "systems 3 3"]  # Å, rows are the lattice vectors a, b, c
PeriodicAxes = Bool[Tensor, "systems 3"]  # periodic along a, b, c
AtomicNumbers = Int[Tensor, "atoms"]
SystemIndex = Int[Tensor, "atoms"]  # the system an atom belongs to
EdgeIndex = Int[Tensor, "2 edges"]  # row 0 the centre i, row 1 the neighbour j
CellShifts = Float[Tensor, "edges 3"]  # whole cells between i and the image of j
EdgeVectors = Float[Tensor, "edges 3"]  # Å, from i to the image of j
AngleEdges = Int[Tensor, "angle_edges"]  # bonds within the three-body cutoff

NodeFeatures = Float[Tensor, "atoms node_features"]  # v_i
EdgeFeatures = Float[Tensor, "edges edge_features"]  # e_ij
StateFeatures = Float[Tensor, "systems state_features"]  # u
EdgeBasis = Float[Tensor, "edges edge_basis"]  # e⁰_ij

Energies = Float[Tensor, "systems"]  # eV
AtomicEnergies = Float[Tensor, "atoms"]  # eV
Forces = Float[Tensor, "atoms 3"]  # eV/Å
Virials = Float[Tensor, "systems 3 3"]  # eV, dE/dε
Stresses = Float[Tensor, "systems 3 3"]  # eV/Å³, ASE's sign: tension positive
