"""Two atoms alone, every pair of elements: is there a wall, and is it free of holes?"""

from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii

import tribond
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph

DISTANCES = np.concatenate([np.arange(0.5, 3.0, 0.05), np.arange(3.0, 5.0, 0.1)])  # Å
WALL = 0.55  # of the sum of covalent radii: at this distance and closer, atoms must repel


def measure(model: str) -> Any:
    """Pairs that attract each other within the wall, that have a hole there, or that bind beyond reason."""
    potential = tribond.load_potential(model, dtype="float64", device="cpu")
    numbers = potential.config.atomic_numbers
    holes, attractive, deep = [], [], []
    reach = potential.config.cutoff
    for a in numbers:
        pairs = [(a, b) for b in numbers if b >= a]
        graphs = [
            atom_graph(Atoms([a, b], [(0, 0, 0), (r, 0, 0)]), reach, potential.config.threebody_cutoff)
            for a, b in pairs
            for r in DISTANCES
        ]
        with torch.no_grad():
            energies = potential.evaluate(AtomGraph.batch(graphs)).energy.numpy().reshape(len(pairs), -1)
        for (_, b), curve in zip(pairs, energies, strict=True):
            name = f"{chemical_symbols[a]}-{chemical_symbols[b]}"
            inside = max(WALL * (covalent_radii[a] + covalent_radii[b]), 0.6) >= DISTANCES
            slope = np.diff(curve[inside])
            if (slope > 0).any():
                attractive.append(name)
            wall = curve[inside]
            if wall[0] < curve.min() + 5.0 or wall[0] < curve[-1]:
                holes.append({"pair": name, "at_half_A_eV": float(wall[0] - curve[-1])})
            depth = float(curve[-1] - curve.min())
            if depth > 12.0:
                deep.append({"pair": name, "eV": depth})
    return {
        "pairs": len(numbers) * (len(numbers) + 1) // 2,
        "attractive_within_wall": attractive,
        "holes": holes,
        "bound_by_more_than_12_eV": deep,
    }
