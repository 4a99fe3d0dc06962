"""Strains of a crystal, and what its symmetry says about them.

Symmetric tensors are written as six numbers in Mandel's order xx, yy, zz, √2 yz, √2 xz, √2 xy: rotations are orthogonal
there, unlike in Voigt's, and the elastic tensor is an ordinary symmetric matrix.
"""

import warnings

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.properties.symmetry import symmetry_of

Array = NDArray[np.float64]
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
WEIGHTS = np.array([1, 1, 1, np.sqrt(2), np.sqrt(2), np.sqrt(2)])
SYMPREC = 0.01  # Å


def _unit_strain(pair: tuple[int, int]) -> Array:
    """Symmetric, with norm 1."""
    strain = np.zeros((3, 3))
    strain[pair] += 0.5
    strain[pair[::-1]] += 0.5
    return strain / np.linalg.norm(strain)


STRAINS = np.array([_unit_strain(pair) for pair in PAIRS])  # (6, 3, 3)


def mandel(tensor: Array) -> Array:
    """Six numbers of a symmetric (3, 3) tensor."""
    return np.array([tensor[pair] for pair in PAIRS]) * WEIGHTS


def rotation_of_six(rotation: Array) -> Array:
    """How six numbers turn when the crystal does.  (6, 6), orthogonal"""
    return np.array([mandel(rotation @ strain @ rotation.T) for strain in STRAINS]).T


def primitive_cell(atoms: Atoms) -> Atoms:
    """The smallest cell in the same orientation; the cell itself where spglib finds none.

    Args:
        atoms: a crystal; tags, charges and the like are left out.
    """
    import spglib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spglib 2.7 announces its next way to fail; both are handled here
        try:
            found = spglib.standardize_cell(
                (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers),
                to_primitive=True,
                no_idealize=True,
                symprec=SYMPREC,
            )
        except spglib.SpglibError:
            found = None
    if found is None:
        return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    cell, fractional, numbers = found
    return Atoms(numbers, scaled_positions=fractional, cell=cell, pbc=True)


def point_group(atoms: Atoms) -> Array:
    """The rotations of the crystal in Cartesian axes; the identity alone where spglib finds none.  (n, 3, 3)"""
    found = symmetry_of(atoms, SYMPREC)
    if found is None:
        return np.eye(3)[None]
    columns = atoms.cell.array.T
    return np.unique(np.round([columns @ rotation @ np.linalg.inv(columns) for rotation in found.rotations], 8), axis=0)


def standard_rotation(atoms: Atoms) -> Array:
    """The rotation from the crystal's axes to those of spglib's standard cell; the identity where there is none.  (3, 3)

    There, the axes of cubic, tetragonal and orthorhombic crystals lie along x, y and z, those of hexagonal ones a along
    x and c along z, and those of monoclinic ones b along y.
    """
    found = symmetry_of(atoms, SYMPREC)
    if found is None:
        return np.eye(3)
    rotation = np.array(found.std_rotation_matrix)
    return rotation * np.sign(np.linalg.det(rotation))  # inversion changes no elastic tensor


def turned_tensor(tensor: Array, rotation: Array) -> Array:
    """An elastic tensor in Voigt's notation, (6, 6), in axes that are turned."""
    six = rotation_of_six(rotation)
    weights = np.outer(WEIGHTS, WEIGHTS)
    return np.array(six @ (tensor * weights) @ six.T / weights)


def needed_strains(rotations: Array) -> list[int]:
    """Indices of STRAINS whose images under the rotations span all strains: two of a cubic crystal, six at most."""
    sixes = np.array([rotation_of_six(rotation) for rotation in rotations])
    chosen: list[int] = []
    images = np.zeros((0, 6))
    for index in range(6):
        wider = np.vstack([images, sixes[:, :, index]])
        if np.linalg.matrix_rank(wider, tol=1e-3) > np.linalg.matrix_rank(images, tol=1e-3):
            chosen.append(index)
            images = wider
    return chosen


def strained_cell(atoms: Atoms, strain: Array) -> Atoms:
    """The crystal in the cell (1 + ε) · cell; fractional coordinates stay."""
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return strained


def solve_tensor(strains: Array, responses: Array, rotations: Array) -> Array:
    """The elastic tensor of the crystal's symmetry that fits stresses per strain best.

    Args:
        strains: (n, 6) Mandel.
        responses: (n, 6) Mandel, stress per unit of the strain.
        rotations: (m, 3, 3) of the point group.

    Returns:
        (6, 6) in Voigt's notation, symmetric.
    """
    sixes = np.array([rotation_of_six(rotation) for rotation in rotations])
    images = np.einsum("mij,nj->mni", sixes, strains).reshape(-1, 6)
    answers = np.einsum("mij,nj->mni", sixes, responses).reshape(-1, 6)
    tensor = np.linalg.lstsq(images, answers, rcond=None)[0]
    tensor = (tensor + tensor.T) / 2
    tensor = np.einsum("mij,jk,mlk->il", sixes, tensor, sixes) / len(sixes)  # exact already but for rounding
    return tensor / np.outer(WEIGHTS, WEIGHTS)


def tensor_residual(tensor: Array, strains: Array, responses: Array) -> float:
    """The largest component of stress per strain that a tensor in Voigt's notation does not explain."""
    full = tensor * np.outer(WEIGHTS, WEIGHTS)
    return float(np.abs(responses - strains @ full).max())
