"""What every backend must do. A test file of a backend inherits it, says how the backend is called, and adds its own tests."""

from dataclasses import replace
from typing import ClassVar, Literal

import pytest
import torch

from tests.backends.reference import VARIANTS, by_autograd
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond.backends.coverage import Coverage
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph


def batch(*names: str, cutoff: float = 5.0) -> AtomGraph:
    """Structures by name."""
    return AtomGraph.batch([atom_graph(STRUCTURES[name](), cutoff, 4.0) for name in names])


class Conformance:
    """Energies and dE/dr are those of `nn` in float64, differentiated by PyTorch."""

    coverage: ClassVar[Coverage]
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float64, torch.float32)
    device: ClassVar[str] = "cpu"
    variants: ClassVar[dict] = VARIANTS
    # What the tests go through; slow backends, such as Triton's interpreter, take fewer.
    several: ClassVar[tuple[str, ...]] = tuple(STRUCTURES)
    alone: ClassVar[tuple[str, ...]] = tuple(STRUCTURES)
    # Bonds that are not sorted by their centre: computed, refused, or trusted not to come, where a look makes the host wait.
    unsorted: ClassVar[Literal["computed", "refused", "trusted"]] = "refused"

    def compute(self, model, vectors, graph):
        """Energy of every atom and dE/dr of every bond, by the backend under test."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------- helpers

    def run(self, model, graph, vectors=None):
        vectors = graph.edge_vectors() if vectors is None else vectors
        on_device = self.compute(model.to(self.device), vectors.to(self.device), graph.to(self.device))
        return tuple(it.detach().cpu() for it in on_device)

    def models(self, name, changes, dtype):
        """The same weights in the precision under test, and in float64 as the truth."""
        tested = random_model(small_config(name, **changes), dtype=dtype)
        truth = random_model(small_config(name, **changes))
        truth.load_state_dict(tested.state_dict())
        return tested, truth

    def same(self, result, expected, dtype):
        largest = max([1.0, *expected[1].abs().flatten().tolist()])
        tight = dtype == torch.float64
        assert result[0].dtype == result[1].dtype == torch.float64
        torch.testing.assert_close(result[0], expected[0], rtol=1e-13 if tight else 0, atol=1e-12 if tight else 3e-6)
        torch.testing.assert_close(result[1], expected[1], rtol=0, atol=(1e-12 if tight else 3e-6) * largest)

    # ---------------------------------------------------------------------------------------- tests

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_every_dialect_and_precision(self, variant):
        name, changes = self.variants[variant]
        graph = batch(*self.several)
        for dtype in self.dtypes:
            tested, truth = self.models(name, changes, dtype)
            assert self.coverage.computes(tested.config)
            expected = by_autograd(truth, graph)
            assert expected[1].abs().max() > 1e-3
            self.same(self.run(tested, graph), expected, dtype)

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_bonds_beyond_the_cutoff_count_nothing(self, variant):
        """A list with a skin gives what the list without it gives: where gates of e⁰ have a bias, too."""
        name, changes = self.variants[variant]
        tight, loose = (batch(*self.several, cutoff=cutoff) for cutoff in (5.0, 5.8))
        assert loose.num_edges > tight.num_edges
        dtype = self.dtypes[0]
        tested, truth = self.models(name, changes, dtype)
        inside = torch.linalg.vector_norm(loose.edge_vectors(), dim=1) < 5.0
        energies, gradient = self.run(tested, loose)
        assert not gradient[~inside].any()
        self.same((energies, gradient[inside]), by_autograd(truth, tight), dtype)

    def test_structures_alone_and_empty_ones(self):
        """No atoms, no bonds, no angles, one atom."""
        for dtype in self.dtypes:
            for variant in ("paper", "m3gnet_pytorch"):
                tested, truth = self.models(*self.variants[variant], dtype)
                for structure in self.alone:
                    graph = batch(structure)
                    self.same(self.run(tested, graph), by_autograd(truth, graph), dtype)

    def test_a_batch_gives_what_its_systems_give_alone(self):
        tested, _ = self.models(*self.variants["matgl_dgl"], self.dtypes[0])
        graph = batch(*self.several)
        energies, gradient = self.run(tested, graph)
        alone = [self.run(tested, single) for single in graph.split()]
        self.same((energies, gradient), tuple(torch.cat(parts) for parts in zip(*alone, strict=True)), self.dtypes[0])

    def test_the_order_of_the_bonds_is_free_or_refused(self):
        if self.unsorted == "trusted":
            pytest.skip("graphs are sorted where they are made; this backend does not look again")
        tested, truth = self.models(*self.variants["m3gnet_pytorch"], self.dtypes[0])
        graph = batch(*self.several)
        order = torch.randperm(graph.num_edges, generator=torch.Generator().manual_seed(3))
        place = torch.argsort(order)
        shuffled = replace(
            graph,
            edge_index=graph.edge_index[:, order],
            cell_shifts=graph.cell_shifts[order],
            angle_edges=place[graph.angle_edges],
        )
        if self.unsorted == "refused":
            with pytest.raises(ValueError, match="sorted by their centre"):
                self.run(tested, shuffled)
            return
        energies, gradient = self.run(tested, shuffled)
        self.same((energies, gradient[place]), by_autograd(truth, graph), self.dtypes[0])

    def test_the_gradient_is_the_slope_of_the_energy(self):
        """Along a random direction, by central differences: without PyTorch's differentiation."""
        dtype = self.dtypes[0]
        tested, _ = self.models(*self.variants["matgl_pyg"], dtype)
        graph = batch("methanol")
        vectors = graph.edge_vectors()
        step = 1e-4 if dtype == torch.float64 else 1e-2
        along = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        up, down = (self.run(tested, graph, vectors + sign * step * along)[0].sum() for sign in (1, -1))
        slope = (self.run(tested, graph)[1] * along).sum()
        assert slope.item() == pytest.approx(((up - down) / (2 * step)).item(), rel=1e-5 if step < 1e-3 else 2e-2)

    def test_two_runs_give_the_same_and_nothing_given_changes(self):
        tested, _ = self.models(*self.variants["paper"], self.dtypes[-1])
        graph = batch(*self.several)
        vectors = graph.edge_vectors()
        before = vectors.clone(), {name: tensor.clone() for name, tensor in tested.state_dict().items()}
        first, second = (self.run(tested, graph, vectors) for _ in range(2))
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
        assert torch.equal(vectors, before[0])
        assert all(torch.equal(tensor.cpu(), before[1][name]) for name, tensor in tested.state_dict().items())
        assert all(parameter.grad is None for parameter in tested.parameters())
