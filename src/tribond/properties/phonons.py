"""Phonons of a crystal. phonopy does the work; forces of the displaced supercells are computed in batches."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from tribond.errors import ConfigError
from tribond.files import atomic_path
from tribond.properties.imaginary import Followed, ImaginaryMode, follow, imaginary_modes
from tribond.properties.phonon_spectrum import (
    MESH_LENGTH,
    Bands,
    DensityOfStates,
    Thermal,
    run_bands,
    run_dos,
    run_mesh,
    run_thermal,
)
from tribond.properties.phonopy_bridge import DISTANCE, SYMPREC, displaced_forces, to_phonopy
from tribond.properties.start import brought_to_rest, check_crystal
from tribond.properties.supercells import shortest_width, supercell_matrix
from tribond.properties.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

DEFAULT_FMAX = 1e-4  # eV/Å
DEFAULT_LENGTH = 15.0  # Å
NARROW = 10.0  # Å | below, waves between those that the supercell holds are guesses
TEMPERATURES = np.arange(0.0, 1001.0, 10.0)  # K
ROOM = 298.15  # K


@dataclass(frozen=True)
class Phonons:
    """Bands, densities of states and thermal properties.

    Attributes:
        structure: the crystal at rest, with energy and forces.
        phonon: phonopy's object with the force constants, for everything else that phonopy can do.
        bands: along seekpath's path.
        dos: by element.
        thermal: at TEMPERATURES.
        room: at 298.15 K.
        imaginary: modes along which the energy falls, the lowest first.
        followed: where the lowest of them leads; None where nobody asked or there is none.
        mesh: of q-points for thermal properties.
        lowest_THz: frequency of mesh and bands; imaginary ones are negative.
    """

    structure: Atoms
    phonon: Any
    bands: Bands
    dos: DensityOfStates
    thermal: Thermal
    room: Thermal
    imaginary: tuple[ImaginaryMode, ...]
    followed: Followed | None
    mesh: tuple[int, ...]
    lowest_THz: float

    def summary(self) -> dict[str, Any]:
        """Numbers with the unit in each name."""
        phonon, room = self.phonon, self.room
        formula = room.atoms_per_formula
        return {
            "formula": self.structure.get_chemical_formula(),
            "num_atoms": len(self.structure),
            "num_atoms_primitive": len(phonon.primitive),
            "num_atoms_supercell": len(phonon.supercell),
            "supercell_matrix": np.array(phonon.supercell_matrix).tolist(),
            "num_displacements": len(phonon.dataset["first_atoms"]),
            "mesh": list(self.mesh),
            "highest_frequency_THz": float(max(it.max() for it in self.bands.frequencies)),
            "lowest_frequency_THz": self.lowest_THz,
            "imaginary_modes": [mode.summary() for mode in self.imaginary],
            "followed": None if self.followed is None else self.followed.summary(),
            "zero_point_energy_kJ_per_mol_atoms": float(self.thermal.free_energy_kJ_per_mol[0]),
            "heat_capacity_298K_J_per_K_per_mol_atoms": float(room.heat_capacity_J_per_K_mol[0]),
            "heat_capacity_298K_J_per_K_per_mol_formula": float(room.heat_capacity_J_per_K_mol[0]) * formula,
            "entropy_298K_J_per_K_per_mol_formula": float(room.entropy_J_per_K_mol[0]) * formula,
            "atoms_per_formula": formula,
        }

    def save(self, path: Path) -> None:
        """Write phonopy's YAML file, with the forces and the force constants; `phonopy.load(path)` goes on from it."""
        with atomic_path(path) as temporary:
            self.phonon.save(temporary, settings={"force_constants": True, "force_sets": True})

    def figure(self, label: str = "") -> "Figure":
        """Bands with the densities of states beside them."""
        from tribond.properties.phonon_figure import draw_bands

        return draw_bands(self.bands, self.dos, label)

    def thermal_figure(self, label: str = "") -> "Figure":
        """Heat capacity, entropy and free energy against temperature."""
        from tribond.properties.phonon_figure import draw_thermal

        return draw_thermal(self.thermal, f"{label}: imaginary modes left out" if self.imaginary else label)


