"""The pure function that is compiled: what a potential gives, and what is new in it, ghosts and unknown elements."""

import numpy as np
import pytest
import torch
from ase import Atoms

from tests.export.comparison import assert_like, assert_outputs, inputs
from tests.small_models import random_model, small_config
from tests.structures import crystal, skewed_crystal
from tribond.export.function import OneSystem
from tribond.export.metadata import reach
from tribond.models.potential import Potential


def test_it_gives_what_every_dialect_gives(every_potential):
    assert_like(OneSystem(every_potential.model), every_potential, energy=1e-13, forces=1e-12)


def test_the_offset_of_a_model_is_in_the_energy(tiny_potential):
    assert_like(OneSystem(tiny_potential.model), tiny_potential, energy=1e-13, forces=1e-12)


def test_the_order_of_the_bonds_does_not_matter(potential):
    graph = potential.graph(crystal())
    positions, numbers, owned, edge_index, shifts, angle_edges = inputs(graph)
    order = torch.randperm(graph.num_edges, generator=torch.Generator().manual_seed(0))
    place = torch.argsort(order)  # of a bond in the new order
    shuffled = OneSystem(potential.model)(
        positions, numbers, owned, edge_index[:, order], shifts[order], place[angle_edges]
    )
    assert_outputs(shuffled, potential.evaluate(graph), energy=1e-13, forces=1e-13)


def test_bonds_beyond_the_three_body_cutoff_may_be_listed_as_those_of_angles(potential):
    graph = potential.graph(crystal())
    everything = (*inputs(graph)[:-1], torch.arange(graph.num_edges))
    assert_outputs(OneSystem(potential.model)(*everything), potential.evaluate(graph), energy=1e-13, forces=1e-13)


def with_ghosts(atoms: Atoms, reach: float) -> tuple[Atoms, np.ndarray]:
    """The atoms and all images within reach of one of them, without a cell; and the atom that each is an image of."""
    most = 6  # cells each way
    steps = [np.zeros(3), *(np.subtract(step, most) for step in np.ndindex(*[2 * most + 1] * 3))]
    copies = [atoms.positions + step @ atoms.cell.array for index, step in enumerate(steps) if index == 0 or step.any()]
    positions = np.concatenate(copies)
    origin = np.tile(np.arange(len(atoms)), len(copies))
    distance = np.linalg.norm(positions[:, None] - atoms.positions, axis=2).min(axis=1)
    near = distance < reach
    return Atoms(atoms.numbers[origin[near]], positions=positions[near]), origin[near]


@pytest.mark.parametrize("name", ["paper", "matgl_dgl", "m3gnet_pytorch"])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_ghosts_within_reach_make_a_crystal_whole(name, share):
    """As in a domain decomposition: forces on ghosts go back to the atoms that they are images of."""
    potential = Potential(random_model(small_config(name, cutoff=3.4, threebody_cutoff=3.2)))
    atoms = skewed_crystal()
    cluster, origin = with_ghosts(atoms, share * reach(potential) + 1e-6)
    graph = potential.graph(cluster)
    owned = torch.arange(len(cluster)) < len(atoms)
    positions, numbers, _, *bonds = inputs(graph)
    energy, atomic, forces, virial = OneSystem(potential.model)(positions, numbers, owned, *bonds)
    returned = torch.zeros(len(atoms), 3).double().index_add(0, torch.from_numpy(origin), forces)
    expected = potential.evaluate(potential.graph(atoms))
    same = torch.allclose(atomic[: len(atoms)], expected.atomic_energies, rtol=0, atol=1e-12)
    assert same == (share == 1.0)  # all of the reach is needed
    assert (atomic[len(atoms) :] == 0).all()
    if same:
        assert_outputs((energy, atomic[: len(atoms)], returned, virial), expected, energy=1e-12, forces=1e-12)


@pytest.mark.parametrize("number", [-7, 0, 2, 118, 119, 10**9])
def test_an_unknown_element_gives_no_number_at_all(potential, number):
    graph = potential.graph(crystal())
    positions, numbers, *rest = inputs(graph)
    outputs = OneSystem(potential.model)(positions, numbers.clone().index_fill(0, torch.tensor([1]), number), *rest)
    assert all(output.isnan().all() for output in outputs)


def test_nothing_that_it_is_given_changes(potential):
    given = inputs(potential.graph(crystal()))
    before = [it.clone() for it in given]
    OneSystem(potential.model)(*given)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))
