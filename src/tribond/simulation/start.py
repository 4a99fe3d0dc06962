"""What dynamics starts from: a cell that is large enough, velocities, and how many ways the atoms can move."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom
from numpy.typing import NDArray

from tribond.errors import ConfigError, StructureError

# Constraints whose atoms or directions simply do not move, so that any integrator keeps them.
LINEAR = {"FixAtoms", "FixCartesian", "FixedPlane", "FixedLine", "FixScaled", "FixCom"}
BONDS = {"FixBondLengths", "FixBondLength", "FixLinearTriatomic"}  # need velocities corrected in each step
MOST_ATOMS = 10_000_000  # of a repeated cell; a GPU of today has room for a tenth
KEEP_BONDS = {"nve", "nvt-langevin", "nvt-bussi"}


def supercell(atoms: Atoms, repeat: Sequence[int] | None = None, min_length_A: float | None = None) -> Atoms:
    """The structure repeated along its periodic axes; constraints and velocities are repeated with it.

    Args:
        atoms: only read.
        repeat: how often along a, b and c.
        min_length_A: as often as needed for the distance between opposite faces of the cell to be at least this, Å.

    Raises:
        ConfigError: for both at once, or numbers that make no sense; an open axis cannot be repeated.
    """
    if repeat is not None and min_length_A is not None:
        raise ConfigError("give either repeat or min_length_A, not both")
    if min_length_A is not None:
        if not (np.isfinite(min_length_A) and min_length_A > 0):
            raise ConfigError(f"min_length_A must be a length in Å larger than 0, not {min_length_A}")
        heights = 1 / np.linalg.norm(atoms.cell.complete().reciprocal().array, axis=1)
        repeat = [
            int(np.ceil(min_length_A / height - 1e-9)) if periodic else 1
            for height, periodic in zip(heights, atoms.pbc, strict=True)
        ]
    if repeat is None:
        return atoms.copy()
    if len(repeat) != 3 or any(count < 1 for count in repeat):
        raise ConfigError(f"repeat must be three whole numbers, 1 or more, not {list(repeat)}")
    for axis, count, periodic in zip("abc", repeat, atoms.pbc, strict=True):
        if count > 1 and not periodic:
            raise ConfigError(f"the structure is not periodic along {axis} and cannot be repeated there")
    size = len(atoms) * int(np.prod([int(count) for count in repeat], dtype=object))
    if size > MOST_ATOMS:
        times = " x ".join(str(int(count)) for count in repeat)
        raise ConfigError(
            f"the cell repeated {times} times has {size:,} atoms, more than {MOST_ATOMS:,}; repeat it less"
        )
    return atoms.repeat([int(count) for count in repeat])


def check_constraints(atoms: Atoms, ensemble: str) -> None:
    """Refuse constraints that an ensemble would not keep, or that spoil its statistics.

    Raises:
        ConfigError: names them.
    """
    kinds = {type(constraint).__name__ for constraint in atoms.constraints}
    if not kinds:
        return
    if ensemble.startswith("npt"):
        raise ConfigError(
            f"{ensemble} moves the cell, which the constraints of this structure ({', '.join(sorted(kinds))}) do not "
            "allow; choose an nvt ensemble, or remove them from the input"
        )
    bad = kinds - LINEAR - (BONDS if ensemble in KEEP_BONDS else set())
    if bad:
        hint = f"; {', '.join(sorted(KEEP_BONDS))} keep them" if bad <= BONDS else ""
        raise ConfigError(f"{ensemble} cannot keep constraints of the kind {', '.join(sorted(bad))}{hint}")


def prepare(atoms: Atoms, ensemble: str) -> Atoms:
    """The atoms as an integrator takes them: Langevin's and Berendsen's hold the centre of mass by a constraint."""
    moving = atoms.copy()
    if not atoms.constraints and ensemble in {"nvt-langevin", "nvt-berendsen", "npt-berendsen"}:
        moving.set_constraint(FixCom())
    return moving


def degrees_of_freedom(atoms: Atoms, ensemble: str) -> int:
    """Ways to move that share the kinetic energy: 3N, less those of constraints, less 3 where the momentum stays zero.

    Raises:
        ConfigError: if nothing can move.
    """
    free = 3 * len(atoms) - int(sum(constraint.get_removed_dof(atoms) for constraint in atoms.constraints))
    if _keeps_momentum(atoms, ensemble):
        free -= 3
    if free < 1:
        raise ConfigError(
            f"nothing can move in this structure of {len(atoms)} atoms, whose momentum stays zero; "
            "repeat it (--repeat 3 3 3) or free some atoms"
        )
    return free


def _keeps_momentum(atoms: Atoms, ensemble: str) -> bool:
    """Whether the momentum of all atoms is conserved and not counted by a constraint already."""
    kinds = {type(constraint).__name__ for constraint in atoms.constraints}
    if "FixCom" in kinds or not kinds <= BONDS:
        return False
    return not kinds or ensemble != "nvt-langevin"


def holds_atoms(atoms: Atoms) -> bool:
    """Whether constraints tie atoms to their places, so that nothing can drift as a whole."""
    return not {type(constraint).__name__ for constraint in atoms.constraints} <= BONDS | {"FixCom"}


def draw_velocities(atoms: Atoms, temperature_K: float, ensemble: str, generator: np.random.Generator) -> None:
    """Give the atoms Maxwell-Boltzmann velocities of exactly this temperature and no momentum. Changes the atoms.

    Args:
        atoms: that get momenta.
        temperature_K: K.
        ensemble: that follows, for the degrees of freedom.
        generator: random numbers.
    """
    masses = atoms.get_masses()[:, None]
    momenta = generator.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * temperature_K)
    atoms.set_momenta(momenta, apply_constraint=True)
    stop_drift(atoms, ensemble)
    now = temperature_of(atoms.get_momenta(), masses, degrees_of_freedom(atoms, ensemble))
    atoms.set_momenta(atoms.get_momenta() * np.sqrt(temperature_K / now), apply_constraint=True)


def stop_drift(atoms: Atoms, ensemble: str) -> float:
    """Take the motion of the centre of mass away where it is not thermal. Changes the atoms.

    Returns:
        The kinetic energy that it had, eV.
    """
    if not _keeps_momentum(atoms, ensemble):
        return 0.0
    masses = atoms.get_masses()[:, None]
    momenta = atoms.get_momenta()
    total = momenta.sum(axis=0)
    if np.abs(total).max() <= 1e-12 * np.abs(momenta).sum():
        return 0.0
    atoms.set_momenta(momenta - masses * total / masses.sum(), apply_constraint=False)
    return float(total @ total / (2 * masses.sum()))


def temperature_of(momenta: NDArray[np.float64], masses: NDArray[np.float64], dof: int) -> float:
    """T = Σ p² / m / (k dof), K.

    Args:
        momenta: (atoms, 3) in ASE's units.
        masses: (atoms, 1) u.
        dof: from `degrees_of_freedom`.
    """
    return float((momenta * momenta / masses).sum() / (dof * units.kB))


def check_structure(atoms: Atoms, ensemble: str) -> None:
    """Refuse what an ensemble cannot move.

    Raises:
        StructureError: for no atoms, or a barostat on a structure with open axes.
    """
    if len(atoms) == 0:
        raise StructureError("there are no atoms in this structure")
    if ensemble.startswith("npt") and not atoms.pbc.all():
        raise StructureError(
            f"{ensemble} needs a structure that is periodic along a, b and c; this one is open along "
            f"{', '.join(axis for axis, on in zip('abc', atoms.pbc, strict=True) if not on)}: choose an nvt ensemble"
        )
    if not np.all(atoms.get_masses() > 0):
        raise StructureError(f"atom {int(np.argmin(atoms.get_masses()))} has no mass")
