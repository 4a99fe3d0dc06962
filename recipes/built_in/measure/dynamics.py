"""Molecular dynamics: is energy conserved, do melts stay apart, do solids stay what they are?"""

import math
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from ase.neighborlist import neighbor_list
from dynamics_structures import benzene_crystal, ice, melts, oxygen_on_platinum, solids

import tribond

SEED = 0
PICOSECONDS = 50.0
SHORT_PICOSECONDS = 20.0
TIMESTEP_FS = 2.0
TIMESTEP_WITH_HYDROGEN_FS = 0.5
SAMPLE_FS = 100.0
CONTACT_FS = 20.0  # how often distances in melts are looked at


def measure_conservation(model: str) -> Any:
    """Drift of the total energy in NVE at 300 and 1000 K, from a straight line through it, meV/atom in all."""
    found = {}
    for name, atoms in solids().items():
        for temperature in (300, 1000):
            moving = _start(atoms, model, 2 * temperature)
            dynamics = VelocityVerlet(moving, TIMESTEP_FS * units.fs)
            energies, temperatures = [], []
            for _ in range(round(1000 * PICOSECONDS / SAMPLE_FS) + 1):
                energies.append(1000 * moving.get_total_energy() / len(moving))
                temperatures.append(moving.get_temperature())
                dynamics.run(round(SAMPLE_FS / TIMESTEP_FS))
            times = SAMPLE_FS / 1000 * np.arange(len(energies))
            found[f"{name} {temperature} K"] = {
                "atoms": len(moving),
                "picoseconds": PICOSECONDS,
                "drift_meV_per_atom": float(np.polyfit(times, energies, 1)[0]) * PICOSECONDS,
                "temperature_K": float(np.mean(temperatures)),
                "largest_deviation_meV_per_atom": float(np.abs(np.array(energies) - energies[0]).max()),
            }
            print(name, temperature, found[f"{name} {temperature} K"], flush=True)
    return found


def measure_melts(model: str) -> Any:
    """NVT at 2000 K: the closest that two atoms of every pair of elements ever come."""
    found = {}
    for name, (atoms, limits) in melts().items():
        moving = _start(atoms, model, 2 * 2000)
        dynamics = Langevin(
            moving,
            TIMESTEP_FS * units.fs,
            temperature_K=2000,
            friction=0.01 / units.fs,
            rng=np.random.default_rng(SEED),
        )
        closest: dict[str, float] = {}
        start = moving.get_positions()
        for _ in range(round(1000 * PICOSECONDS / CONTACT_FS)):
            dynamics.run(round(CONTACT_FS / TIMESTEP_FS))
            for pair, distance in _closest(moving).items():
                closest[pair] = min(closest.get(pair, distance), distance)
        moved = moving.get_positions() - start
        moved -= moved.mean(axis=0)
        found[name] = {
            "atoms": len(moving),
            "picoseconds": PICOSECONDS,
            "closest_A": closest,
            "fused": [pair for pair, limit in limits.items() if closest.get(pair, limit) < limit],
            "displacement_A": math.sqrt(float((moved**2).sum(axis=1).mean())),
        }
        print(name, found[name], flush=True)
    return found


def measure_solids(model: str) -> Any:
    """NVT at 300 K of what must stay what it is: which atoms are bonded at the start and at the end."""
    found = {}
    for name, atoms in {"ice": ice(), "benzene": benzene_crystal(), "Pt(111) with O": oxygen_on_platinum()}.items():
        moving = _start(atoms, model, 300)
        timestep = TIMESTEP_WITH_HYDROGEN_FS if "H" in atoms.symbols else TIMESTEP_FS
        dynamics = Langevin(
            moving, timestep * units.fs, temperature_K=300, friction=0.01 / units.fs, rng=np.random.default_rng(SEED)
        )
        before = _bonds(moving)
        dynamics.run(round(1000 * SHORT_PICOSECONDS / timestep))
        after = _bonds(moving)
        found[name] = {
            "atoms": len(moving),
            "picoseconds": SHORT_PICOSECONDS,
            "bonds": len(before),
            "broken": len(before - after),
            "formed": len(after - before),
            "temperature_K": moving.get_temperature(),
        }
        print(name, found[name], flush=True)
    return found


def _start(atoms: Atoms, model: str, temperature_K: float) -> Atoms:
    """A copy with a calculator and velocities; half of the energy will go into the potential energy."""
    moving = atoms.copy()
    moving.calc = tribond.Calculator(tribond.load_potential(model, dtype="float32", device="cpu"))
    MaxwellBoltzmannDistribution(moving, temperature_K=temperature_K, rng=np.random.default_rng(SEED))
    Stationary(moving)
    return moving


def _closest(atoms: Atoms) -> dict[str, float]:
    """Smallest distance of every pair of elements that comes within 3 Å."""
    i, j, distances = neighbor_list("ijd", atoms, 3.0)
    closest: dict[str, float] = {}
    for a, b, distance in zip(atoms.symbols[i], atoms.symbols[j], distances, strict=True):
        pair = "-".join(sorted((a, b)))
        closest[pair] = min(closest.get(pair, distance), float(distance))
    return closest


def _bonds(atoms: Atoms) -> set[tuple[int, int]]:
    """Pairs of atoms within 1.25 times the sum of their covalent radii, but for two atoms beyond calcium."""
    i, j, d = neighbor_list("ijd", atoms, 3.2)
    radii = covalent_radii[atoms.numbers]
    near = (d < 1.25 * (radii[i] + radii[j])) & (i < j) & ~((atoms.numbers[i] > 20) & (atoms.numbers[j] > 20))
    return set(zip(i[near].tolist(), j[near].tolist(), strict=True))
