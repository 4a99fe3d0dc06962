"""The Triton kernels, in Triton's interpreter on the CPU, give what nn gives in float64."""

from dataclasses import fields, replace
from importlib.util import find_spec

import pytest
import torch

from tests.backends import reference
from tests.backends.conformance import Conformance
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond.backends.triton.availability import triton_runs_on
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.models.potential import evaluate

if find_spec("triton") is None:
    pytest.skip("needs Triton", allow_module_level=True)

from tribond.backends.cuda_graph import CapturedStep
from tribond.backends.triton import network
from tribond.backends.triton.network import energy_and_gradient

# With no more than two hidden layers, which is what fits on the chip.
VARIANTS = reference.VARIANTS | {
    "all widths different": ("matgl_pyg", {"node_features": 12, "edge_features": 10, "update_hidden": (9, 20)}),
}
CHANGED = {"state": "categorical", "state_size": 2}, {"update_hidden": ()}, {"readout": "mean"}, {"node_features": 512}


def models(name="paper", **changes):
    """One model, in float64 with weights that float32 can hold, and in float32."""
    single = random_model(small_config(name, **changes), dtype=torch.float32)
    double = random_model(small_config(name, **changes))
    double.load_state_dict(single.state_dict())
    return double, single


def batch(*names, cutoff=5.0):
    return AtomGraph.batch([atom_graph(STRUCTURES[name](), cutoff, 4.0) for name in names])


@pytest.fixture(scope="module")
def graph():
    return batch("isolated_atom", "methanol", "far_dimer")


class TestTriton(Conformance):
    """In the interpreter, which takes a second a structure: a few."""

    coverage = network.COVERAGE
    dtypes = (torch.float32,)
    variants = VARIANTS
    several = ("isolated_atom", "methanol", "far_dimer", "one_atom_cell")
    unsorted = "trusted"
    alone = ("no_atoms", "isolated_atom", "far_dimer", "one_atom_cell")

    def compute(self, model, vectors, graph):
        return energy_and_gradient(model, vectors, graph)


@pytest.mark.gpu
class TestTritonOnGpu(TestTriton):
    device = "cuda"
    several = tuple(STRUCTURES)
    alone = tuple(STRUCTURES)


@pytest.mark.gpu
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_recorded_graph_gives_what_nn_gives(variant):
    """Recorded with a skin; replayed, moved, and with other bonds."""
    name, changes = VARIANTS[variant]
    double, single = models(name, **changes)
    names = [structure for structure in STRUCTURES if structure != "no_atoms"]
    step = CapturedStep(single.to("cuda"), batch(*names, cutoff=5.5).to("cuda"))
    graph = batch(*names)
    for _ in range(2):
        same(on_cpu(step(graph.positions.cuda())), evaluate(double, graph))
    moved = replace(graph, positions=graph.positions + 0.01 * torch.sin(graph.positions))
    same(on_cpu(step(moved.positions.cuda())), evaluate(double, moved))
    step.set_bonds(graph.to("cuda"))
    same(on_cpu(step(graph.positions.cuda())), evaluate(double, graph))


def test_bonds_of_any_length():
    """Through the series of j_l near zero, and both cutoffs."""
    double, single = models("matgl_dgl", num_blocks=1)
    graph = batch("methanol")
    vectors = graph.edge_vectors()
    lengths = torch.tensor([0.05, 0.4, 1.59, 1.6, 3.999, 4.001, 4.999, 5.001]).double().repeat(4)[: len(vectors), None]
    vectors *= lengths / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    # Bonds of the angular sum are told by their length here, by a list there.
    graph = AtomGraph(**(vars(graph) | {"angle_edges": torch.arange(graph.num_edges)}))
    energies, gradient = energy_and_gradient(single, vectors, graph)
    expected_energies, expected = reference.by_autograd(double, graph, vectors)
    torch.testing.assert_close(energies, expected_energies, rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["tf32x3", "tf32"])
def test_every_precision(precision):
    """The interpreter multiplies float32 numbers whatever it is told, but it splits them as the kernels do."""
    double, single = models()
    graph = batch("methanol")
    energies, gradient = energy_and_gradient(single, graph.edge_vectors(), graph, precision=precision)
    expected_energies, expected = reference.by_autograd(double, graph)
    torch.testing.assert_close(energies, expected_energies, rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-6)


def test_what_it_does_not_compute_it_says():
    assert not triton_runs_on(torch.device("cpu"))
    assert not network.supports(random_model(small_config()))  # float64
    for changes in CHANGED:
        assert not network.supports(random_model(small_config(**changes), dtype=torch.float32))
    with pytest.raises(ValueError, match="no Triton kernels"):
        CapturedStep(random_model(small_config()), batch("crystal"))


@pytest.mark.parametrize(("name", "names"), [("paper", ("wire",)), ("m3gnet_pytorch", ("wire", "methanol"))])
def test_a_step_gives_what_a_potential_gives(name, names):
    """With bonds in a skin beyond the cutoff and places left over; then with a move, a strain and other bonds."""
    double, single = models(name)
    step = CapturedStep(single, batch(*names, cutoff=5.5))
    graph = batch(*names)
    same(step(graph.positions), evaluate(double, graph))
    generator = torch.Generator().manual_seed(1)
    moved = graph.positions + 0.02 * torch.randn(graph.positions.shape, generator=generator, dtype=torch.float64)
    wider = AtomGraph(**(vars(graph) | {"positions": moved, "cell": graph.cell * 1.001}))
    step.set_bonds(graph)
    same(step(moved, wider.cell), evaluate(double, wider))


def on_cpu(step):
    return replace(step, **{field.name: getattr(step, field.name).cpu() for field in fields(step)})


def same(step, evaluation):
    for name in ("energy", "atomic_energies", "forces", "virial"):
        torch.testing.assert_close(getattr(step, name), getattr(evaluation, name), rtol=0, atol=3e-6)
    assert evaluation.forces.abs().max() > 1e-3


def test_places_left_over_change_nothing_bit_by_bit():
    _, model = models(num_blocks=1)
    graph = batch("methanol")
    exact, roomy = (CapturedStep(model, graph, growth=growth) for growth in (1.0, 3.0))
    assert roomy.capacity > 2 * exact.capacity
    for name in ("energy", "forces"):
        assert torch.equal(getattr(exact(graph.positions), name), getattr(roomy(graph.positions), name))


def test_a_step_takes_more_bonds_than_it_has_places_for_but_not_other_atoms():
    double, single = models(num_blocks=1)
    few, many = batch("wire", cutoff=2.0), batch("wire")
    step = CapturedStep(single, few, growth=1.0)
    step.set_bonds(many)
    assert step.capacity >= many.num_edges
    same(step(many.positions), evaluate(double, many))
    with pytest.raises(ValueError, match="got bonds of 2 atoms in 1"):
        step.set_bonds(batch("crystal"))
