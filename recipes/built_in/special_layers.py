"""Layered crystals with the gap scanned, sheared layers and single layers."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from vesin import ase_neighbor_list

from special import CONTACT, VACUUM, Draft, Pool, rattle, strain
from special_layer_types import SITES, draw_layer, pick


def _gap(top: int, bottom: int, random: np.random.Generator) -> float:
    """Return a distance (Å) between the facing planes of two layers: the usual one scaled from 0.75 to 2.5."""
    usual = 0.83 * (CONTACT[top] + CONTACT[bottom])
    factor = random.uniform(0.75, 1.3) if random.random() < 0.65 else random.uniform(1.3, 2.5)
    return float(usual * factor)


def layered(_pool: Pool, random: np.random.Generator) -> Draft | None:
    """One or two layers of a known type, stacked with a random gap and shift; one in seven alone in vacuum."""
    layer, kind = draw_layer(random)
    if random.random() < 0.12:  # a foreign atom
        layer = layer.repeat((2, 1, 1)) if len(layer) < 4 else layer
        layer.symbols[int(random.integers(len(layer)))] = pick(
            random, "O", "S", "Se", "N", "F", "Cl", "Ti", "Mo", "Li", "H"
        )
    layer.positions[:, 2] -= layer.positions[:, 2].min()
    alone = random.random() < 0.14
    count = 1 if alone or len(layer) > 16 else int(random.integers(1, 3))
    stack, height = Atoms(cell=layer.cell, pbc=True), 0.0
    for k in range(count):
        piece = layer.copy()
        if random.random() < 0.4 and k:  # turned by half a turn: the 2H stackings
            piece.positions[:, 2] = piece.positions[:, 2].max() - piece.positions[:, 2]
        shift = random.random(2) if random.random() < 0.5 else np.array(SITES[pick(random, *SITES)])
        piece.positions += np.array([*shift, 0.0]) @ layer.cell.array + [0.0, 0.0, height]
        top, bottom = (
            int(piece.numbers[piece.positions[:, 2].argmax()]),
            int(layer.numbers[layer.positions[:, 2].argmin()]),
        )
        between = random.uniform(*VACUUM) if alone else _gap(top, bottom, random)
        height = piece.positions[:, 2].max() + between
        stack += piece
    cell = stack.cell.array.copy()
    cell[2] = [0.0, 0.0, height]
    if not alone and random.random() < 0.4:  # shear of the next layer
        cell[2, :2] = random.random(2) @ cell[:2, :2]
    stack.set_cell(cell)
    strain(stack, random, 0.008)
    rattle(stack, random, 0.15)
    return Draft(stack, f"{kind}{' alone' if alone else ''}", move_cell=not alone)


def layered_catalogue(pool: Pool, random: np.random.Generator) -> Draft | None:
    """A layered crystal of the catalogue whose gaps are scaled, or one that is sheared."""
    for _ in range(300):
        crystal = pool.crystal(random, 24)
        axis = int(random.integers(3))
        normal = np.cross(crystal.cell[axis - 2], crystal.cell[axis - 1])
        normal /= np.linalg.norm(normal) * np.sign(normal @ crystal.cell[axis])
        height = float(crystal.cell[axis] @ normal)
        fraction = np.sort(crystal.get_scaled_positions()[:, axis])
        spaces = np.diff(fraction, append=fraction[0] + 1.0)
        widest = int(spaces.argmax())
        gap = spaces[widest] * height
        if gap < 2.1 or spaces[widest] > 0.97:
            continue
        # Begin the cell above the gap, so that nothing but the gap is stretched.
        scaled = crystal.get_scaled_positions()
        scaled[:, axis] = (scaled[:, axis] - fraction[widest] - 0.5 * spaces[widest]) % 1.0
        crystal.set_scaled_positions(scaled)
        if not _bonded_across(crystal, axis):
            break
    else:
        return None
    factor = random.uniform(0.75, 1.3) if random.random() < 0.65 else random.uniform(1.3, 2.5)
    cell = crystal.cell.array.copy()
    cell[axis] *= 1.0 + gap * (factor - 1.0) / height
    crystal.positions += (0.5 * gap * (factor - 1.0)) * normal
    if random.random() < 0.3:
        cell[axis] += random.random() * cell[axis - 1] + random.random() * cell[axis - 2]
    crystal.set_cell(cell)
    strain(crystal, random, 0.01)
    rattle(crystal, random, 0.15)
    return Draft(crystal, "catalogue")


def _bonded_across(atoms: Atoms, axis: int) -> bool:
    """Tell whether atoms are bonded through the face of the cell along an axis."""
    i, j, d, s = ase_neighbor_list("ijdS", atoms, 3.6)
    radii = covalent_radii[atoms.numbers]
    return bool(((s[:, axis] != 0) & (d < 1.25 * (radii[i] + radii[j]))).any())
