"""The elastic tensor of a crystal, from the stresses of strained cells."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from tribond.errors import ConfigError
from tribond.properties.elastic_moduli import Moduli, moduli
from tribond.properties.inner_moves import Response, rest_in_strained_cells
from tribond.properties.start import brought_to_rest, check_crystal
from tribond.properties.strains import (
    STRAINS,
    mandel,
    needed_strains,
    point_group,
    primitive_cell,
    solve_tensor,
    standard_rotation,
    strained_cell,
    tensor_residual,
    turned_tensor,
)
from tribond.properties.work import Sample, Work, sample
from tribond.units import EV_PER_A3_TO_GPA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

DEFAULT_STRAIN = 0.005
LARGEST_STRAIN = 0.05
DEFAULT_FMAX = 0.001  # eV/Å


@dataclass(frozen=True)
class Elasticity:
    """Elastic constants in GPa, Voigt order xx, yy, zz, yz, xz, xy, of engineering strains, in the input's axes.

    `standard` has them in the axes that tables use.
    """

    structure: Atoms  # at rest, with energy, forces and stress
    clamped: np.ndarray  # (6, 6) GPa | atoms keep their fractional coordinates
    relaxed: np.ndarray | None  # (6, 6) GPa | atoms have come to rest in the strained cells; None if not asked for
    rotation: np.ndarray  # (3, 3) from the input's axes to the standard ones, see `standard_rotation`
    strains: int  # that were computed; the others follow by symmetry
    asymmetry_GPa: float  # largest stress per strain that symmetry and C = C^T do not explain
    inner_force: float | None  # eV/Å | largest force left on an atom in the strained cells; None with clamped ions

    @property
    def tensor(self) -> np.ndarray:
        """What an experiment sees: that with relaxed ions, where there is one.  (6, 6) GPa"""
        return self.clamped if self.relaxed is None else self.relaxed

    def standard(self, tensor: np.ndarray | None = None) -> np.ndarray:
        """The tensor in standard axes: C11 of a cubic crystal is along its cubic axis.  (6, 6) GPa

        Args:
            tensor: another one than that with relaxed ions.
        """
        return turned_tensor(self.tensor if tensor is None else tensor, self.rotation)

    @property
    def moduli(self) -> Moduli:
        """Averages over a polycrystal, stability, Debye temperature."""
        return moduli(self.tensor, self.structure)

    def summary(self) -> dict[str, Any]:
        """Numbers with the unit in each name."""
        atoms = self.structure
        return {
            "formula": atoms.get_chemical_formula(),
            "num_atoms": len(atoms),
            "cell_A": atoms.cell.array.tolist(),
            "volume_A3": atoms.get_volume(),
            "ions": "clamped" if self.relaxed is None else "relaxed",
            "elastic_tensor_GPa": self.standard().tolist(),
            "elastic_tensor_clamped_ions_GPa": self.standard(self.clamped).tolist(),
            "elastic_tensor_axes_of_input_GPa": self.tensor.tolist(),
            "rotation_of_input_to_standard_axes": self.rotation.tolist(),
            **self.moduli.summary(),
            "computed_strains": self.strains,
            "asymmetry_GPa": self.asymmetry_GPa,
            "largest_force_in_strained_cells_eV_per_A": self.inner_force,
        }

    def figure(self, label: str = "") -> "Figure":
        """Young's modulus in all directions."""
        from tribond.properties.elastic_figure import draw

        return draw(self.standard(), self.moduli, label)


def elasticity(
    atoms: Atoms,
    calculator: Calculator,
    *,
    strain: float = DEFAULT_STRAIN,
    relax_ions: bool = True,
    relax_first: bool = True,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    work: Work | None = None,
) -> Elasticity:
    """The elastic tensor, by central differences of the stress.

    Each strain is applied with both signs to the primitive cell. Only those are computed that the point group does
    not turn into each other; the tensor is the one of the crystal's symmetry that fits all stresses best.

    Args:
        atoms: a crystal; not changed.
        calculator: any ASE calculator with stress, best in float64.
        strain: amplitude.
        relax_ions: let atoms come to rest in the strained cells, too; else those with clamped ions are all.
        relax_first: begin with atoms and cell at rest.
        fmax_eV_per_A: of that relaxation.
        work: keeps what is done, and tells how far it is.

    Raises:
        ConfigError: for a strain that is none.
        StructureError: for what is no crystal, or is no minimum of the energy.
        RelaxationError: if the structure does not come to rest.
    """
    work = work or Work()
    if not 0 < strain <= LARGEST_STRAIN:
        raise ConfigError(f"the strain must be above 0 and at most {LARGEST_STRAIN:g}, not {strain:g}")
    check_crystal(atoms, "an elastic tensor")
    rest = brought_to_rest(atoms, calculator, relax_first=relax_first, fmax_eV_per_A=fmax_eV_per_A, work=work)
    crystal = primitive_cell(rest)
    rotations = point_group(crystal)
    turn = standard_rotation(rest)
    chosen = needed_strains(rotations)
    amplitudes = [sign * strain * STRAINS[index] for index in chosen for sign in (1, -1)]
    cells = [strained_cell(crystal, it) for it in amplitudes]
    work.tell(0, None, f"{len(cells)} strained cells of {len(crystal)} atoms")
    samples = sample(cells, calculator)
    clamped, residual = _tensor(samples, chosen, strain, rotations)
    if not relax_ions or len(crystal) == 1:  # by inversion at its site, the atom of a Bravais lattice stays
        force = max(float(np.linalg.norm(it.forces, axis=1).max()) for it in samples) if relax_ions else None
        relaxed = clamped if relax_ions else None
        return Elasticity(rest, clamped, relaxed, turn, len(chosen), residual, force)
    response: Response = rest_in_strained_cells(crystal, cells, samples, calculator, work)
    relaxed, residual = _tensor(response.samples, chosen, strain, rotations)
    return Elasticity(rest, clamped, relaxed, turn, len(chosen), residual, response.force)


def _tensor(samples: list[Sample], chosen: list[int], strain: float, rotations: np.ndarray) -> tuple[np.ndarray, float]:
    """The tensor, Voigt, GPa; and what it does not explain."""
    stresses = np.array([it.stress for it in samples]).reshape(-1, 2, 3, 3) * EV_PER_A3_TO_GPA
    responses = (stresses[:, 0] - stresses[:, 1]) / (2 * strain)
    strains = np.array([mandel(STRAINS[index]) for index in chosen])
    answers = np.array([mandel(it) for it in responses])
    tensor = solve_tensor(strains, answers, rotations)
    return tensor, tensor_residual(tensor, strains, answers)
