"""The compiled pass gives what automatic differentiation gives: every dialect, instruction set, precision and structure."""

import copy
import multiprocessing
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk

from tests.backends.conformance import Conformance
from tests.backends.reference import LIBRARIES, by_autograd
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES, rattled
from tribond import compiled
from tribond.backends import native
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.models.potential import Potential, evaluate

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="tribond was installed without a C++ compiler")


@pytest.fixture(params=LIBRARIES)
def library(request) -> compiled.Library:
    return LIBRARIES[request.param]


def unchecked(graph: AtomGraph, **tensors) -> AtomGraph:
    """With other tensors, past the checks that tests alone have."""
    other = copy.copy(graph)
    for name, tensor in tensors.items():
        object.__setattr__(other, name, tensor)
    return other


def by_library(model, graph, library=None, trace_bytes=native.TRACE_BYTES):
    engine = native.Engine(model, library or compiled.library())
    engine.trace_bytes = trace_bytes
    return engine.energy_and_gradient(graph.edge_vectors(), graph)


def assert_same(result, expected, scale=1.0):
    """To rounding in double precision."""
    torch.testing.assert_close(result[0], expected[0], rtol=1e-13, atol=1e-13 * scale)
    largest = max([1.0, *expected[1].abs().flatten().tolist()])
    torch.testing.assert_close(result[1], expected[1], rtol=1e-11, atol=1e-14 * scale * largest)


class TestNative(Conformance):
    coverage = native.COVERAGE

    @pytest.fixture(autouse=True, params=LIBRARIES)
    def _each_instruction_set(self, request):
        self.library = LIBRARIES[request.param]

    def compute(self, model, vectors, graph):
        return native.Engine(model, self.library).energy_and_gradient(vectors, graph)


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("variant", ["paper", "matgl_dgl", "m3gnet_pytorch"])
def test_tiles_that_are_computed_twice_to_save_memory_give_the_same_bit_by_bit(graph, library, variant, blocks):
    """As in large systems: only some tiles of some blocks keep what the way back needs."""
    model = random_model(small_config(variant, num_blocks=blocks))
    numbers = 2 * 5 * 16 + 16 * (2 if variant == "matgl_dgl" else 0) * 2  # of a bond and block
    whole = graph.num_edges * numbers * 8
    expected = by_library(model, graph, library, trace_bytes=0)
    assert_same(expected, by_autograd(model, graph))
    for kept in (0.2, 0.5, 1.0, 1.3, 1.7, 2.0, 2.5, 3.0, 9.0):
        energies, gradient = by_library(model, graph, library, trace_bytes=int(kept * whole))
        assert torch.equal(energies, expected[0])
        assert torch.equal(gradient, expected[1])


def test_wide_atoms_and_narrow_layers(graph, library):
    """Messages to the neighbour go through the same rows as derivatives, which are narrower here."""
    config = small_config("matgl_dgl", node_features=128, update_hidden=(4, 4), max_l=1, max_n=1)
    model = random_model(config)
    assert_same(by_library(model, graph, library), by_autograd(model, graph), scale=10.0)


@pytest.mark.parametrize("variant", ["paper", "matgl_dgl", "m3gnet_pytorch"])
def test_many_tiles_and_parts_and_atoms_with_more_bonds_than_a_tile(library, variant, threads):
    """A sparse and a very dense crystal in one batch, under which all cuts through the bonds are made."""
    model = random_model(small_config(variant))
    sparse = rattled(bulk("Si", cubic=True).repeat((2, 2, 2)), 0.1)
    dense = rattled(bulk("Cu", a=2.4, cubic=True), 0.05)
    batch = AtomGraph.batch([atom_graph(atoms, 5.0, 4.0) for atoms in (sparse, dense, sparse)])
    assert torch.bincount(batch.edge_index[0]).max() > 96
    expected = by_autograd(model, batch)
    for number in (1, 3):
        threads(number)
        assert_same(by_library(model, batch, library), expected, scale=10.0)