def phonons(
    atoms: Atoms,
    calculator: Calculator,
    *,
    supercell: Sequence[int] | None = None,
    min_length_A: float = DEFAULT_LENGTH,
    distance_A: float = DISTANCE,
    relax_first: bool = True,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    mesh_length_A: float = MESH_LENGTH,
    born: Path | None = None,
    follow_imaginary: bool = False,
    work: Work | None = None,
) -> Phonons:
    """Phonons by finite displacements.

    Args:
        atoms: a crystal; not changed.
        calculator: any ASE calculator, best in float64.
        supercell: repeats of the given cell along a, b and c.
        min_length_A: without `supercell`: every vector of the supercell is at least this long.
        distance_A: by which atoms are displaced.
        relax_first: begin with atoms and cell at rest, in the space group of the input.
        fmax_eV_per_A: of that relaxation.
        mesh_length_A: q-points of thermal properties are 2π over this apart.
        born: file with Born charges and the dielectric tensor in phonopy's format, for the splitting of optical modes.
        follow_imaginary: push the crystal along its lowest imaginary mode and relax it.
        work: keeps what is done, and tells how far it is.

    Raises:
        ConfigError: for settings that make no sense.
        StructureError: for what is no crystal.
        RelaxationError: if the structure does not come to rest.
    """
    work = work or Work()
    if not 1 <= mesh_length_A <= 1000:
        raise ConfigError(f"the length of the mesh must be between 1 and 1000 Å, not {mesh_length_A:g}")
    check_crystal(atoms, "a phonon calculation")
    rest = brought_to_rest(atoms, calculator, relax_first=relax_first, fmax_eV_per_A=fmax_eV_per_A, work=work)
    matrix = supercell_matrix(rest, supercell, min_length_A)
    phonon = force_constants(rest, calculator, matrix, distance_A=distance_A, work=work)
    if born is not None:
        phonon.nac_params = read_born(born, phonon)
    work.tell(0, None, "bands and densities of states")
    run_mesh(phonon, mesh_length_A)
    bands = run_bands(phonon)
    modes = imaginary_modes(phonon, bands)
    followed = None
    if follow_imaginary and modes:
        followed = follow(phonon, modes[0], calculator, work)
    elif follow_imaginary:
        logger.info("there is no imaginary mode to follow")
    room, thermal = run_thermal(phonon, np.array([ROOM])), run_thermal(phonon, TEMPERATURES)
    mesh = tuple(int(number) for number in phonon.mesh.mesh_numbers)
    lowest = float(min(np.array(phonon.mesh.frequencies).min(), *(it.min() for it in bands.frequencies)))
    return Phonons(
        rest, phonon, bands, run_dos(phonon), thermal, room, tuple(modes), followed, mesh=mesh, lowest_THz=lowest
    )


def force_constants(
    atoms: Atoms,
    calculator: Calculator,
    matrix: Any,
    *,
    distance_A: float = DISTANCE,
    tell: bool = True,
    work: Work | None = None,
) -> Any:
    """Phonopy's object with force constants that obey the sum rule, of a crystal that is at rest.

    Args:
        atoms: the crystal.
        calculator: any of ASE's.
        matrix: (3, 3) rows are the vectors of the supercell in those of the cell, see `supercell_matrix`.
        distance_A: of displacements.
        tell: say how many supercells there are, and whether they are narrow.
        work: keeps the forces.

    Raises:
        ConfigError: for a distance that is none.
    """
    from phonopy import Phonopy

    if not 1e-4 <= distance_A <= 0.2:
        raise ConfigError(f"displacements must be between 0.0001 and 0.2 Å, not {distance_A:g}")
    width = shortest_width(matrix @ atoms.cell.array)
    if width < NARROW and tell:
        logger.warning(
            "the supercell is only %.1f Å wide: frequencies are exact for waves that fit into it, and guesses between "
            "them; %g Å are usual (--min-length-A)",
            width,
            DEFAULT_LENGTH,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the primitive cell is found is what we want
        # phonopy's matrix acts on columns.
        phonon = Phonopy(to_phonopy(atoms), supercell_matrix=matrix.T, primitive_matrix="auto", symprec=SYMPREC)
    phonon.generate_displacements(distance=distance_A)
    if tell:
        logger.info(
            "displaced supercells: %d of %d atoms", len(phonon.supercells_with_displacements), len(phonon.supercell)
        )
    phonon.forces = displaced_forces(phonon, calculator, (work or Work()).below("supercell"))
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants(show_drift=False)
    return phonon


def read_born(path: Path, phonon: Any) -> Any:
    """Born charges and the dielectric tensor from a file in phonopy's format BORN.

    Raises:
        ConfigError: if it cannot be read, or belongs to another crystal.
    """
    from phonopy.file_IO import parse_BORN

    try:
        found = parse_BORN(phonon.primitive, symprec=SYMPREC, filename=str(path))
    except (OSError, ValueError, RuntimeError, IndexError, AssertionError) as error:
        raise ConfigError(
            f"{path} is no BORN file of this crystal as phonopy has them (dielectric tensor, then one Born charge tensor "
            f"of each atom that differs): {error}"
        ) from error
    if found is None:
        raise ConfigError(f"{path} does not hold a dielectric tensor and Born charges of this crystal")
    return found
