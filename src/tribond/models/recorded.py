"""One structure after the other, as in dynamics and relaxation, on a GPU: every step is one replay of a CUDA graph."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from tribond.backends.look import Look
from tribond.backends.triton.availability import triton_runs_on
from tribond.graph.bonds import SMALLEST_DISTANCE
from tribond.graph.build import cell_of, graph_of, positions_of
from tribond.graph.elements import check_elements
from tribond.graph.skin import VerletList
from tribond.models.force_field import Prediction

if TYPE_CHECKING:
    from tribond.backends.cuda_graph import CapturedStep, Step
    from tribond.graph.skin import Listed
    from tribond.nn.m3gnet import M3GNet

# Recorded, 512 atoms take a tenth of the time and 4,096 a third; 32,768 gain nothing and would keep memory.
MOST_ATOMS = 10_000


def can_record(model: "M3GNet") -> bool:
    """Whether steps of this model can be recorded where it lies."""
    if not triton_runs_on(model.atom_embedding.weight.device):
        return False
    from tribond.backends.cuda_graph import computes

    return computes(model)


class RecordedSteps:
    """Predictions for structures that move little from one to the next; they may also be any others.

    Pairs of atoms are kept as by `VerletGraph`. A step sends the positions, and the cell if it has changed, replays the
    graph, and waits for the device once, for the results. Recording takes longer than an evaluation, so atoms are recorded
    when the same ones come the second time in a row, and again when the model has changed.

    Args:
        model: one that `can_record` accepts.
        skin: how much farther than bonds the list of neighbours reaches, Å.
    """

    def __init__(self, model: "M3GNet", skin: float) -> None:
        self._model = model
        self._device = model.atom_embedding.weight.device
        self._list = VerletList(model.config.cutoff, skin, self._device)
        self._look: Look | None = None
        self._seen: NDArray[np.int64] | None = None  # atomic numbers of the last structure
        self._positions: Tensor  # (atoms, 3) Å, on the host
        self._cell: Tensor  # (1, 3, 3) Å, on the host
        self._forget()

    def _forget(self) -> None:
        self._step: CapturedStep | None = None
        self._numbers: NDArray[np.int64] | None = None  # of the step's atoms
        self._listed: Listed[Any] | None = None  # whose pairs the step has

    def __reduce__(self) -> tuple[Callable[["M3GNet", float], "RecordedSteps"], tuple["M3GNet", float]]:
        """A copy, in this process or another, records for itself."""
        return RecordedSteps, (self._model, self._list.skin)

    def __call__(self, atoms: Atoms) -> Prediction | None:
        """Energy, forces and stress of a structure.

        Returns:
            The prediction; None where the usual evaluation is the one to ask: for the first structure of its kind, for no atoms
            or very many, for a model that is not what its config describes, where there is not enough memory to record, and
            for atoms that coincide, which it refuses with their names.

        Raises:
            StructureError: for atoms that make no sense or of an unknown element.
        """
        if not 0 < len(atoms) <= MOST_ATOMS or not self._comes_again(atoms):
            return None
        if self._look is None or not self._look.still_holds(self._model):
            self._forget()
            self._look = Look.at(self._model)
            if self._look is None or not can_record(self._model):
                return None
        try:
            result = self._taken(atoms, self._list(atoms)).on_host()
        except torch.OutOfMemoryError:
            self._forget()
            return None
        # Not `<`: positions that are not finite are for the usual evaluation to refuse, too.
        if not result.shortest >= SMALLEST_DISTANCE:
            return None
        return _prediction(atoms, result)

    def _comes_again(self, atoms: Atoms) -> bool:
        if self._seen is not None and np.array_equal(self._seen, atoms.numbers):
            return True
        self._seen = atoms.numbers.copy()
        return False

    def _taken(self, atoms: Atoms, listed: "Listed[Any]") -> "Step":
        """One step, recorded anew or with another list or another cell, as it must be."""
        before, step = self._listed, self._step
        if step is None or before is None or listed.candidates is not before.candidates:
            step = self._step_with_pairs(atoms, listed)
        self._positions.copy_(torch.from_numpy(positions_of(atoms)))
        same_cell = before is not None and listed.parts is before.parts
        if not same_cell:
            self._cell.copy_(torch.from_numpy(cell_of(atoms)))
        self._listed = listed  # at last: after an error above, pairs are set again
        return step(self._positions, None if same_cell else self._cell)

    def _step_with_pairs(self, atoms: Atoms, listed: "Listed[Any]") -> "CapturedStep":
        from tribond.backends.cuda_graph import CapturedStep

        positions = torch.from_numpy(positions_of(atoms).copy()).to(self._device)
        pairs = listed.candidates.select(positions, listed.offsets, math.inf, 0.0)  # all
        graph = graph_of(atoms, listed.parts, positions, pairs)
        if self._step is not None and self._numbers is not None and np.array_equal(self._numbers, atoms.numbers):
            self._step.set_bonds(graph)
            return self._step
        check_elements(atoms.numbers.tolist(), self._model.config.elements)
        self._forget()  # what it holds on the device goes first
        step = CapturedStep(self._model, graph)
        self._step, self._numbers = step, atoms.numbers.copy()
        # Where the device reads by itself while the host goes on; it is waited for before the next step writes there.
        pinned = self._device.type == "cuda"
        self._positions = torch.empty(len(atoms), 3, dtype=torch.float64, pin_memory=pinned)
        self._cell = torch.empty(1, 3, 3, dtype=torch.float64, pin_memory=pinned)
        return step


def _prediction(atoms: Atoms, result: "Step") -> Prediction:
    stress = None
    if atoms.pbc.all():
        stress = result.virial[0].numpy() / abs(np.linalg.det(cell_of(atoms)))
    return Prediction(
        energy=float(result.energy[0]),
        atomic_energies=_copy(result.atomic_energies),
        forces=_copy(result.forces),
        stress=stress,
    )


def _copy(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.numpy().copy()
