"""A whole evaluation as a CUDA graph: for systems so small that starting kernels takes longer than what they compute.

A graph is recorded once and replayed with one call; it reads and writes fixed places in memory. So the arrays of pairs
have a capacity: places left over hold pairs of no atom, for which nothing is computed, and a graph is recorded anew
only when pairs no longer fit. Which pairs are bonds is found within the graph, too.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from tribond.backends.coverage import ANY, NOT_READ, Coverage, Table, at_most, one_of, widths
from tribond.backends.known import check
from tribond.backends.triton.bonds import Bonds
from tribond.backends.triton.network import PRECISION, WIDEST, Pass, supports
from tribond.backends.triton.weights import Precision, Weights
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.m3gnet import M3GNet

# What is computed, field by field: see coverage.py.
TABLE: Table = {
    "elements": ANY,
    "cutoff": ANY,
    "threebody_cutoff": ANY,
    "max_n": ANY,
    "max_l": at_most(4),  # harmonics are written out up to l = 3
    "bodies": one_of(3),
    "num_blocks": ANY,
    "node_features": at_most(WIDEST),
    "edge_features": at_most(WIDEST),
    "update_hidden": widths(1, 2, WIDEST),
    "readout_hidden": ANY,
    "edge_basis": one_of("smooth", "spherical_bessel"),
    "angle_radial_basis": one_of("smooth", "spherical_bessel"),
    "angle_gate": one_of("end", "centre"),
    "message_target": one_of("centre", "neighbour"),
    "block_order": one_of("bond_first", "atom_first"),
    "atom_gate_activation": one_of("silu", "linear"),
    "edge_gate_bias": one_of(False, True),
    "bond_embedding_bias": one_of(False, True),
    "repulsion": one_of("none", "zbl"),
    "repulsion_inner": ANY,
    "repulsion_outer": ANY,
    "readout": one_of("extensive"),
    "readout_weight_hidden": NOT_READ,
    "set2set_steps": NOT_READ,
    "set2set_layers": NOT_READ,
    "classification": one_of(False),
    "num_targets": at_most(1),
    "target_mean": NOT_READ,
    "target_std": NOT_READ,
    "target_is_log": one_of(False),
    "state": one_of("none"),
    "state_size": NOT_READ,
    "state_features": NOT_READ,
    "state_hidden": NOT_READ,
}
COVERAGE = Coverage("a CUDA graph", TABLE)  # and what `network.supports`, whose kernels it records


@dataclass(frozen=True)
class Step:
    """What one evaluation gives, on the device. The next one writes over it: clone what shall stay."""

    energy: Tensor  # (systems,) eV, float64
    atomic_energies: Tensor  # (atoms,) eV, float64
    forces: Tensor  # (atoms, 3) eV/Å, float64
    virial: Tensor  # (systems, 3, 3) eV, float64 | dE/dε, symmetric
    shortest: Tensor  # () Å, float64 | the shortest distance among all pairs; infinite where there are none
    everything: Tensor  # all of these one after the other; they are views of it

    @staticmethod
    def of(everything: Tensor, num_atoms: int, num_systems: int) -> "Step":
        """Views of one array of everything, in the order of the fields."""
        sizes = (num_systems, num_atoms, 3 * num_atoms, 9 * num_systems, 1)
        energy, atomic, forces, virial, shortest = everything.split(sizes)
        return Step(energy, atomic, forces.view(-1, 3), virial.view(-1, 3, 3), shortest[0], everything)

    def on_host(self) -> "Step":
        """A copy on the CPU, in one piece: the host waits for the device once."""
        return Step.of(self.everything.cpu(), len(self.atomic_energies), len(self.energy))


class CapturedStep:
    """Energy, forces and virial of the same atoms again and again, positions and cell on the device.

        step = CapturedStep(model, graph)
        while True:
            positions = ...  # from step(...).forces
            now = step(positions, cell)
            if neighbours have changed:
                step.set_bonds(new_graph)

    The graph may hold pairs longer than the cutoff, a skin: every call takes those that are bonds then, in their order, so
    that the result is that of a graph without them. Nothing in a call waits for the device.

    Args:
        model: one that `network.supports` accepts, on the device of the graph. Its weights are read here: make
            another step after a change.
        graph: the batch; gives the elements, the pairs and the first cell.
        precision: of the matrix products, as for `network.energy_and_gradient`.
        growth: places for pairs, over the number of pairs.

    Raises:
        ValueError: for a model that `supports` does not accept, or that is not what its config describes.
    """

    def __init__(
        self, model: M3GNet, graph: AtomGraph, *, precision: Precision = PRECISION, growth: float = 1.25
    ) -> None:
        if not computes(model):
            msg = "this model has no Triton kernels: use tribond.models.potential.evaluate"
            raise ValueError(msg)
        check(model)
        # A copy: a recorded graph goes on reading the places in memory where weights were.
        self.model, self.precision, self.growth = deepcopy(model), precision, growth
        self._weights = Weights.of(self.model, precision)
        self._positions = graph.positions.clone()
        self._cell = graph.cell.clone()
        self._system = graph.system_index
        self._element = model.row_of_element[graph.atomic_numbers]
        self.capacity = 0  # 0: nothing is recorded
        self._replay: Callable[[], None] | None = None
        self._step: Step
        self._pairs: Tensor  # (2, capacity) int64, the last one of no atom
        self._shifts: Tensor  # (capacity, 3) float64
        self.set_bonds(graph)

    def set_bonds(self, graph: AtomGraph) -> None:
        """Other pairs of the same atoms.

        Raises:
            ValueError: if the number of atoms or systems is another.
        """
        if graph.positions.shape != self._positions.shape or graph.cell.shape != self._cell.shape:
            msg = (
                f"a step for {len(self._positions)} atoms in {len(self._cell)} systems got bonds of "
                f"{graph.num_atoms} atoms in {graph.num_systems}: make another step"
            )
            raise ValueError(msg)
        fits = graph.num_edges < self.capacity
        capacity = self.capacity if fits else int(self.growth * graph.num_edges) + 1
        left = capacity - graph.num_edges
        pairs = pad(graph.edge_index, (0, left), value=graph.num_atoms)
        shifts = pad(graph.cell_shifts, (0, 0, 0, left))
        if fits:
            self._pairs.copy_(pairs)
            self._shifts.copy_(shifts)
            return
        # The old graph goes first: two at once may not fit, and should this fail, nothing old is replayed.
        self.capacity, self._replay = 0, None
        self._pairs, self._shifts = pairs, shifts
        self._replay, self._step = _record(self._evaluate, self._positions.device)
        self.capacity = capacity

    def __call__(self, positions: Tensor, cell: Tensor | None = None) -> Step:
        """Evaluate.

        Args:
            positions: (atoms, 3) Å, unwrapped since the bonds were set; on the device, or in pinned memory, which must stay
                as it is until the step is done.
            cell: (systems, 3, 3) Å, likewise; None for the last one.

        Raises:
            ValueError: for positions of another number of atoms.
        """
        if positions.shape != self._positions.shape:
            msg = f"positions of {len(self._positions)} atoms are wanted, not {tuple(positions.shape)}"
            raise ValueError(msg)
        self._positions.copy_(positions, non_blocking=True)
        if cell is not None:
            self._cell.copy_(cell, non_blocking=True)
        if self._replay is None:
            self._step = self._evaluate()
        else:
            self._replay()
        return self._step

    @torch.no_grad()
    def _evaluate(self) -> Step:
        atoms, systems = len(self._positions), len(self._cell)
        pairs, vectors, shortest = self._bonds()
        bonds = Bonds.of(pairs, atoms)
        evaluation = Pass(self._weights, bonds)
        energies, gradient = evaluation.run(vectors, self._element)
        forces, pulled = torch.empty_like(self._positions), torch.empty_like(self._positions)
        evaluation.on.sums(gradient, forces, by_neighbour=False)
        evaluation.on.sums(gradient, pulled, by_neighbour=True)
        # Atom by atom first: a matrix product of (3, bonds) and (bonds, 3) would keep one multiprocessor busy.
        outer = gradient.new_empty(atoms, 9)
        evaluation.on.sums((vectors[:, :, None] * gradient[:, None, :]).flatten(1), outer, by_neighbour=False)
        if systems == 1:
            energy, virial = energies.sum()[None], outer.sum(0).view(1, 3, 3)
        else:
            energy = energies.new_zeros(systems).index_add(0, self._system, energies)
            virial = outer.new_zeros(systems, 9).index_add(0, self._system, outer).view(-1, 3, 3)
        virial = (virial + virial.transpose(1, 2)) / 2
        energy = energy + self.model.reference_energy.offset
        parts = (energy, energies, forces - pulled, virial, shortest)
        return Step.of(torch.cat([part.flatten() for part in parts]), atoms, systems)

    def _bonds(self) -> tuple[Tensor, Tensor, Tensor]:
        """The pairs that are bonds now, places of no atom behind them; their vectors; and the shortest length of all pairs."""
        pairs, atoms = self._pairs, len(self._positions)
        centre, neighbour = pairs.clamp(max=max(atoms - 1, 0))
        # By single products and sums, as `BondList.offsets`: a product of matrices rounds as it suits their size.
        cell = self._cell[0] if len(self._cell) == 1 else self._cell[self._system[centre]].unbind(1)
        along_a, along_b, along_c = self._shifts.unbind(1)
        shift = along_a[:, None] * cell[0] + along_b[:, None] * cell[1] + along_c[:, None] * cell[2]
        vectors = self._positions[neighbour] - self._positions[centre] + shift
        squared = torch.where(pairs[0] < atoms, vectors.square().sum(dim=1), torch.inf)
        within = squared < self.model.config.cutoff**2
        last = len(within)
        # The others to one place after the last, which is cut off; and where no bond comes, the last pair, of no atom.
        place = torch.where(within, within.cumsum(0) - 1, last)
        taken = torch.full((last + 1,), last - 1, device=place.device)
        taken = taken.index_copy_(0, place, torch.arange(last, device=place.device))[:last]
        return pairs[:, taken], vectors[taken], squared.amin().sqrt()


def computes(model: M3GNet) -> bool:
    """Whether a step of this model can be recorded; `known` says whether the model is its config's."""
    return COVERAGE.computes(model.config) and supports(model)


def _record(evaluate: Callable[[], Step], device: torch.device) -> tuple[Callable[[], None] | None, Step]:
    """Record what `evaluate` starts. Without a GPU, in Triton's interpreter, nothing can be replayed: None."""
    if device.type != "cuda":
        return None, evaluate()
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # compiles kernels and lets libraries allocate, which a graph must not
            for _ in range(2):
                evaluate()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step = evaluate()
    return graph.replay, step
