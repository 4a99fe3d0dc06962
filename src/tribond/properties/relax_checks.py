"""What a relaxation refuses before it begins, and what stops it on the way."""

import numpy as np
from ase import Atoms

from tribond.errors import ConfigError, StructureError
from tribond.properties.relaxation import RelaxationError, RelaxationStep

LARGEST_VOLUME_RATIO = 3.0  # a cell that grows or shrinks by more has left what any potential was trained on


def check_settings(
    fmax: float, steps: int, pressure_GPa: float, *, relax_cell: bool, cell_axes: str | None, constant_volume: bool
) -> None:
    """Refuse settings that are out of range or without effect.

    Raises:
        ConfigError: says which.
    """
    if constant_volume and (pressure_GPa or cell_axes is not None or not relax_cell):
        raise ConfigError(
            "constant_volume goes with no pressure, no cell_axes and no fixed cell; leave one of them out"
        )
    if cell_axes is not None and not relax_cell:
        raise ConfigError(f"cell_axes {cell_axes} has no effect on a fixed cell; leave one of the two out")
    if not (np.isfinite(fmax) and fmax > 0):
        raise ConfigError(f"fmax must be a positive force in eV/Å, not {fmax}")
    if steps < 0:
        raise ConfigError(f"steps must not be negative, as {steps} is")
    if not np.isfinite(pressure_GPa):
        raise ConfigError(f"the pressure must be finite, not {pressure_GPa} GPa")
    if pressure_GPa and not relax_cell:
        raise ConfigError(f"a pressure ({pressure_GPa:g} GPa) has no effect on a fixed cell; leave one of the two out")


def check_structure(atoms: Atoms, pressure_GPa: float, *, fix_symmetry: bool) -> None:
    """Refuse structures that settings do not apply to.

    Raises:
        StructureError: says why.
    """
    if len(atoms) == 0:
        raise StructureError("there are no atoms in this structure")
    if atoms.pbc.all():
        return
    axes = ", ".join(axis for axis, on in zip("abc", atoms.pbc, strict=True) if on) or "no axis"
    if pressure_GPa:
        raise StructureError(f"pressure needs a structure periodic along a, b and c; this one is along {axes}")
    if fix_symmetry:
        raise StructureError(f"keeping the space group needs a structure periodic along a, b and c, not along {axes}")


def check_start(atoms: Atoms) -> None:
    """What is wrong with the start is said before spglib or ASE trip over it.

    Raises:
        RelaxationError: where the model gives no numbers.
    """
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise RelaxationError(
            f"the model gives an energy of {energy} eV and a largest force of {np.abs(forces).max()} eV/Å for the "
            "structure as given, which is outside what it can describe"
        )


def check_sane(step: RelaxationStep, start: RelaxationStep) -> None:
    """Stop what runs away.

    Raises:
        RelaxationError: for NaN, and for a cell that explodes or collapses.
    """
    if not np.isfinite([step.energy, step.fmax_eV_per_A]).all():
        raise RelaxationError(
            f"the model gives an energy of {step.energy} eV and a largest force of {step.fmax_eV_per_A} eV/Å at step "
            f"{step.step}: the relaxation runs away from what the model can describe"
        )
    size, size_before, unit = step.volume, start.volume, "Å³"
    if size is None or size_before is None:
        size, size_before, unit = step.area, start.area, "Å²"
    if size is None or size_before is None:
        return
    ratio = size / size_before
    if not 1 / LARGEST_VOLUME_RATIO <= ratio <= LARGEST_VOLUME_RATIO:
        change = "grew" if ratio > 1 else "shrank"
        raise RelaxationError(
            f"the cell {change} from {size_before:.1f} to {size:.1f} {unit} by step {step.step}: the relaxation runs "
            "away; check the input's lattice and pressure, or relax the atoms alone first, with the cell fixed"
        )
