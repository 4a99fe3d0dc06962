"""Make the structures that the first edition fell over: all families of ``special_*.py`` by name."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii
from vesin import ase_neighbor_list

import special_crystals
import special_hot
import special_ices
import special_layers
import special_molecules
import special_surfaces
from special import MAX_ATOMS, Draft, Family, Pool

CLOSEST = 0.5  # smallest distance over the sum of covalent radii
UNKNOWN = (2, 10, 18)  # the teacher makes He, Ne and Ar collapse: -1 eV a pair at 1 Å, 0.4 eV of cohesion in the solids
CUTOFF = 4.9  # Å; a structure without two atoms this near teaches nothing


@dataclass(frozen=True)
class Plan:
    """How a family is used.

    Attributes:
        make: Function that makes one draft; None for the dynamics, which run in batches.
        share: Drafts in a shard.
        steps: Steps of descent with the teacher after the first label.
    """

    make: Family | None
    share: int
    steps: int


FAMILIES: dict[str, Plan] = {
    "rare_gas": Plan(special_molecules.rare_gas, 50, 0),
    "single_molecule": Plan(special_molecules.single_molecule, 45, 0),
    "molecule_pair": Plan(special_molecules.molecule_pair, 60, 0),
    "molecule_packing": Plan(special_molecules.molecule_packing, 28, 2),
    "molecular_crystal": Plan(special_molecules.molecular_crystal, 45, 1),
    "hydrogen": Plan(special_ices.hydrogen, 15, 1),
    "ice": Plan(special_ices.ice, 14, 1),
    "layered": Plan(special_layers.layered, 90, 0),
    "layered_catalogue": Plan(special_layers.layered_catalogue, 40, 0),
    "element_eos": Plan(special_crystals.element_eos, 80, 0),
    "compound_eos": Plan(special_crystals.compound_eos, 130, 0),
    "density": Plan(special_crystals.density, 45, 1),
    "random_alloy": Plan(special_crystals.random_alloy, 30, 2),
    "close_pair": Plan(special_crystals.close_pair, 50, 0),
    "defect": Plan(special_crystals.defect, 30, 1),
    "slab": Plan(special_surfaces.slab, 50, 1),
    "cluster": Plan(special_surfaces.cluster, 25, 1),
    "random_packing": Plan(special_hot.random_packing, 14, 4),
    "hot": Plan(None, 20, 0),
}
PAIRWISE = ("rare_gas",)  # families labelled by ``RareGasPairs`` in place of the teacher


def draw(pool: Pool, family: str, seed: int, shard: int, count: int | None = None) -> list[Draft]:
    """Draw the drafts of one family of one shard.

    Args:
        pool: Crystals to draw from.
        family: Name in ``FAMILIES``.
        seed: Seed of the whole data set.
        shard: Number of the shard.
        count: How many; the family's share by default. Of the dynamics this many crystals, with some snapshots each.

    Returns:
        Drafts; always the same ones for the same arguments and pool.
    """
    random = np.random.default_rng([seed, shard, zlib.crc32(family.encode())])
    plan = FAMILIES[family]
    count = plan.share if count is None else count
    special_crystals.new_shard()
    if plan.make is None:
        return [d for d in special_hot.dynamics(pool, random, count) if acceptable(pool, family, d)]
    result: list[Draft] = []
    while len(result) < count:
        draft = plan.make(pool, random)
        if draft is not None and acceptable(pool, family, draft):
            result.append(draft)
    return result


def acceptable(pool: Pool, family: str, draft: Draft) -> bool:
    """Tell whether a draft may be labelled: size, compound, no two atoms too close and some within reach."""
    atoms = draft.atoms
    if family not in PAIRWISE and np.isin(atoms.numbers, UNKNOWN).any():
        return False
    if not 1 <= len(atoms) <= MAX_ATOMS or not pool.allowed(atoms):
        return False
    i, j, d = ase_neighbor_list("ijd", atoms, CUTOFF)
    radii = covalent_radii[atoms.numbers]
    return len(i) > 0 and bool((d >= CLOSEST * (radii[i] + radii[j])).all())
