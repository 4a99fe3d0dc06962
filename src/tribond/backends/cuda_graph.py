"""A whole evaluation as a CUDA graph: for systems so small that starting kernels takes longer than what they compute.

A graph is recorded once and replayed with one call; it reads and writes fixed places in memory. So the arrays of bonds
have a capacity: places left over hold bonds of no atom, for which nothing is computed, and a graph is recorded anew
only when bonds no longer fit.
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


class CapturedStep:
    """Energy, forces and virial of the same atoms again and again, positions and cell on the device.

        step = CapturedStep(model, graph)
        while True:
            positions = ...  # from step(...).forces
            now = step(positions, cell)
            if neighbours have changed:
                step.set_bonds(new_graph)

    The graph may hold bonds longer than the cutoff, a skin: they contribute nothing until they become shorter. Nothing
    in a call waits for the device.

    Args:
        model: one that `network.supports` accepts, on the device of the graph. Its weights are read here: make
            another step after a change.
        graph: the batch; gives the elements, the bonds and the first cell.
        precision: of the matrix products, as for `network.energy_and_gradient`.
        growth: places for bonds, over the number of bonds.

    Raises:
        ValueError: for a model that `supports` does not accept, or that is not what its config describes.
    """

    def __init__(
        self, model: M3GNet, graph: AtomGraph, *, precision: Precision = PRECISION, growth: float = 1.25
    ) -> None:
        if not COVERAGE.computes(model.config) or not supports(model):
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
        self.capacity = -1
        self._bonds: Bonds
        self._shifts: Tensor
        self.set_bonds(graph)

    def set_bonds(self, graph: AtomGraph) -> None:
        """Other bonds of the same atoms.

        Raises:
            ValueError: if the number of atoms or systems is another.
        """
        if graph.positions.shape != self._positions.shape or graph.cell.shape != self._cell.shape:
            msg = (
                f"a step for {len(self._positions)} atoms in {len(self._cell)} systems got bonds of "
                f"{graph.num_atoms} atoms in {graph.num_systems}: make another step"
            )
            raise ValueError(msg)
        fits = graph.num_edges <= self.capacity
        if not fits:
            self.capacity = int(self.growth * graph.num_edges) + 1
        left = self.capacity - graph.num_edges
        bonds = Bonds.of(pad(graph.edge_index, (0, left), value=graph.num_atoms), graph.num_atoms)
        shifts = pad(graph.cell_shifts, (0, 0, 0, left))
        if fits:
            for name in ("centre", "neighbour", "start", "order", "start_of_neighbour"):
                getattr(self._bonds, name).copy_(getattr(bonds, name))
            self._shifts.copy_(shifts)
        else:
            self._bonds, self._shifts = bonds, shifts
            self._pass = Pass(self._weights, bonds)
            self._replay, self._step = _record(self._evaluate, self._positions.device)

    def __call__(self, positions: Tensor, cell: Tensor | None = None) -> Step:
        """Evaluate.

        Args:
            positions: (atoms, 3) Å, unwrapped since the bonds were set.
            cell: (systems, 3, 3) Å; None for the last one.

        Raises:
            ValueError: for positions of another number of atoms.
        """
        if positions.shape != self._positions.shape:
            msg = f"positions of {len(self._positions)} atoms are wanted, not {tuple(positions.shape)}"
            raise ValueError(msg)
        self._positions.copy_(positions)
        if cell is not None:
            self._cell.copy_(cell)
        if self._replay is None:
            self._step = self._evaluate()
        else:
            self._replay()
        return self._step

    @torch.no_grad()
    def _evaluate(self) -> Step:
        bonds, atoms = self._bonds, len(self._positions)
        last = max(atoms - 1, 0)
        centre, neighbour = (ends.clamp(max=last) for ends in (bonds.centre, bonds.neighbour))
        single = len(self._cell) == 1
        if single:
            shift = self._shifts @ self._cell[0]
        else:
            shift = torch.einsum("ea,eax->ex", self._shifts, self._cell[self._system[centre]])
        vectors = self._positions[neighbour] - self._positions[centre] + shift
        energies, gradient = self._pass.run(vectors, self._element)
        forces, pulled = torch.empty_like(self._positions), torch.empty_like(self._positions)
        self._pass.on.sums(gradient, forces, by_neighbour=False)
        self._pass.on.sums(gradient, pulled, by_neighbour=True)
        # Atom by atom first: a matrix product of (3, bonds) and (bonds, 3) would keep one multiprocessor busy.
        outer = gradient.new_empty(atoms, 9)
        self._pass.on.sums((vectors[:, :, None] * gradient[:, None, :]).flatten(1), outer, by_neighbour=False)
        if single:
            energy, virial = energies.sum()[None], outer.sum(0).view(1, 3, 3)
        else:
            energy = energies.new_zeros(len(self._cell)).index_add(0, self._system, energies)
            virial = outer.new_zeros(len(self._cell), 9).index_add(0, self._system, outer).view(-1, 3, 3)
        virial = (virial + virial.transpose(1, 2)) / 2
        return Step(energy + self.model.reference_energy.offset, energies, forces - pulled, virial)


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