def test_wide_features_with_fewer_columns_than_whole_vectors(library):
    model = random_model(small_config(node_features=70, edge_features=130, update_hidden=(67, 50)))
    graph = atom_graph(STRUCTURES["crystal"](), 5.0, 4.0)
    assert_same(by_library(model, graph, library), by_autograd(model, graph), scale=10.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_number_of_threads_gives_the_same_bit_by_bit(dtype, threads):
    model = random_model(small_config(), dtype=dtype)
    batch = atom_graph(rattled(bulk("Si", cubic=True).repeat((2, 2, 2)), 0.1), 5.0, 4.0)
    results = []
    for number in (1, 2, 5, 2):
        threads(number)
        results.append(by_library(model, batch))
    for energies, gradient in results[1:]:
        assert torch.equal(energies, results[0][0])
        assert torch.equal(gradient, results[0][1])


def test_an_engine_serves_systems_of_any_size_one_after_the_other(structures):
    model = random_model(small_config())
    engine = native.Engine(model, compiled.library())
    for name in ("crystal", "methanol", "crystal", *structures):
        graph = atom_graph(structures[name], 5.0, 4.0)
        assert_same(engine.energy_and_gradient(graph.edge_vectors(), graph), by_autograd(model, graph))


def test_several_python_threads_at_once_get_what_each_asked_for(structures, threads):
    threads(2)
    model = random_model(small_config())
    engine = native.Engine(model, compiled.library())
    graphs = [atom_graph(structures[name], 5.0, 4.0) for name in ("crystal", "methanol", "skewed_crystal")] * 4
    expected = [by_autograd(model, graph) for graph in graphs]
    results = [None] * len(graphs)

    def work(index):
        for _ in range(20):
            results[index] = engine.energy_and_gradient(graphs[index].edge_vectors(), graphs[index])

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(graphs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result, wanted in zip(results, expected, strict=True):
        assert_same(result, wanted)


def _in_a_fork(engine, vectors, graph, answers):
    answers.put(engine.energy_and_gradient(vectors, graph)[0].tolist())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(threads):
    """As workers that load data are; the threads of the parent do not exist there."""
    model = random_model(small_config())
    graph = atom_graph(rattled(bulk("Si", cubic=True).repeat((2, 2, 2)), 0.1), 5.0, 4.0)
    vectors = graph.edge_vectors()  # not in the fork: PyTorch's own threads would hang there
    threads(2)
    engine = native.Engine(model, compiled.library())
    energies, _ = engine.energy_and_gradient(vectors, graph)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=_in_a_fork, args=(engine, vectors, graph, answers), daemon=True)
    process.start()
    process.join(timeout=60)
    assert process.exitcode == 0
    assert answers.get() == energies.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_a_number_comes_out_as_that(structures, library, dtype):
    graph = atom_graph(structures["crystal"], 5.0, 4.0)
    vectors = graph.edge_vectors()
    vectors[0] = np.nan
    model = random_model(small_config(), dtype=dtype)
    energies, gradient = native.Engine(model, library).energy_and_gradient(vectors, graph)
    assert energies.isnan().all()  # both atoms hear of that bond
    assert gradient.isnan().any()


def _cut_short(model):
    del model.blocks[-1]


def _narrow(model):
    model.blocks[0].bond_update.edge_gate.weight = torch.nn.Parameter(torch.zeros(3, 3, dtype=torch.float64))


def _one_more_layer(model):
    for side in (model.readout.phi.core, model.readout.phi.gate):
        side.append(torch.nn.Linear(1, 1).double())


@pytest.mark.parametrize("spoil", [_cut_short, _narrow, _one_more_layer])
def test_models_whose_layers_are_not_those_of_their_config_are_refused(spoil):
    model = random_model(small_config())
    spoil(model)
    with pytest.raises(ValueError, match="config asks for|has shape"):
        native.Engine(model, compiled.library())


def _unsorted(graph):
    return replace(graph, edge_index=graph.edge_index.flip(1))


def _beyond(graph):
    return replace(graph, edge_index=graph.edge_index + 1)


def _unknown_angle(graph):
    return replace(graph, angle_edges=graph.angle_edges + graph.num_edges)


@pytest.mark.parametrize("spoil", [_unsorted, _beyond, _unknown_angle])
def test_graphs_that_make_no_sense_are_refused(structures, spoil):
    graph = atom_graph(structures["skewed_crystal"], 5.0, 4.0)
    engine = native.Engine(random_model(small_config()), compiled.library())
    with pytest.raises(ValueError, match="bonds are not sorted by their centre atom, or .* out of range"):
        engine.energy_and_gradient(graph.edge_vectors(), spoil(graph))


@pytest.mark.parametrize("spoil", [_unsorted, _beyond, _unknown_angle])
def test_potentials_refuse_them_too(structures, spoil):
    potential = Potential(random_model(small_config()))
    with pytest.raises(ValueError, match="out of range"):
        potential.evaluate(spoil(potential.graph(structures["skewed_crystal"])))


def test_indices_and_positions_of_other_kinds_are_taken_as_what_they_are(structures):
    potential = Potential(random_model(small_config()))
    graph = potential.graph(structures["skewed_crystal"])
    expected = potential.evaluate(graph)
    assert expected.forces.abs().max() > 1e-3
    narrow = replace(graph, edge_index=graph.edge_index.int(), angle_edges=graph.angle_edges.int())
    strided = replace(graph, positions=graph.positions.T.contiguous().T, cell=graph.cell.mT.contiguous().mT)
    numbered = [unchecked(graph, pbc=graph.pbc.to(dtype)) for dtype in (torch.uint8, torch.int64, torch.float64)]
    for other in (narrow, strided, *numbered):
        result = potential.evaluate(other)
        assert torch.equal(result.forces, expected.forces)
        assert torch.equal(result.virial, expected.virial)
        assert torch.equal(result.stress, expected.stress)


@pytest.mark.parametrize(
    "name", ["positions", "atomic_numbers", "system_index", "cell", "pbc", "edge_index", "cell_shifts"]
)
def test_tensors_that_are_too_short_are_refused_and_not_read_past_their_end(structures, name):
    potential = Potential(random_model(small_config()))
    graph = potential.graph(structures["skewed_crystal"])
    tensor = getattr(graph, name)
    with pytest.raises(ValueError, match="a tensor of shape"):
        potential.evaluate(unchecked(graph, **{name: tensor[..., :-1]}))


def test_large_systems_leave_nothing_wrong_behind(library):
    """Memory that is kept, given back where little is needed and asked for again; derivatives past the caches."""
    model = random_model(small_config(node_features=32, edge_features=32, update_hidden=(32, 32)), dtype=torch.float32)
    small, large = (atom_graph(rattled(bulk("Si", cubic=True) * (n, n, n)), 5.0, 4.0) for n in (1, 6))
    of_small, of_large = (by_library(model, graph, library, trace_bytes=0) for graph in (small, large))
    for graph, expected in ((large, of_large), (small, of_small), (large, of_large), (small, of_small)):
        for one, other in zip(by_library(model, graph, library), expected, strict=True):
            assert torch.equal(one, other)


def test_weights_of_two_precisions_are_refused():
    model = random_model(small_config())
    model.readout.float()
    with pytest.raises(ValueError, match=r"readout.phi.core.0.weight is stored as torch.float32, not torch.float64"):
        native.Engine(model, compiled.library())


def test_the_default_device_does_not_matter(structures):
    model = random_model(small_config())
    graph = atom_graph(structures["crystal"], 5.0, 4.0)
    expected = evaluate(model, graph).forces
    with torch.device("meta"):
        assert torch.equal(evaluate(model, graph).forces, expected)


def test_vectors_of_another_precision_or_number_are_refused(structures):
    graph = atom_graph(structures["crystal"], 5.0, 4.0)
    engine = native.Engine(random_model(small_config()), compiled.library())
    for vectors in (graph.edge_vectors().float(), graph.edge_vectors()[:-1]):
        with pytest.raises(ValueError, match="float64 vector"):
            engine.energy_and_gradient(vectors, graph)


def test_what_does_not_fit_it_says():
    assert native.supports(random_model(small_config()))
    assert not native.supports(random_model(small_config(readout_hidden=())))
    assert not native.supports(random_model(small_config()).bfloat16())


def test_an_engine_goes_with_its_copy_of_the_weights(structures):
    """The weights are copied: what becomes of the model later does not matter."""
    model = random_model(small_config())
    graph = atom_graph(structures["crystal"], 5.0, 4.0)
    expected = by_autograd(copy.deepcopy(model), graph)
    engine = native.Engine(model, compiled.library())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    del model
    assert_same(engine.energy_and_gradient(graph.edge_vectors(), graph), expected)
