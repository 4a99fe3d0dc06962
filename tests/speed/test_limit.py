import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.small_models import random_model, small_config
from tests.structures import crystal
from tribond.backends import chunked
from tribond.graph.build import atom_graph
from tribond.nn.config import PRESETS, preset
from tribond.speed.limit import flops_per_bond, multiply_rate


class CountMultiplications(TorchDispatchMode):
    """Floating-point operations of all matrix products."""

    operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_}:
            self.operations += 2 * result.numel() * args[-1].shape[0]
        return result


def test_the_papers_model_needs_0_39_million_operations_a_bond():
    gated_mlp = 2 * (64 * 64 + 64 * 64)  # core and gate, first layer of the bond and second layer
    assert flops_per_bond(preset("paper")) == 2 * 2 * 3 * 2 * gated_mlp == 393_216


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_computed_for_many_bonds_is_more_than_the_limit_and_not_many_times_more(name):
    model = random_model(small_config(name))
    graph = atom_graph(crystal().repeat(2), model.config.cutoff, model.config.threebody_cutoff)
    with CountMultiplications() as counter:
        chunked.energy_and_gradient(model, graph.edge_vectors(), graph)
    least = graph.num_edges * flops_per_bond(model.config)
    assert least < counter.operations < 4 * least  # narrow layers: bases and angles weigh more than usual


def test_multiplication_has_a_rate_and_the_fastest_shape_counts():
    slow, fast = (1, 1, 1), (256, 256, 256)
    assert 1e8 < multiply_rate(shapes=[slow, fast], seconds=0.01) < 1e15
    assert multiply_rate(shapes=[slow], seconds=0.01) < multiply_rate(shapes=[slow, fast], seconds=0.01) / 10
    assert multiply_rate("cpu", torch.float64, shapes=[fast], seconds=0.01) > 1e8
