"""Lattice thermal conductivity. phono3py does the work; forces of the displaced supercells are computed in batches."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_masses
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from tribond.errors import ConfigError, TribondError
from tribond.properties.imaginary import imaginary_modes
from tribond.properties.phonon_spectrum import run_mesh
from tribond.properties.phonons import DEFAULT_FMAX, force_constants
from tribond.properties.phonopy_bridge import SYMPREC, displaced_forces, to_phonopy
from tribond.properties.start import brought_to_rest, check_crystal
from tribond.properties.supercells import supercell_matrix
from tribond.properties.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

DISTANCE = 0.03  # Å | third derivatives need larger displacements than second ones
# phono3py takes atoms for the same within this part of a displacement. At a tenth, it loses third derivatives without a
# word: silicon conducted 27 W/m K in place of 70.
OF_DISPLACEMENT = 0.01
DEFAULT_LENGTH = 10.0  # Å | of the supercell for third derivatives
DEFAULT_MESH = 50.0  # Å
LARGEST = 1e7  # W/m K | hundreds of times that of diamond at 100 K
MANY = 1000  # displaced supercells
OWN_MASS = 2e-3  # relative | tables of natural masses differ by less; isotopes differ by more up to uranium
TEMPERATURES = tuple(float(value) for value in range(100, 1001, 50))  # K
AXES = ("xx", "yy", "zz", "yz", "xz", "xy")


class ConductivityError(TribondError):
    """The crystal has no lattice thermal conductivity that phonons could tell."""


@dataclass(frozen=True)
class Conductivity:
    """Thermal conductivity of the lattice in the input's axes."""

    structure: Atoms
    temperatures_K: NDArray[np.float64]  # (n,)
    tensor_W_per_m_K: NDArray[np.float64]  # (n, 6) xx, yy, zz, yz, xz, xy
    mesh: tuple[int, ...]
    displacements: int

    @property
    def mean_W_per_m_K(self) -> NDArray[np.float64]:  # noqa: N802, the unit
        """A third of the trace.  (n,)"""
        return np.asarray(self.tensor_W_per_m_K[:, :3].mean(axis=1))

    def columns(self) -> dict[str, Any]:
        """A table."""
        tensor = {f"{axis}_W_per_m_K": self.tensor_W_per_m_K[:, i] for i, axis in enumerate(AXES)}
        return {"temperature_K": self.temperatures_K, "mean_W_per_m_K": self.mean_W_per_m_K, **tensor}

    def summary(self) -> dict[str, Any]:
        """Numbers at the temperature nearest to 300 K."""
        row = int(np.argmin(np.abs(self.temperatures_K - 300)))
        return {
            "formula": self.structure.get_chemical_formula(),
            "num_atoms": len(self.structure),
            "num_displacements": self.displacements,
            "mesh": list(self.mesh),
            "temperature_K": float(self.temperatures_K[row]),
            "conductivity_W_per_m_K": float(self.mean_W_per_m_K[row]),
            "conductivity_tensor_W_per_m_K": self.tensor_W_per_m_K[row].tolist(),
        }

    def figure(self, label: str = "") -> "Figure":
        """Conductivity against temperature, on logarithmic axes, with a line of 1/T."""
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        from tribond.results.figures import COLORS, GUIDE, new_figure, title

        figure, (axes,) = new_figure()
        title(axes, label)
        names = ("xx", "yy", "zz")
        values = self.tensor_W_per_m_K
        same = np.allclose(values[:, :3], values[:, :1], rtol=1e-3)
        for i, color in zip(range(1 if same else 3), COLORS, strict=False):
            name = "xx = yy = zz" if same else names[i]
            axes.loglog(self.temperatures_K, values[:, i], "o-", color=color, markersize=4, label=name)
        guide = self.mean_W_per_m_K[-1] * self.temperatures_K[-1] / self.temperatures_K
        axes.loglog(self.temperatures_K, guide, color=GUIDE, linestyle="--", linewidth=1, label="1/T")
        for axis in (axes.xaxis, axes.yaxis):  # 200 and 0.5 instead of 2 x 10² and 5 x 10⁻¹
            axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("temperature (K)")
        axes.set_ylabel("lattice thermal conductivity (W/m K)")
        axes.legend(frameon=False)
        return figure


