"""DFT-D3(BJ): the dispersion energy that most density functionals lack, computed by the library s-dftd3 (package dftd3).

    E = -1/2 Σ_AB Σ_(n=6,8) s_n C_n^AB / (r_AB^n + (a₁ R₀^AB + a₂)^n)

S. Grimme, J. Antony, S. Ehrlich and H. Krieg, J. Chem. Phys. 132, 154104 (2010); S. Grimme, S. Ehrlich and L. Goerigk,
J. Comput. Chem. 32, 1456 (2011). C_n depend on the numbers of neighbours of both atoms; s₆, s₈, a₁ and a₂ belong to the
functional. Two-body terms alone, as `IVDW = 12` of VASP; pairs up to 60 Bohr and neighbours up to 40 Bohr, as the library
has it.
"""

from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from ase.geometry import complete_cell
from ase.units import Bohr, Hartree
from numpy.typing import NDArray
from torch import Tensor

from tribond.errors import ConfigError, StructureError
from tribond.graph.atom_graph import AtomGraph
from tribond.terms.term import Contribution

KIND = "d3bj"
LAST_ELEMENT = 103  # Lr: for heavier ones the library gives zero, and says nothing
MOST_SHARED = 5000  # atoms: beyond, the table of pair energies that atomic ones are made of would take gigabytes


class Dispersion:
    """DFT-D3(BJ) for one functional.

    Args:
        functional: a name that the library knows, such as pbe, pbesol, r2scan, b3lyp.
    """

    def __init__(self, functional: str) -> None:
        self.functional = functional.lower()

    def __repr__(self) -> str:
        """What it is."""
        return f"Dispersion({self.functional!r})"

    @property
    def name(self) -> str:
        """As it stands in model files and on the command line."""
        return f"{KIND}:{self.functional}"

    def check(self) -> None:
        """Raise ConfigError if the library is not there or does not know the functional."""
        _damping(self.functional)

    def contribution(self, graph: AtomGraph) -> Contribution:
        """Energy, forces and virial of every system of a batch.

        Atomic energies are half of each pair's for either atom; NaN in systems of more than 5,000 atoms.

        Raises:
            ConfigError: if the library is not there or does not know the functional.
            StructureError: for elements beyond Lr, and for atoms on top of each other.
        """
        damping = _damping(self.functional)
        counts = graph.atoms_per_system().tolist()
        energies, virials, atomic, forces = [], [], [np.zeros(0)], [np.zeros((0, 3))]
        for system, model in enumerate(_models(graph)):
            energy, virial = 0.0, np.zeros((3, 3))
            if model is not None:
                found = model.get_dispersion(damping, grad=True)
                energy = float(found["energy"]) * Hartree
                virial = (found["virial"] + found["virial"].T) / 2 * Hartree
                forces.append(-found["gradient"] * Hartree / Bohr)
                if counts[system] > MOST_SHARED:
                    atomic.append(np.full(counts[system], np.nan))
                else:
                    pairs = model.get_pairwise_dispersion(damping)["additive pairwise energy"]
                    atomic.append(pairs.sum(axis=1) * Hartree)
            energies.append(energy)
            virials.append(virial)

        def tensor(values: Any) -> Tensor:
            return torch.as_tensor(np.asarray(values, dtype=np.float64), device=graph.device)

        return Contribution(
            energy=tensor(energies),
            atomic_energies=tensor(np.concatenate(atomic)),
            forces=tensor(np.concatenate(forces)),
            virial=tensor(np.reshape(virials, (-1, 3, 3))),
        )

    def hessian(self, graph: AtomGraph) -> NDArray[np.float64]:
        """Second derivatives of the energy of one system; errors as of `contribution`.  (atoms, 3, atoms, 3) eV/Å²."""
        damping = _damping(self.functional)
        (model,) = _models(graph)
        shape = (graph.num_atoms, 3, graph.num_atoms, 3)
        if model is None:
            return np.zeros(shape)
        found: NDArray[np.float64] = model.get_hessian(damping)["hessian"]
        return found.reshape(shape) * (Hartree / Bohr**2)


def _models(graph: AtomGraph) -> list[Any]:
    """The library's model of every system; None for a system without atoms."""
    interface = _library()
    numbers, positions, cells, pbc = (
        it.cpu().numpy() for it in (graph.atomic_numbers, graph.positions, graph.cell, graph.pbc)
    )
    ends = np.cumsum([0, *graph.atoms_per_system().tolist()])
    models: list[Any] = []
    for system, (start, end) in enumerate(pairwise(ends.tolist())):
        of_atoms = numbers[start:end]
        if start == end:
            models.append(None)
            continue
        if of_atoms.max() > LAST_ELEMENT:
            symbol = chemical_symbols[int(of_atoms.max())]
            msg = f"system {system}: D3 has no numbers for {symbol}; it knows H to {chemical_symbols[LAST_ELEMENT]}"
            raise StructureError(msg)
        lattice = {"lattice": complete_cell(cells[system]) / Bohr, "periodic": pbc[system]} if pbc[system].any() else {}
        try:
            models.append(interface.DispersionModel(of_atoms, positions[start:end] / Bohr, **lattice))
        except RuntimeError as error:
            msg = f"system {system}: D3 cannot be computed: {error}"
            raise StructureError(msg) from error
    return models


def _library() -> ModuleType:
    try:
        from dftd3 import interface
    except ImportError as error:
        msg = "dispersion needs the package dftd3: pip install 'tribond[d3]'"
        raise ConfigError(msg) from error
    return interface


def _damping(functional: str) -> Any:
    """The library's parameters of a functional. Not kept: what lives when Python ends is freed too late, with a complaint."""
    try:
        return _library().RationalDampingParam(method=functional)
    except RuntimeError as error:
        msg = f"D3(BJ) has no parameters for the functional {functional!r}; it has them for pbe, pbesol, rpbe, r2scan, ..."
        raise ConfigError(msg) from error
