"""Crude descent on positions and cell that needs one label per step."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from vesin import ase_neighbor_list

MAX_DISPLACEMENT = 0.15  # Å per step
MAX_STRAIN = 0.03  # per step
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def model_hessian(atoms: Atoms) -> np.ndarray:
    """Return the Hessian of springs between neighbours.

    Args:
        atoms: A periodic crystal.

    Returns:
        Symmetric positive matrix over the 3 N displacements (eV/Å²) and 6 strains (eV).
    """
    n = len(atoms)
    i, j, d, r = ase_neighbor_list("ijdD", atoms, 5.0)
    radii = covalent_radii[atoms.numbers]
    bond = d / (radii[i] + radii[j])
    k = np.minimum(5.0 * (2.3 / np.maximum(d, 0.8)) ** 4, 30.0) * np.exp(-4.0 * np.maximum(bond - 1.1, 0.0))
    along = np.einsum("pa,pb->pab", r, r) / np.maximum(d, 1e-6)[:, None, None] ** 2
    # Stiff along a bond, soft across it; half, because every bond is in the list twice.
    stiff = (0.5 * k)[:, None, None] * (along + 0.09 * (np.eye(3) - along))
    strains = np.zeros((len(i), 3, 6))  # how a strain changes the vector of a bond
    for column, (a, b) in enumerate(_VOIGT):
        strains[:, a, column] += r[:, b]
        if a != b:
            strains[:, b, column] += r[:, a]
    coupled = stiff @ strains
    atomic, mixed = np.zeros((n, n, 3, 3)), np.zeros((n, 3, 6))
    for first, second, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
        np.add.at(atomic, (first, second), sign * stiff)
    np.add.at(mixed, i, -coupled)
    np.add.at(mixed, j, coupled)
    hessian = np.zeros((3 * n + 6, 3 * n + 6))
    hessian[: 3 * n, : 3 * n] = atomic.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    hessian[: 3 * n, 3 * n :] = mixed.reshape(3 * n, 6)
    hessian[3 * n :, : 3 * n] = hessian[: 3 * n, 3 * n :].T
    hessian[3 * n :, 3 * n :] = np.einsum("pax,pay->xy", strains, coupled)
    damping = np.concatenate([np.full(3 * n, 0.3), np.full(6, 0.04 * atoms.cell.volume)])
    return hessian + np.diag(damping)


class Descent:
    """Quasi-Newton descent of one crystal with bounded steps."""

    def __init__(self, atoms: Atoms, move_cell: bool = True) -> None:
        """Start a descent.

        Args:
            atoms: Start frame; it is copied.
            move_cell: Whether the cell moves too (not for slabs).
        """
        self.atoms = atoms.copy()
        self.move_cell = move_cell
        self._hessian: np.ndarray | None = None
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def step(self, forces: np.ndarray, stress: np.ndarray) -> None:
        """Move the crystal downhill.

        Args:
            forces: Forces on the atoms (eV/Å), shape (N, 3).
            stress: Stress in ASE's sign and Voigt order (eV/Å³), shape (6,).
        """
        n = len(self.atoms)
        weight = np.array([1, 1, 1, 2, 2, 2]) * self.atoms.cell.volume
        gradient = np.concatenate([-forces.ravel(), weight * stress])
        if self._hessian is None or self._last is None:
            self._hessian = model_hessian(self.atoms)
        else:
            self._update(self._last[0], gradient - self._last[1])
        active = np.arange(3 * n + 6 if self.move_cell else 3 * n)
        move = np.zeros(3 * n + 6)
        move[active] = -np.linalg.solve(self._hessian[np.ix_(active, active)], gradient[active])
        shift, strain = move[: 3 * n].reshape(-1, 3), np.zeros((3, 3))
        for value, (a, b) in zip(move[3 * n :], _VOIGT, strict=True):
            strain[a, b] = strain[b, a] = value
        longest, largest = np.linalg.norm(shift, axis=1).max(), np.abs(strain).max()
        shift *= min(1.0, MAX_DISPLACEMENT / max(longest, 1e-12))
        strain *= min(1.0, MAX_STRAIN / max(largest, 1e-12))
        taken = np.concatenate([shift.ravel(), [strain[a, b] for a, b in _VOIGT]])
        self._last = (taken, gradient)
        deform = np.eye(3) + strain
        self.atoms.set_cell(self.atoms.cell.array @ deform)
        self.atoms.set_positions(self.atoms.positions @ deform + shift)

    def _update(self, s: np.ndarray, y: np.ndarray) -> None:
        """Rescale the Hessian once and apply a BFGS update, if the curvature is positive."""
        assert self._hessian is not None
        curvature, hs = float(s @ y), self._hessian @ s
        model = float(s @ hs)
        if model < 1e-10 or curvature < 0.05 * model:
            return
        hs_norm = np.clip(curvature / model, 0.3, 3.0) ** 0.5
        self._hessian *= hs_norm
        hs, model = hs * hs_norm, model * hs_norm
        self._hessian += np.outer(y, y) / curvature - np.outer(hs, hs) / model
