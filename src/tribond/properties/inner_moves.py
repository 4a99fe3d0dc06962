"""Atoms brought to rest in strained cells, all cells at once: Newton's steps with the force constants of the crystal."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from tribond.errors import StructureError
from tribond.properties.phonopy_bridge import force_constants_of_cell
from tribond.properties.relaxation import RelaxationError
from tribond.properties.work import Sample, Work, sample

MOST_STEPS = 12
FORCE = 1e-5  # eV/Å | what is left on an atom; a strain of 0.005 pushes atoms with some 0.05 eV/Å
LEFT = 0.02  # of the push: constants with relaxed ions are then off by 2 % of what relaxation changes
NOISE = 1e-4  # eV/Å | of a model in single precision
LARGEST_MOVE = 0.5  # Å


@dataclass(frozen=True)
class Response:
    """What the strained cells say when their atoms are at rest."""

    samples: list[Sample]
    force: float  # eV/Å | largest that is left


def rest_in_strained_cells(
    crystal: Atoms, cells: list[Atoms], samples: list[Sample], calculator: Calculator, work: Work
) -> Response:
    """Move the atoms of slightly strained cells to rest.

    Args:
        crystal: at rest, not strained.
        cells: strained; not changed.
        samples: of the cells as they are.
        calculator: any of ASE's.
        work: keeps the force constants.

    Raises:
        StructureError: if the crystal is unstable against moves of atoms in its cell.
        RelaxationError: if the forces do not vanish.
    """
    constants = work.arrays(
        "force_constants_of_the_cell", lambda: {"constants": force_constants_of_cell(crystal, calculator, work)}
    )["constants"]
    inverse = _inverse(constants)
    pushed = force = _largest(samples)
    for step in range(MOST_STEPS):
        if force < FORCE:
            break
        work.tell(step, None, f"atoms in {len(cells)} strained cells: fmax {force:.5f} eV/Å")
        moved = [cell.copy() for cell in cells]
        for cell, it in zip(moved, samples, strict=True):
            move = (inverse @ it.forces.ravel()).reshape(-1, 3)
            longest = np.linalg.norm(move, axis=1).max()
            cell.positions += move * min(1.0, LARGEST_MOVE / max(longest, 1e-12))
        new = sample(moved, calculator)
        if _largest(new) >= force:  # rounding, or steps that lead nowhere
            break
        cells, samples, force = moved, new, _largest(new)
    if force > max(LEFT * pushed, NOISE):
        raise RelaxationError(
            f"the atoms do not come to rest in the strained cells (forces of {force:.4f} eV/Å are left of {pushed:.4f}): the "
            "crystal is close to an instability; take a smaller --strain, or --clamped"
        )
    return Response(samples, force)


def _inverse(constants: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the force constants, without the three moves of the whole crystal.  (3N, 3N) Å²/eV

    Raises:
        StructureError: for a crystal that is no minimum.
    """
    size = constants.shape[0] * 3
    matrix = constants.transpose(0, 2, 1, 3).reshape(size, size)
    values, modes = np.linalg.eigh((matrix + matrix.T) / 2)
    whole = np.tile(np.eye(3), (len(constants), 1)) / np.sqrt(len(constants))  # (3N, 3)
    inner = np.linalg.norm(modes.T @ whole, axis=1) < 0.5
    scale = values[inner].max()
    if values[inner].min() < 1e-4 * scale:
        raise StructureError(
            f"the crystal is no minimum of the energy: a move of atoms within the cell has a force constant of "
            f"{values[inner].min():.3g} eV/Å², so that elastic constants with relaxed ions mean nothing; look at it with "
            "`tribond phonons --follow-imaginary`, or take clamped ions (--clamped)"
        )
    return (modes[:, inner] / values[inner]) @ modes[:, inner].T


def _largest(samples: list[Sample]) -> float:
    return max(float(np.linalg.norm(it.forces - it.forces.mean(axis=0), axis=1).max()) for it in samples)
