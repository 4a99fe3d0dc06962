"""What a term is: an energy of its own, with forces and virial, that is added to a potential's."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tribond.graph.atom_graph import AtomGraph
from tribond.typing import AtomicEnergies, Energies, Forces, Virials


@dataclass(frozen=True, eq=False)
class Contribution:
    """What a term adds to a batch, as float64 tensors on the device of its graph."""

    energy: Energies  # (systems,) eV
    atomic_energies: AtomicEnergies  # (atoms,) eV
    forces: Forces  # (atoms, 3) eV/Å
    virial: Virials  # (systems, 3, 3) eV | dE/dε, symmetric


class Term(Protocol):
    """An energy that depends on elements, positions and cells alone, whatever the bonds of a graph."""

    @property
    def name(self) -> str:
        """As it stands in model files and on the command line, such as d3bj:pbe."""

    def check(self) -> None:
        """Raise ConfigError if it cannot be computed here; the message says why."""

    def contribution(self, graph: AtomGraph) -> Contribution:
        """What it adds to every system of a batch.

        Raises:
            ConfigError: as `check` does.
            StructureError: for a structure that it cannot describe.
        """

    def hessian(self, graph: AtomGraph) -> NDArray[np.float64]:
        """Second derivatives of the energy of one system.  (atoms, 3, atoms, 3) eV/Å²."""
