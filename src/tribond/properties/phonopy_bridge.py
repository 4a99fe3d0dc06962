"""From ASE to phonopy and back: structures, and force constants from displaced cells computed in batches."""

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from tribond.errors import StructureError
from tribond.properties.work import Work, sample_forces

if TYPE_CHECKING:
    from phonopy.structure.atoms import PhonopyAtoms

DISTANCE = 0.01  # Å | of displacements: force constants are off by 1e-4 (Si) to 4e-3 (quartz) of the largest, frequencies by 1e-3
SYMPREC = 1e-3  # Å | looser than phonopy's: relaxed crystals are symmetric to some 1e-5 Å


def to_phonopy(atoms: Atoms) -> "PhonopyAtoms":
    """Symbols, masses, cell and fractional coordinates.

    Raises:
        StructureError: if atoms of one element have different masses: phonopy would take the first for all that are the
            same to it.
    """
    from phonopy.structure.atoms import PhonopyAtoms

    for symbol in dict.fromkeys(atoms.symbols):
        masses = atoms.get_masses()[atoms.symbols == symbol]
        if np.ptp(masses) > 1e-6 * masses[0]:
            raise StructureError(
                f"atoms of {symbol} have masses from {masses.min():g} to {masses.max():g} u, and phonopy takes atoms of one "
                "element as the same; give them one mass, such as their mean"
            )
    return PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )


def from_phonopy(cell: "PhonopyAtoms") -> Atoms:
    """The same for ASE."""
    return Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, masses=cell.masses, pbc=True)


def displaced_forces(phonon: Any, calculator: Calculator, work: Work) -> NDArray[np.float64]:
    """Forces of all displaced supercells, less those of the supercell itself.  (displacements, atoms, 3) eV/Å

    Args:
        phonon: a Phonopy or Phono3py with displacements.
        calculator: any of ASE's.
        work: keeps the batches.
    """
    displaced = phonon.supercells_with_displacements
    kept = [cell is not None for cell in displaced]  # phono3py leaves out pairs beyond its cutoff
    cells = [from_phonopy(cell) for cell in (phonon.supercell, *displaced) if cell is not None]
    state = f"{len(cells) - 1} displaced supercells of {len(cells[0])} atoms"
    found = sample_forces(cells, calculator, work, state=state)
    forces = np.zeros((len(displaced), *found.shape[1:]))
    forces[kept] = found[1:] - found[0]
    return forces


def force_constants_of_cell(atoms: Atoms, calculator: Calculator, work: Work) -> NDArray[np.float64]:
    """Second derivatives of the energy of a periodic cell whose images all move together.  (N, N, 3, 3) eV/Å²"""
    from phonopy import Phonopy

    phonon = Phonopy(to_phonopy(atoms), supercell_matrix=np.eye(3, dtype=int), primitive_matrix="P", symprec=SYMPREC)
    phonon.generate_displacements(distance=DISTANCE)
    phonon.forces = displaced_forces(phonon, calculator, work.below("cell"))
    phonon.produce_force_constants()
    return np.array(phonon.force_constants)
