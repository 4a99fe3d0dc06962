"""The pieces of a long calculation: kept on disk so that it can go on, told to whoever watches, computed in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator as ASECalculator
from ase.io.trajectory import Trajectory
from numpy.typing import NDArray

from tribond.files import atomic_path
from tribond.integrations.ase import Calculator
from tribond.models.potential import Potential

BATCH_ATOMS = 2000  # evaluated between two looks at whether somebody wants to stop; larger batches are not faster


@dataclass(frozen=True)
class Sample:
    """What a calculator says about one structure; constraints do not count."""

    energy: float  # eV
    forces: NDArray[np.float64]  # (atoms, 3) eV/Å
    stress: NDArray[np.float64] | None  # (3, 3) eV/Å³, tension positive; None unless fully periodic


class Work:
    """Does pieces of work once: what a folder holds already is read, not computed again.

    Args:
        folder: where the pieces are kept; nothing is kept without.
        on_progress: called with what is done, the total (None where nobody knows) and a few words. It may raise to stop
            the work: the pieces stay.
    """

    def __init__(
        self,
        folder: Path | None = None,
        on_progress: Callable[[float, float | None, str], object] | None = None,
    ) -> None:
        self.folder = folder
        self._on_progress = on_progress

    def tell(self, done: float, total: float | None, state: str = "") -> None:
        """Say how far the calculation is."""
        if self._on_progress is not None:
            self._on_progress(done, total, state)

    def below(self, name: str) -> "Work":
        """Work in a folder of its own below this one, for parts that use the same names."""
        return Work(None if self.folder is None else self.folder / name, self._on_progress)

    def structure(self, name: str, make: Callable[[], Atoms]) -> Atoms:
        """A structure with its energy and forces.

        Args:
            name: of the piece, fit for a file.
            make: computes it.
        """
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.traj"  # ASE's own format: every bit, no pickle
        if path.exists():
            with Trajectory(path) as frames:
                return frames[0]
        atoms = make()
        with atomic_path(path) as temporary, Trajectory(temporary, "w") as frames:
            frames.write(atoms)
        return atoms

    def arrays(self, name: str, make: Callable[[], dict[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
        """Some arrays.

        Args:
            name: of the piece, fit for a file.
            make: computes them.
        """
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as content:
                return dict(content)
        arrays = make()
        self.replace_arrays(name, arrays)
        return arrays

    def replace_arrays(self, name: str, arrays: dict[str, NDArray[np.float64]]) -> None:
        """Keep a newer state of arrays that change as the work goes on."""
        if self.folder is None:
            return
        with atomic_path(self.folder / f"{name}.npz") as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)


def sample(structures: Sequence[Atoms], calculator: ASECalculator) -> list[Sample]:
    """Energy, forces and stress of structures: in batches where the calculator's potential can, else one by one.

    Args:
        structures: only read.
        calculator: any of ASE's.

    Raises:
        StructureError: for a structure that the potential cannot describe.
    """
    if isinstance(calculator, Calculator):
        potential = calculator.potential
        if isinstance(potential, Potential):
            predictions = potential.predict(structures, state=calculator.state)
        else:
            predictions = potential.predict(structures)
        return [Sample(it.energy, it.forces, it.stress) for it in predictions]
    samples = []
    for structure in structures:
        atoms = structure.copy()
        atoms.calc = calculator
        energy = float(atoms.get_potential_energy(apply_constraint=False))
        forces = np.array(atoms.get_forces(apply_constraint=False))
        stress = np.array(atoms.get_stress(voigt=False, apply_constraint=False)) if atoms.pbc.all() else None
        samples.append(Sample(energy, forces, stress))
    return samples


def sample_forces(
    structures: Sequence[Atoms], calculator: ASECalculator, work: Work, *, state: str
) -> NDArray[np.float64]:
    """Forces of structures of one size, batch by batch, each kept.  (structures, atoms, 3) eV/Å

    Args:
        structures: only read.
        calculator: any of ASE's.
        work: keeps the batches.
        state: what is told while it runs.
    """
    size = max(1, BATCH_ATOMS // max(1, len(structures[0])))
    parts = []
    for start in range(0, len(structures), size):
        work.tell(start, len(structures), state)
        batch = structures[start : start + size]
        make = partial(_forces, batch, calculator)
        forces = work.arrays(f"forces_{start}", make)
        parts.append(forces["forces"])
    work.tell(len(structures), len(structures), state)
    return np.concatenate(parts)


def _forces(structures: Sequence[Atoms], calculator: ASECalculator) -> dict[str, NDArray[np.float64]]:
    return {"forces": np.array([it.forces for it in sample(structures, calculator)])}
