"""The network is what the equations say, in every dialect: compared with numpy that goes bond by bond."""

import numpy as np
import pytest

from tests.nn.paper_oracle import Paper
from tests.small_models import random_model, small_config
from tests.structures import ELEMENTS, STRUCTURES
from tribond.models.potential import Potential
from tribond.nn.config import PRESETS

DIALECTS = {name: (name, {}) for name in PRESETS} | {
    "matgl with use_smooth": ("matgl_dgl", {"edge_basis": "smooth", "angle_radial_basis": "smooth"}),
    "all the other ways": (
        "paper",
        {
            "message_target": "neighbour",
            "block_order": "atom_first",
            "angle_gate": "centre",
            "edge_gate_bias": True,
            "bond_embedding_bias": True,
            "max_n": 2,
            "max_l": 4,
            "cutoff": 4.5,
            "threebody_cutoff": 3.0,
        },
    ),
    "four bodies": ("paper", {"bodies": 4}),
    "four bodies, the centre gates": ("mattersim", {"bodies": 4, "max_n": 2, "threebody_cutoff": 3.5}),
    "one layer in every update": ("paper", {"update_hidden": (), "readout_hidden": (), "num_blocks": 1}),
    "a node as wide as it likes": ("paper", {"node_features": 7, "edge_features": 5, "update_hidden": (3, 4)}),
}


def rows_and_bonds(graph):
    """What the oracle reads of a graph of one system."""
    symbols = {6: "C", 1: "H", 8: "O", 14: "Si", 29: "Cu"}
    rows = [ELEMENTS.index(symbols[number]) for number in graph.atomic_numbers.tolist()]
    vectors = graph.edge_vectors().detach().numpy()
    return rows, [(i, j, vector) for (i, j), vector in zip(graph.edge_index.T.tolist(), vectors, strict=True)]


@pytest.mark.parametrize("structure", ["methanol", "wire", "isolated_atom"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_atomic_energies_are_those_of_the_equations(dialect, structure):
    name, changes = DIALECTS[dialect]
    potential = Potential(random_model(small_config(name, **changes)))
    atoms = STRUCTURES[structure]()
    expected = Paper(potential.model).atomic_energies(*rows_and_bonds(potential.graph(atoms)))
    np.testing.assert_allclose(potential.predict(atoms)[0].atomic_energies, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("state", ["continuous", "categorical"])
def test_with_a_state_input_atoms_bonds_and_state_are_those_of_the_equations(state):
    model = random_model(small_config(state=state, state_size=3, state_features=6))
    given = 2 if state == "categorical" else [0.3, -1.2, 0.8]
    graph = Potential(model).graph(STRUCTURES["methanol"](), state=given)
    u = model.state_embedding.weight[2].detach().numpy() if state == "categorical" else np.array(given)
    v, e, u = Paper(model).run(*rows_and_bonds(graph), state=u)
    features = Potential(model).model.features(graph.edge_vectors(), graph)
    np.testing.assert_allclose(features.nodes, v, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(features.edges, e, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(features.state[0], u, rtol=1e-11, atol=1e-11)
