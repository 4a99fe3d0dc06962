"""Surfaces of a crystal: slabs, surface energies, the shape of a crystal in equilibrium. pymatgen cuts and shapes."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from tribond.errors import ConfigError, TribondError
from tribond.properties.relax import relax
from tribond.properties.start import MOST_STEPS, at_rest, brought_to_rest, check_crystal, watch
from tribond.properties.work import Work, sample
from tribond.properties.wulff import Miller, wulff_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

J_PER_M2 = 16.02176634  # of 1 eV/Å²
DEFAULT_THICKNESS = 12.0  # Å
DEFAULT_VACUUM = 15.0  # Å
DEFAULT_FMAX = 0.01  # eV/Å
BULK_FMAX = 0.001


class SurfaceError(TribondError):
    """No slab could be cut."""


@dataclass(frozen=True)
class Surface:
    """One termination of one face."""

    miller: Miller  # of the conventional cell
    termination: int  # counted from 0
    slab: Atoms  # relaxed, or as cut
    energy_eV_per_A2: float
    unrelaxed_eV_per_A2: float
    area_A2: float  # of one side of the cell
    symmetric: bool  # both sides are the same; else the energy is the mean of two different ones

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "miller": list(self.miller),
            "termination": self.termination,
            "num_atoms": len(self.slab),
            "area_A2": self.area_A2,
            "surface_energy_J_per_m2": self.energy_eV_per_A2 * J_PER_M2,
            "surface_energy_unrelaxed_J_per_m2": self.unrelaxed_eV_per_A2 * J_PER_M2,
            "sides_are_the_same": self.symmetric,
        }


@dataclass(frozen=True)
class Surfaces:
    """All faces that were looked at, and the shape that follows."""

    crystal: Atoms  # the conventional cell that Miller indices belong to
    surfaces: tuple[Surface, ...]
    left_out: int  # terminations whose composition is not the crystal's
    wulff: Any  # pymatgen's WulffShape, of the lowest termination of each face; None for one that has no shape

    def summary(self) -> dict[str, Any]:
        """Numbers with the unit in each name."""
        shape = self.wulff
        return {
            "formula": self.crystal.get_chemical_formula(),
            "conventional_cell_A": self.crystal.cell.array.tolist(),
            "surfaces": [it.summary() for it in self.surfaces],
            "terminations_left_out": self.left_out,
            "wulff": None
            if shape is None
            else {
                "mean_surface_energy_J_per_m2": float(shape.weighted_surface_energy) * J_PER_M2,
                "area_fractions": {
                    face(miller): float(value) for miller, value in shape.area_fraction_dict.items() if value > 1e-6
                },
            },
        }

    def columns(self) -> dict[str, Any]:
        """A table of the surfaces."""
        rows = [it.summary() | {"miller": face(it.miller)} for it in self.surfaces]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def figure(self, label: str = "") -> "Figure":
        """The Wulff shape, where there is one, and the surface energies."""
        from tribond.properties.surface_figure import draw

        return draw(self, label)


def face(miller: Sequence[int]) -> str:
    """Miller indices as text: (1 -1 0)."""
    return "(" + " ".join(str(int(index)) for index in miller) + ")"


def surfaces(
    atoms: Atoms,
    calculator: Calculator,
    *,
    millers: Sequence[Sequence[int]] | None = None,
    max_index: int = 1,
    thickness_A: float = DEFAULT_THICKNESS,
    vacuum_A: float = DEFAULT_VACUUM,
    relax_slabs: bool = True,
    fmax_eV_per_A: float = DEFAULT_FMAX,
    work: Work | None = None,
) -> Surfaces:
    """Surface energies (E_slab - N e_bulk) / 2A of faces of a crystal, and its Wulff shape.

    Args:
        atoms: the crystal, relaxed first; not changed.
        calculator: any ASE calculator with stress.
        millers: faces, of pymatgen's conventional cell; all that differ up to `max_index` if left out.
        max_index: largest Miller index.
        thickness_A: slabs are at least this thick.
        vacuum_A: and this far apart.
        relax_slabs: let the atoms of the slabs relax; the cell stays that of the crystal.
        fmax_eV_per_A: of the slabs.
        work: keeps what is done, and tells how far it is.

    Raises:
        ConfigError: for settings that make no sense.
        StructureError: for what is no crystal.
        SurfaceError: if no slab of the crystal's composition can be cut.
        RelaxationError: if a slab does not come to rest.
    """
    work = work or Work()
    _check(millers, max_index, thickness_A, vacuum_A)
    check_crystal(atoms, "a surface energy")
    rest = brought_to_rest(atoms, calculator, relax_first=True, fmax_eV_per_A=BULK_FMAX, work=work)
    per_atom = float(rest.get_potential_energy()) / len(rest)
    crystal, cuts, left_out = _cut(rest, millers, max_index, thickness_A, vacuum_A)
    if not cuts:
        raise SurfaceError(
            f"no slab has the composition of the crystal ({left_out} terminations do not), so that the energy of their "
            "atoms is not known; name other faces (--miller), or take thicker slabs"
        )
    found = []
    for number, (miller, termination, slab, area, symmetric) in enumerate(cuts):
        work.tell(number, len(cuts), f"slab {number + 1} of {len(cuts)}: {face(miller)}, {len(slab)} atoms")
        before = sample([slab], calculator)[0].energy
        final = slab
        if relax_slabs:
            name = f"slab {number + 1} of {len(cuts)}"
            final = work.structure(f"slab_{number}", partial(_relaxed, slab, calculator, fmax_eV_per_A, work, name))
        after = float(final.get_potential_energy()) if relax_slabs else before
        gammas = [(energy - len(slab) * per_atom) / (2 * area) for energy in (after, before)]
        found.append(Surface(miller, termination, final, gammas[0], gammas[1], area, symmetric))
    lowest: dict[Miller, float] = {}
    for it in found:
        lowest[it.miller] = min(it.energy_eV_per_A2, lowest.get(it.miller, np.inf))
    return Surfaces(crystal, tuple(found), left_out, wulff_shape(crystal, lowest))


def _check(millers: Sequence[Sequence[int]] | None, max_index: int, thickness: float, vacuum: float) -> None:
    for miller in millers or ():
        if len(miller) != 3 or not any(miller):
            raise ConfigError(f"a face has three Miller indices, not all of them 0; not {list(miller)}")
    if not 1 <= max_index <= 5:
        raise ConfigError(f"the largest Miller index must be from 1 to 5, not {max_index}")
    if not (2 <= thickness <= 200 and 5 <= vacuum <= 200):
        raise ConfigError(
            f"slabs must be 2 to 200 Å thick and 5 to 200 Å apart, not {thickness:g} and {vacuum:g} Å; across less they "
            "see each other"
        )


def _relaxed(slab: Atoms, calculator: Calculator, fmax: float, work: Work, name: str) -> Atoms:
    result = relax(slab, calculator, relax_cell=False, fmax_eV_per_A=fmax, steps=MOST_STEPS, on_step=watch(work, name))
    return at_rest(result)


def _cut(
    crystal: Atoms, millers: Sequence[Sequence[int]] | None, max_index: int, thickness: float, vacuum: float
) -> tuple[Atoms, list[tuple[Miller, int, Atoms, float, bool]], int]:
    """The conventional cell; slabs of its composition with faces, areas and symmetry; how many have another one."""
    from pymatgen.core.surface import SlabGenerator, get_symmetrically_distinct_miller_indices
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = AseAtomsAdaptor.get_structure(
            Atoms(crystal.numbers, crystal.positions, cell=crystal.cell, pbc=True)
        )
        conventional = SpacegroupAnalyzer(structure, symprec=0.01).get_conventional_standard_structure()
        chosen = millers or get_symmetrically_distinct_miller_indices(conventional, max_index)
        formula = conventional.composition.reduced_formula
        cuts: list[tuple[Miller, int, Atoms, float, bool]] = []
        left_out = 0
        for wanted in chosen:
            h, k, l = (int(index) for index in wanted)
            generator = SlabGenerator(
                conventional, (h, k, l), thickness, vacuum, center_slab=True, primitive=True, in_unit_planes=False
            )
            for termination, slab in enumerate(generator.get_slabs()):
                if slab.composition.reduced_formula != formula:
                    left_out += 1
                    continue
                slab = slab.get_orthogonal_c_slab()  # noqa: PLW2901
                cell = slab.lattice.matrix
                atoms = Atoms(
                    [site.specie.symbol for site in slab], slab.cart_coords, cell=cell, pbc=(True, True, False)
                )
                cuts.append(((h, k, l), termination, atoms, float(slab.surface_area), bool(slab.is_symmetric())))
    if left_out:
        logger.warning("%d terminations are left out: their composition is not that of the crystal", left_out)
    standard = Atoms(
        [site.specie.symbol for site in conventional],
        conventional.cart_coords,
        cell=conventional.lattice.matrix,
        pbc=True,
    )
    return standard, cuts, left_out
