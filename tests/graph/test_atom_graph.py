"""A batch of graphs is its graphs, end to end: nothing lost, nothing mixed up on the way in and out."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.comparison import assert_identical
from tests.structures import STRUCTURES
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph

GRAPHS = {name: atom_graph(build(), 5.0, 4.0) for name, build in STRUCTURES.items()}
NAMES = st.lists(st.sampled_from(sorted(GRAPHS)), min_size=1, max_size=6)


@given(names=NAMES)
def test_splitting_a_batch_gives_its_graphs_back(names):
    """Asked for in mattersim#163 and schnetpack#763."""
    graphs = [GRAPHS[name] for name in names]
    for original, again in zip(graphs, AtomGraph.batch(graphs).split(), strict=True):
        assert_identical(original, again)


@given(names=NAMES, others=NAMES)
def test_batches_can_be_batched(names, others):
    first, second = ([GRAPHS[name] for name in some] for some in (names, others))
    nested = AtomGraph.batch([AtomGraph.batch(first), AtomGraph.batch(second)])
    assert_identical(nested, AtomGraph.batch(first + second))


def test_a_batch_of_one_is_that_one():
    assert_identical(AtomGraph.batch([GRAPHS["slab"]]), GRAPHS["slab"])


def test_a_batch_counts_what_is_in_it():
    graphs = [GRAPHS[name] for name in ("methanol", "no_atoms", "far_dimer", "one_atom_cell")]
    batch = AtomGraph.batch(graphs)
    assert batch.num_systems == 4
    assert batch.num_atoms == 6 + 0 + 2 + 1
    assert batch.num_edges == 30 + 0 + 2 + 42
    assert batch.atoms_per_system().tolist() == [6, 0, 2, 1]


def test_states_are_batched_and_split():
    graphs = [
        replace(GRAPHS["methanol"], state=torch.tensor([[1.0, 2.0]])),
        replace(GRAPHS["crystal"], state=torch.tensor([[3.0, 4.0]])),
    ]
    batch = AtomGraph.batch(graphs)
    assert batch.state.tolist() == [[1, 2], [3, 4]]
    for original, again in zip(graphs, batch.split(), strict=True):
        assert_identical(original, again)


def test_all_or_none_of_a_batch_must_carry_a_state():
    with pytest.raises(ValueError, match="1 of 2 systems have no state"):
        AtomGraph.batch([GRAPHS["methanol"], replace(GRAPHS["crystal"], state=torch.zeros(1, 2))])


def test_zero_graphs_are_no_batch():
    with pytest.raises(ValueError, match="zero graphs"):
        AtomGraph.batch([])


def test_a_graph_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        GRAPHS["methanol"].positions = torch.zeros(6, 3)


@pytest.mark.parametrize("name", STRUCTURES)
def test_bond_vectors_lead_from_the_centre_to_the_image_of_the_neighbour(name):
    atoms, graph = STRUCTURES[name](), GRAPHS[name]
    vectors = graph.edge_vectors()
    assert vectors.shape == (graph.num_edges, 3)
    assert vectors.dtype == torch.float64
    for (i, j), shift, vector in zip(graph.edge_index.T.tolist(), graph.cell_shifts.numpy(), vectors, strict=True):
        expected = atoms.positions[j] + shift @ atoms.cell.array - atoms.positions[i]
        np.testing.assert_allclose(vector, expected, atol=1e-12)


def test_bond_vectors_of_a_batch_use_the_cell_of_their_system():
    graphs = list(GRAPHS.values())
    expected = torch.cat([graph.edge_vectors() for graph in graphs])
    torch.testing.assert_close(AtomGraph.batch(graphs).edge_vectors(), expected, rtol=0, atol=0)


def test_volumes_are_positive_and_only_where_there_is_one():
    batch = AtomGraph.batch([GRAPHS[name] for name in ("skewed_crystal", "left_handed_crystal", "slab", "methanol")])
    volumes = batch.volumes()
    expected = STRUCTURES["skewed_crystal"]().get_volume()
    assert volumes[:2].tolist() == pytest.approx([expected, expected])
    assert torch.isnan(volumes[2:]).all()


def test_moving_to_a_device_changes_nothing_else():
    moved = GRAPHS["slab"].to("cpu")
    assert moved.device == torch.device("cpu")
    assert_identical(moved, GRAPHS["slab"])
