"""What a force field is: energy, forces and stress of structures, whoever computes them.

A calculator, a simulation or a screening takes anything that has these few names: a `Potential`, an exported package, a
sum of several, an ensemble.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from tribond.graph.atom_graph import AtomGraph
from tribond.models.trained_model import State
from tribond.typing import AtomicEnergies, Energies, Forces, Stresses, Virials

if TYPE_CHECKING:
    from ase import Atoms

    from tribond.graph.build import AnyStructure


@dataclass(frozen=True, eq=False)
class Spread:
    """How far the members of an ensemble differ about one structure: standard deviations over them.

    With N members, x̄ their mean: σ = √(Σ (x - x̄)² / (N - 1)), of every number by itself.
    """

    energy_std: float  # eV, of the energy of the whole structure
    forces_std: NDArray[np.float64]  # (atoms, 3) eV/Å, of every component
    stress_std: NDArray[np.float64] | None  # (3, 3) eV/Å³; None unless fully periodic

    @property
    def energy_std_per_atom(self) -> float:
        """The same divided by the number of atoms, eV/atom; 0 without atoms."""
        return self.energy_std / max(len(self.forces_std), 1)

    @property
    def force_spread(self) -> NDArray[np.float64]:
        """One number an atom: √(σ_x² + σ_y² + σ_z²) of its force, which no rotation changes.  (atoms,) eV/Å."""
        return np.sqrt((self.forces_std**2).sum(axis=1))

    @property
    def max_force_spread(self) -> float:
        """The largest of them, eV/Å; 0 without atoms."""
        return float(self.force_spread.max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a potential says about one structure, as numpy arrays on the CPU."""

    energy: float  # eV
    atomic_energies: NDArray[np.float64]  # (atoms,) eV, summing to the energy but for a constant offset of the model
    forces: NDArray[np.float64]  # (atoms, 3) eV/Å
    stress: NDArray[np.float64] | None  # (3, 3) eV/Å³, ASE's sign: tension positive; None unless fully periodic
    hessian: NDArray[np.float64] | None = None  # (atoms, 3, atoms, 3) eV/Å²
    spread: Spread | None = None  # of ensembles


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The same for a batch of systems, as tensors that still know their gradients."""

    energy: Energies  # (systems,) eV
    atomic_energies: AtomicEnergies  # (atoms,) eV
    forces: Forces  # (atoms, 3) eV/Å
    virial: Virials  # (systems, 3, 3) eV | dE/dε, symmetric
    stress: Stresses  # (systems, 3, 3) eV/Å³ | virial / volume; NaN unless fully periodic


@dataclass(frozen=True, eq=False)
class EvaluationWithSpread(Evaluation):
    """What an ensemble evaluates: means over its members, and their standard deviations as in `Spread`."""

    energy_std: Energies  # (systems,) eV
    forces_std: Forces  # (atoms, 3) eV/Å
    stress_std: Stresses  # (systems, 3, 3) eV/Å³; NaN unless fully periodic


@runtime_checkable
class ForceField(Protocol):
    """Anything that gives energies, forces and stresses. It need not inherit from this."""

    @property
    def cutoff(self) -> float:
        """Longest bond of the graphs that `evaluate` takes, Å."""

    @property
    def threebody_cutoff(self) -> float:
        """Longest bond that takes part in angles, Å; at most the cutoff."""

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that it knows."""

    @property
    def device(self) -> torch.device:
        """Where it computes, and where graphs must lie."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision that it computes in; results are float64."""

    def evaluate(self, graph: AtomGraph) -> Evaluation:
        """Energy, forces and stress of a batch, as tensors.

        Args:
            graph: with bonds up to the cutoffs, of known elements, on the device.
        """

    def predict(self, structures: "AnyStructure | Iterable[AnyStructure]") -> list[Prediction]:
        """Energy, forces and stress of one or many structures.

        Args:
            structures: ASE Atoms, pymatgen Structure or Molecule, or an iterable of them; only read.

        Returns:
            One prediction a structure, in order; for one structure, a list of one.

        Raises:
            StructureError: for a structure that makes no sense or holds an unknown element; it says which.
        """


@runtime_checkable
class TakesState(Protocol):
    """A force field that may need a state input besides the structure."""

    def with_state(self, graph: AtomGraph, state: State | None = None) -> AtomGraph:
        """The graph of one structure with its state input, on the force field's device.

        Raises:
            ConfigError: for a state that is missing, not wanted or does not fit.
        """


@runtime_checkable
class GivesSpread(Protocol):
    """A force field whose results have a spread: `evaluate` gives an `EvaluationWithSpread`."""

    @property
    def num_members(self) -> int:
        """Over how many members."""


@runtime_checkable
class RecordsSteps(Protocol):
    """A force field that evaluates faster when it sees one structure after the other, as in dynamics."""

    def recorder(self, skin: float) -> "Callable[[Atoms], Prediction | None] | None":
        """A function from a structure to its prediction, which keeps what serves the next step.

        Args:
            skin: how much farther than bonds a list of neighbours reaches that is kept, Å.

        Returns:
            The function, or None where `evaluate` is as fast; the function gives None for structures that `evaluate` is to
            be asked for.
        """


def unbatch(graph: AtomGraph, result: Evaluation) -> list[Prediction]:
    """Split the evaluation of a batch into numpy predictions, one a system."""
    energy, atomic, forces, stress = (
        tensor.numpy(force=True).astype(np.float64, copy=False)
        for tensor in (result.energy, result.atomic_energies, result.forces, result.stress)
    )
    periodic = [all(axes) for axes in graph.pbc.tolist()]
    ends = [graph.num_atoms] if graph.num_systems == 1 else graph.atoms_per_system().cumsum(0).tolist()
    predictions, start = [], 0
    for system, end in enumerate(ends):
        predictions.append(
            Prediction(
                energy=float(energy[system]),
                atomic_energies=atomic[start:end].copy(),
                forces=forces[start:end].copy(),
                stress=stress[system].copy() if periodic[system] else None,
                spread=_spread(result, system, slice(start, end), periodic=periodic[system]),
            )
        )
        start = end
    return predictions


def _spread(result: Evaluation, system: int, atoms: slice, *, periodic: bool) -> Spread | None:
    """That of one system, if the result has any."""
    if not isinstance(result, EvaluationWithSpread):
        return None
    stress = result.stress_std[system].numpy(force=True).copy() if periodic else None
    return Spread(float(result.energy_std[system]), result.forces_std[atoms].numpy(force=True).copy(), stress)