def conductivity(
    atoms: Atoms,
    calculator: Calculator,
    *,
    supercell: Sequence[int] | None = None,
    min_length_A: float = DEFAULT_LENGTH,
    distance_A: float = DISTANCE,
    cutoff_pair_A: float | None = None,
    mesh_length_A: float = DEFAULT_MESH,
    temperatures_K: Sequence[float] = TEMPERATURES,
    relax_first: bool = True,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    work: Work | None = None,
) -> Conductivity:
    """Lattice thermal conductivity by the relaxation-time approximation to the Boltzmann equation.

    Isotopes are natural ones where the masses are, and one only where the input gives an atom another mass.

    Args:
        atoms: a crystal with its masses; not changed.
        calculator: any ASE calculator, best in float64.
        supercell: repeats of the given cell, for second and third derivatives.
        min_length_A: without `supercell`: every vector of it is at least this long.
        distance_A: by which atoms are displaced.
        cutoff_pair_A: displace only pairs of atoms closer than this; all pairs if left out.
        mesh_length_A: q-points are 2π over this apart; look how the result changes with it.
        temperatures_K: of the table.
        relax_first: begin with atoms and cell at rest.
        fmax_eV_per_A: of that relaxation.
        work: keeps what is done, and tells how far it is.

    Raises:
        ConfigError: for settings that make no sense.
        StructureError: for what is no crystal.
        ConductivityError: for imaginary modes.
    """
    from phono3py import Phono3py

    work = work or Work()
    if not len(temperatures_K) or min(temperatures_K) <= 0:
        raise ConfigError("temperatures must be above 0 K, where the conductivity of a perfect crystal is infinite")
    if not 1e-3 <= distance_A <= 0.2:
        raise ConfigError(f"displacements must be between 0.001 and 0.2 Å, not {distance_A:g}")
    if not 1 <= mesh_length_A <= 1000:
        raise ConfigError(f"the length of the mesh must be between 1 and 1000 Å, not {mesh_length_A:g}")
    check_crystal(atoms, "a thermal conductivity")
    rest = brought_to_rest(atoms, calculator, relax_first=relax_first, fmax_eV_per_A=fmax_eV_per_A, work=work)
    if cutoff_pair_A is not None and not (cutoff_pair_A > 0 and len(neighbor_list("d", rest, cutoff_pair_A))):
        raise ConfigError(
            f"no two atoms are closer than {cutoff_pair_A:g} Å, so that third derivatives would know no bonds; take a longer "
            "cutoff for pairs (--cutoff-pair-A)"
        )
    matrix = supercell_matrix(rest, supercell, min_length_A)
    second = force_constants(rest, calculator, matrix, work=work.below("second"))
    _check_stable(second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the primitive cell is found is what we want
        three = Phono3py(
            to_phonopy(rest),
            supercell_matrix=matrix.T,
            primitive_matrix="auto",
            symprec=min(SYMPREC, OF_DISPLACEMENT * distance_A),
        )
    three.generate_displacements(distance=distance_A, cutoff_pair_distance=cutoff_pair_A)
    kept = [cell is not None for cell in three.supercells_with_displacements]
    count = sum(kept)
    logger.info("displaced supercells for third derivatives: %d of %d atoms", count, len(three.supercell))
    if count > MANY:
        logger.warning("that is a lot; --cutoff-pair-A leaves out pairs of atoms that are far apart")
    three.forces = displaced_forces(three, calculator, work.below("third"))
    three.produce_fc3()
    three.symmetrize_fc3()
    three.fc2 = second.force_constants  # from smaller displacements than those for third derivatives
    three.mesh_numbers = mesh_length_A
    work.tell(0, None, f"scattering of phonons on a mesh of {' x '.join(map(str, three.mesh_numbers))}")
    three.init_phph_interaction()
    variances = _mass_variances(three.primitive)
    three.run_thermal_conductivity(temperatures=list(temperatures_K), is_isotope=True, mass_variances=variances)
    tensor = np.array(three.thermal_conductivity.kappa).reshape(len(temperatures_K), 6)
    if not (np.isfinite(tensor).all() and (tensor[:, :3] > 0).all()):
        raise ConductivityError("phono3py finds no finite conductivity: is the potential anharmonic at all?")
    if tensor.max() > LARGEST:
        raise ConductivityError(
            f"nothing scatters phonons here ({tensor.max():.1g} W/m K): in a supercell that is only two cells wide third "
            "derivatives may cancel; take a larger one (--min-length-A, --supercell), and a finer mesh (--mesh-length-A)"
        )
    mesh = tuple(int(number) for number in three.mesh_numbers)
    return Conductivity(rest, np.array(temperatures_K, dtype=np.float64), tensor, mesh, count)


def _mass_variances(cell: Any) -> NDArray[np.float64]:
    """Σ f (1 - m / mean)² over the natural isotopes of each atom; 0 of atoms with a mass of their own.  (atoms,)"""
    from phono3py.other.isotope import get_mass_variances

    natural = atomic_masses[np.asarray(cell.numbers)]
    own = np.abs(np.asarray(cell.masses) - natural) > OWN_MASS * natural
    if own.any():
        logger.info(
            "atoms with a mass of their own are taken as one isotope: they do not scatter phonons as a mixture does"
        )
    return np.where(own, 0.0, get_mass_variances(cell))


def _check_stable(phonon: Any) -> None:
    run_mesh(phonon, 40.0)
    modes = imaginary_modes(phonon)
    if modes:
        raise ConductivityError(
            f"the crystal has an imaginary mode of {modes[0].frequency_THz:.2f} THz at q = {modes[0].name}: phonons carry "
            "no heat in a crystal that is not stable; look at it with `tribond phonons --follow-imaginary`"
        )
