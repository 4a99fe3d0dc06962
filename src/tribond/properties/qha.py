"""The quasi-harmonic approximation: phonons at several volumes, and what follows for temperatures."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.formula import Formula
from numpy.typing import NDArray

from tribond.errors import ConfigError, TribondError
from tribond.properties.eos import energy_volume_curve
from tribond.properties.eos_fit import check_curve
from tribond.properties.imaginary import imaginary_modes
from tribond.properties.phonon_spectrum import KJ_PER_MOL, MESH_LENGTH, run_mesh
from tribond.properties.phonons import DEFAULT_FMAX, DEFAULT_LENGTH, force_constants
from tribond.properties.phonopy_bridge import DISTANCE
from tribond.properties.supercells import supercell_matrix
from tribond.properties.work import Work
from tribond.units import EV_PER_A3_TO_GPA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
DEFAULT_RANGE = (0.95, 1.07)  # of the volume at rest: crystals grow by some per cent before they melt
DEFAULT_POINTS = 9
FEWEST_VOLUMES = 5
STEP = 10.0  # K


class QuasiHarmonicError(TribondError):
    """Phonons at several volumes say nothing about this crystal at temperatures."""


@dataclass(frozen=True)
class QuasiHarmonic:
    """A crystal at constant pressure against temperature; all values are of the primitive cell unless they say else."""

    temperatures_K: Array  # (n,)
    volumes_A3: Array  # (n,)
    thermal_expansion_per_K: Array  # (n,) of the volume
    bulk_modulus_GPa: Array  # (n,) isothermal
    gibbs_energy_eV: Array  # (n,)
    heat_capacity_eV_per_K: Array  # (n,) at constant pressure
    gruneisen: Array  # (n,) thermodynamic
    sampled_volumes_A3: Array  # (m,)
    free_energies_eV: Array  # (n, m)
    structures: tuple[Atoms, ...]  # (m,)
    left_out: int  # volumes with imaginary modes
    num_atoms: int
    atoms_per_formula: int
    pressure_GPa: float = 0.0

    def columns(self) -> dict[str, Any]:
        """A table; moles are of formula units."""
        units = self.num_atoms / self.atoms_per_formula
        return {
            "temperature_K": self.temperatures_K,
            "volume_A3_per_atom": self.volumes_A3 / self.num_atoms,
            "volume_expansion_per_K": self.thermal_expansion_per_K,
            "linear_expansion_per_K": self.thermal_expansion_per_K / 3,
            "bulk_modulus_GPa": self.bulk_modulus_GPa,
            "heat_capacity_P_J_per_K_per_mol_formula": self.heat_capacity_eV_per_K * KJ_PER_MOL * 1000 / units,
            "gibbs_energy_eV_per_atom": self.gibbs_energy_eV / self.num_atoms,
            "gruneisen_parameter": self.gruneisen,
        }

    def summary(self) -> dict[str, Any]:
        """Numbers at room temperature, or at the highest one below it."""
        row = int(np.argmin(np.abs(self.temperatures_K - 300)))
        columns = self.columns()
        return {
            "formula": self.structures[0].get_chemical_formula(),
            "num_volumes": len(self.sampled_volumes_A3),
            "volumes_left_out": self.left_out,
            "pressure_GPa": self.pressure_GPa,
            "highest_temperature_K": float(self.temperatures_K[-1]),
            "volume_at_0_K_A3_per_atom": float(self.volumes_A3[0] / self.num_atoms),
            "zero_point_expansion": float(self.volumes_A3[0] / self._static_volume() - 1),
            "atoms_per_formula": self.atoms_per_formula,
            "at_300_K": {name: float(values[row]) for name, values in columns.items()},
        }

    def figure(self, label: str = "") -> "Figure":
        """Volume, expansion, heat capacity and bulk modulus against temperature."""
        from tribond.properties.qha_figure import draw

        return draw(self, label)

    def _static_volume(self) -> float:
        """Of the crystal under the pressure without vibrations, Å³."""
        energies = np.array([atoms.get_potential_energy() / len(atoms) for atoms in self.structures])
        volumes = np.array([atoms.get_volume() / len(atoms) for atoms in self.structures])
        line = np.polynomial.Polynomial.fit(volumes, energies, 4)
        grid = np.linspace(volumes[0], volumes[-1], 10_001)
        enthalpies = line(grid) + self.pressure_GPa / EV_PER_A3_TO_GPA * grid
        return float(grid[np.argmin(enthalpies)] * self.num_atoms)


def quasi_harmonic(
    atoms: Atoms,
    calculator: Calculator,
    *,
    volume_range: tuple[float, float] = DEFAULT_RANGE,
    points: int = DEFAULT_POINTS,
    relax_shape: bool = False,
    max_temperature_K: float = 1000.0,
    pressure_GPa: float = 0.0,
    supercell: Sequence[int] | None = None,
    min_length_A: float = DEFAULT_LENGTH,
    distance_A: float = DISTANCE,
    mesh_length_A: float = MESH_LENGTH,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    work: Work | None = None,
) -> QuasiHarmonic:
    """Thermal expansion, heat capacity at constant pressure, Gibbs energy and bulk modulus, by phonopy.

    Args:
        atoms: a crystal, relaxed first; not changed.
        calculator: any ASE calculator with stress, best in float64.
        volume_range: smallest and largest volume, in units of the relaxed one.
        points: how many volumes.
        relax_shape: let the shape of the cell relax at each volume.
        max_temperature_K: of the table; it ends earlier where the crystal outgrows the volumes.
        pressure_GPa: from outside.
        supercell: see `phonons`, as the rest.
        min_length_A: of the supercell at rest; all volumes have the same one.
        distance_A: of displacements.
        mesh_length_A: of q-points.
        fmax_eV_per_A: of relaxations.
        work: keeps what is done, and tells how far it is.

    Raises:
        ConfigError: for settings that make no sense.
        StructureError: for what is no crystal.
        FitError: if the energies have no minimum between the volumes.
        QuasiHarmonicError: for imaginary modes at too many volumes, or a crystal that outgrows them at once.
    """
    work = work or Work()
    if not 50 <= max_temperature_K <= 10_000:
        raise ConfigError(f"the highest temperature must be between 50 and 10000 K, not {max_temperature_K:g}")
    if points < FEWEST_VOLUMES:
        raise ConfigError(f"the quasi-harmonic approximation needs at least {FEWEST_VOLUMES} volumes, not {points}")
    curve = energy_volume_curve(
        atoms,
        calculator,
        volume_range=volume_range,
        points=points,
        relax_shape=relax_shape,
        fmax_eV_per_A=fmax_eV_per_A,
        work=work,
    )
    if pressure_GPa == 0:
        check_curve(curve.volumes, curve.energies)
    nearest = int(np.argmin(curve.energies))
    matrix = supercell_matrix(curve.structures[nearest], supercell, min_length_A)
    found = []
    for index, structure in enumerate(curve.structures):
        work.tell(index, points, f"phonons at volume {index + 1} of {points}")
        phonon = force_constants(
            structure, calculator, matrix, distance_A=distance_A, tell=index == 0, work=work.below(f"phonons_{index}")
        )
        run_mesh(phonon, mesh_length_A)
        found.append(phonon)
    kept = _stable(found, curve.volumes)
    return _evaluate(
        [found[i] for i in kept],
        [curve.structures[i] for i in kept],
        max_temperature_K,
        pressure_GPa,
        mesh_length_A,
        left_out=points - len(kept),
    )


def _stable(phonons: list[Any], volumes: Array) -> list[int]:
    """Indices of the volumes without imaginary modes.

    Raises:
        QuasiHarmonicError: if they are no row of volumes, or too few.
    """
    kept, worst = [], ""
    for index, phonon in enumerate(phonons):
        modes = imaginary_modes(phonon)
        if modes:
            worst = f"{modes[0].frequency_THz:.2f} THz at q = {modes[0].name}, at a volume of {volumes[index]:.2f} Å³"
            logger.warning("imaginary mode of %s: this volume is left out", worst)
        else:
            kept.append(index)
    if len(kept) < FEWEST_VOLUMES or kept[-1] - kept[0] + 1 != len(kept):
        raise QuasiHarmonicError(
            f"the crystal has imaginary modes ({worst}), and {len(kept)} volumes are left: the harmonic approximation "
            "does not hold; look at it with `tribond phonons --follow-imaginary`, or take other volumes (--range)"
        )
    return kept


def _evaluate(
    phonons: list[Any],
    structures: list[Atoms],
    max_temperature_K: float,
    pressure_GPa: float,
    mesh_length_A: float,
    *,
    left_out: int,
) -> QuasiHarmonic:
    import warnings

    from phonopy.qha.qha import run_qha

    atoms = len(phonons[0].primitive)
    if any(len(it.primitive) != atoms for it in phonons):
        raise QuasiHarmonicError(
            "the crystal loses its symmetry at some of the volumes, where it has become another one; take a smaller range "
            "(--range)"
        )
    energies = [it.get_potential_energy() / len(it) * atoms for it in structures]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lattice parameters of monoclinic crystals, which are not asked for
        result = run_qha(
            phonons,
            np.arange(0.0, max_temperature_K + 2 * STEP, STEP),
            internal_energies=energies,
            mesh=mesh_length_A,
            pressure=pressure_GPa or None,
            exclude_gamma_acoustic=True,
        )
    inside = (result.equilibrium_volumes >= result.volumes[0]) & (result.equilibrium_volumes <= result.volumes[-1])
    last = len(inside) if inside.all() else int(np.argmin(inside))
    if last < 3:
        raise QuasiHarmonicError(
            f"the free energy has no minimum between {result.volumes[0]:.2f} and {result.volumes[-1]:.2f} Å³ per "
            "primitive cell, even near 0 K; take other volumes (--range)"
        )
    if last < len(inside):
        logger.warning(
            "above %g K the crystal outgrows the largest volume: the table ends there; --range goes further",
            result.temperatures[last - 1],
        )
    counts = Formula("".join(phonons[0].primitive.symbols)).reduce()[0].count()
    return QuasiHarmonic(
        temperatures_K=np.array(result.temperatures[:last]),
        volumes_A3=np.array(result.equilibrium_volumes[:last]),
        thermal_expansion_per_K=np.array(result.thermal_expansion[:last]),
        bulk_modulus_GPa=np.array(result.bulk_moduli[:last]) * EV_PER_A3_TO_GPA,
        gibbs_energy_eV=np.array(result.gibbs_free_energies[:last]),
        heat_capacity_eV_per_K=np.array(result.heat_capacity_P.heat_capacities[:last]),
        gruneisen=np.array(result.gruneisen_parameters[:last]),
        sampled_volumes_A3=np.array(result.volumes),
        free_energies_eV=np.array(result.helmholtz_volume[:last]),
        structures=tuple(structures),
        left_out=left_out,
        num_atoms=atoms,
        atoms_per_formula=sum(counts.values()),
        pressure_GPa=pressure_GPa,
    )
