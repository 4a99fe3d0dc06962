"""The graph of operations that is compiled depends on no size; and the same function for `torch.compile`."""

import subprocess
import sys

import pytest
from torch.utils._pytree import tree_leaves

from tests.export.comparison import assert_like, shapes_unchecked
from tests.small_models import random_model, small_config
from tribond.errors import ConfigError
from tribond.export.trace import ANGLE_BONDS, ATOMS, BONDS, traced_program
from tribond.models.potential import Potential
from tribond.nn.config import PRESETS


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_a_trace_holds_no_size_and_gives_the_same_for_all(name):
    potential = Potential(random_model(small_config(name, num_blocks=2 if name == "matgl_dgl" else 1)))
    with shapes_unchecked():
        program = traced_program(potential.model)
    numbers = {it for node in program.graph.nodes for it in tree_leaves(node.args) if isinstance(it, int)}
    assert numbers.isdisjoint({size + more for size in (ATOMS, BONDS, ANGLE_BONDS) for more in (0, 2)})
    assert 2 in numbers
    assert all(bounds.lower == 0 for bounds in program.range_constraints.values())
    assert len(program.range_constraints) == 3
    assert_like(program.module(), potential, energy=1e-13, forces=1e-12)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"readout": "mean"}, "one property"), ({"state": "categorical", "state_size": 2}, "without a state")],
)
def test_models_without_energies_or_with_a_state_are_refused(changes, told):
    with pytest.raises(ConfigError, match=told):
        traced_program(random_model(small_config(**changes)))


COMPILED = """
import torch
from tests.export.comparison import inputs
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond.export.function import energy_and_gradient
from tribond.backends import chunked
from tribond.nn.config import PRESETS
from tribond.models.potential import Potential
potential = Potential(random_model(small_config("paper", num_blocks=1)))
compiled = torch.compile(energy_and_gradient, dynamic=True, fullgraph=True)
for name in ("methanol", "skewed_crystal", "slab"):
    graph = potential.graph(STRUCTURES[name]())
    _, numbers, owned, edge_index, _, angle_edges = inputs(graph)
    energies, gradient = compiled(potential.model, graph.edge_vectors(), numbers, edge_index, angle_edges, owned)
    expected = chunked.energy_and_gradient(potential.model, graph.edge_vectors(), graph)
    torch.testing.assert_close(energies, expected[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient, expected[1], rtol=0, atol=1e-12)
"""


@pytest.mark.slow
def test_torch_compile_takes_it_whole():
    """In a process of its own: checks of shapes, which the tests turn on, break the graph."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
