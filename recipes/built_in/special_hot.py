"""Hot, molten and amorphous structures: short molecular dynamics with a tribond potential, and random packings."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii

from special import Draft, Pool, rescale, strain, supercell

HOTTEST = 5000.0  # K
STEPS = (12, 24, 36)  # of the dynamics; a snapshot after each
FRICTION = 0.03  # of the velocity, lost and given back by the thermostat at every step
MAX_FORCE = 60.0  # eV/Å; the potential may be nonsense where it was never trained


def start(pool: Pool, random: np.random.Generator) -> tuple[Atoms, float]:
    """Draw a crystal to be heated.

    Args:
        pool: Crystals.
        random: Random stream.

    Returns:
        Supercell at 0.8 to 1.5 times the density, already displaced, and the temperature (K).
    """
    atoms = supercell(pool.crystal(random, 32), random, 8, 32)
    temperature = float(np.exp(random.uniform(np.log(600.0), np.log(HOTTEST))))
    rescale(atoms, atoms.cell.volume / random.uniform(0.8, 1.35 if random.random() < 0.7 else 1.5))
    strain(atoms, random, 0.03)
    # Displaced as by the heat, so that the dynamics needn't begin from a crystal at rest.
    atoms.positions += random.normal(0.0, min(0.05 + temperature / 16000.0, 0.3), atoms.positions.shape)
    return atoms, temperature


def dynamics(pool: Pool, random: np.random.Generator, count: int) -> list[Draft]:
    """Heat a batch of crystals at constant volume and take snapshots.

    Args:
        pool: Crystals and the potential.
        random: Random stream.
        count: How many crystals.

    Returns:
        Snapshots, the three of one crystal one after the other; runs that go astray end early.
    """
    drawn = [start(pool, random) for _ in range(count)]
    frames = [a for a, _ in drawn]
    sizes = np.array([len(a) for a in frames])
    owner = np.repeat(np.arange(count), sizes)
    masses = np.concatenate([a.get_masses() for a in frames])[:, None]
    heat = np.array([units.kB * t for _, t in drawn])[owner][:, None]
    lightest = np.minimum.reduceat(masses[:, 0], np.cumsum(sizes) - sizes)
    # The faster the lightest atom, the shorter the step: it moves about 0.06 Å in one.
    step = (0.06 / np.sqrt(3 * np.array([units.kB * t for _, t in drawn]) / lightest))[owner][:, None]
    step = np.minimum(step, 5.0 * units.fs)
    velocities = random.normal(0.0, 1.0, (len(owner), 3)) * np.sqrt(heat / masses)
    positions = np.concatenate([a.positions for a in frames])
    sound = np.ones(count, bool)
    snapshots: list[list[Draft]] = [[] for _ in range(count)]
    forces = _forces(pool, frames, sound)
    for k in range(1, STEPS[-1] + 1):
        velocities += 0.5 * step * forces / masses
        positions = positions + step * velocities * sound[owner][:, None]
        for a, p in zip(frames, np.split(positions, np.cumsum(sizes)[:-1]), strict=True):
            a.positions = p
        forces = _forces(pool, frames, sound)
        velocities += 0.5 * step * forces / masses
        kick = random.normal(0.0, 1.0, velocities.shape) * np.sqrt(heat / masses)
        velocities = np.sqrt(1.0 - FRICTION) * velocities + np.sqrt(FRICTION) * kick
        if k in STEPS:
            for n, a in enumerate(frames):
                if sound[n]:
                    snapshots[n].append(Draft(a.copy(), f"{round(drawn[n][1], -2):.0f} K", move_cell=False))
    return [d for one in snapshots for d in one]


def _forces(pool: Pool, frames: list[Atoms], sound: np.ndarray) -> np.ndarray:
    """Return the forces on all atoms (eV/Å), zero for crystals that went astray, and mark new ones."""
    alive = [n for n in range(len(frames)) if sound[n]]
    predictions = dict(zip(alive, pool.potential.predict([frames[n] for n in alive]), strict=True)) if alive else {}
    result = []
    for n, a in enumerate(frames):
        forces = predictions[n].forces if n in predictions else np.zeros((len(a), 3))
        if not np.isfinite(forces).all() or np.abs(forces).max() > MAX_FORCE:
            sound[n], forces = False, np.zeros((len(a), 3))
        result.append(forces)
    return np.concatenate(result)


def random_packing(pool: Pool, random: np.random.Generator) -> Draft | None:
    """The atoms of a crystal of the catalogue put at random: an amorphous structure once it has descended."""
    crystal = supercell(pool.crystal(random, 24), random, 8, 24)
    volume = crystal.cell.volume * random.uniform(0.95, 1.6)
    edges = random.uniform(0.85, 1.2, 3)
    cell = np.diag(edges * np.cbrt(volume / edges.prod()))
    cell[1, 0], cell[2, 0], cell[2, 1] = random.uniform(-0.2, 0.2, 3) * np.cbrt(volume)
    atoms = Atoms(numbers=crystal.numbers, cell=cell, pbc=True)
    radii = covalent_radii[atoms.numbers]
    placed: list[np.ndarray] = []
    images = np.array(list(np.ndindex(3, 3, 3))) - 1
    closest = 0.95
    for k in random.permutation(len(atoms)):
        for _ in range(400):
            point = random.random(3)
            if all(_distance(point, q, images, cell) > closest * (radii[k] + radii[m]) for m, q in placed):
                break
            closest *= 0.998
        placed.append((k, point))
    scaled = np.zeros((len(atoms), 3))
    for k, point in placed:
        scaled[k] = point
    atoms.set_scaled_positions(scaled)
    return Draft(atoms, "random") if closest > 0.6 else None


def _distance(a: np.ndarray, b: np.ndarray, images: np.ndarray, cell: np.ndarray) -> float:
    """Return the shortest distance (Å) between two points and their images, given in fractions of the cell."""
    return float(np.linalg.norm((a - b + images) @ cell, axis=1).min())
