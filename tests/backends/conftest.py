import pytest
import torch

from tests.structures import STRUCTURES
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph


@pytest.fixture(scope="module")
def graph() -> AtomGraph:
    """One structure of every kind, in one batch."""
    return AtomGraph.batch([atom_graph(build(), 5.0, 4.0) for build in STRUCTURES.values()])


@pytest.fixture
def threads():
    """A number of threads set in a test is forgotten after it."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
