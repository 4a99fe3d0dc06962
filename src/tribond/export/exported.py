"""A package of `tribond export`, back in Python."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tribond.errors import ConfigError, ExportError
from tribond.export.metadata import INPUTS, PackageMetadata, read_metadata
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import as_list, graphs_of
from tribond.models.force_field import Evaluation, Prediction, unbatch
from tribond.models.trained_model import resolve_device, resolve_dtype

if TYPE_CHECKING:
    from tribond.graph.build import AnyStructure

LEVELS = {"AVX2": 1, "AVX512": 2}  # of vector instructions: each processor has those below its own, too


class ExportedPotential:
    """A compiled potential. What it gives is what the potential gave that it was made from.

    Attributes:
        path: of the package.
        metadata: the model's name, elements and cutoffs, and how it was made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: PackageMetadata = read_metadata(path)
        self.device = resolve_device(self.metadata.device)
        _check_processor(path, self.metadata.instruction_set)
        loader = torch._C._aoti.AOTIModelPackageLoader  # noqa: SLF001, the documented function asks for a C++ compiler
        try:
            self._package = loader(str(path), "model", False, 1, -1)
        except RuntimeError as error:
            msg = f"{path} cannot be loaded: {error}".splitlines()[0]
            if (made_with := self.metadata.torch_version) != torch.__version__:
                msg = f"{path} was made with PyTorch {made_with} and cannot be loaded by {torch.__version__}: {error}"
            raise ExportError(msg.splitlines()[0]) from error

    def __repr__(self) -> str:
        """Name, precision and device."""
        return f"ExportedPotential({self.metadata.name!r}, {self.metadata.dtype}, {self.device})"

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols the model knows."""
        return self.metadata.elements

    @property
    def cutoff(self) -> float:
        """Longest bond, Å."""
        return self.metadata.cutoff

    @property
    def threebody_cutoff(self) -> float:
        """Longest bond that takes part in angles, Å."""
        return self.metadata.threebody_cutoff

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network."""
        return resolve_dtype(self.metadata.dtype)

    def run(self, *inputs: Tensor) -> Sequence[Tensor]:
        """The package's own contract (docs/export.md): six tensors in, four out.

        Raises:
            ConfigError: for tensors of another number, kind, shape or device, which the machine code would misread.
        """
        _check_inputs(inputs, self.device)
        outputs: Sequence[Tensor] = self._package.run([it.contiguous() for it in inputs])
        return outputs

    def evaluate(self, graph: AtomGraph) -> Evaluation:
        """Energy, forces and stress of one system, as tensors.

        Raises:
            ConfigError: for a batch of several systems, or a state.
        """
        if graph.num_systems != 1 or graph.state is not None:
            given = f"{graph.num_systems} systems" if graph.state is None else "one with a state"
            msg = f"a package evaluates one system at a time, without a state; this graph is of {given}"
            raise ConfigError(msg)
        owned = torch.ones_like(graph.atomic_numbers, dtype=torch.bool)
        shift_vectors = graph.cell_shifts @ graph.cell[0]
        energy, atomic_energies, forces, virial = self.run(
            graph.positions, graph.atomic_numbers, owned, graph.edge_index, shift_vectors, graph.angle_edges
        )
        return Evaluation(
            energy=energy[None],
            atomic_energies=atomic_energies,
            forces=forces,
            virial=virial[None],
            stress=virial[None] / graph.volumes()[:, None, None],
        )

    def predict(self, structures: "AnyStructure | Iterable[AnyStructure]") -> list[Prediction]:
        """Energy, forces and stress of one or many structures, one after the other.

        Args:
            structures: ASE Atoms, pymatgen Structure or Molecule, or an iterable of them; only read.

        Raises:
            StructureError: for a structure that makes no sense or holds an unknown element; it says which.
        """
        predictions: list[Prediction] = []
        for given in graphs_of(as_list(structures), self.cutoff, self.threebody_cutoff, self.elements):
            graph = given.to(self.device)
            predictions += unbatch(graph, self.evaluate(graph))
        return predictions


def load_exported(path: str | Path) -> ExportedPotential:
    """A package that `tribond export` made. It is machine code, and runs: load only what you trust.

    Raises:
        FileNotFoundError: if there is no such file.
        ExportError: if it is no such package, or one for another processor or another PyTorch.
        ConfigError: if it was made for a GPU and there is none.
    """
    return ExportedPotential(Path(path))


def _check_processor(path: Path, instruction_set: str) -> None:
    here = torch.backends.cpu.get_cpu_capability()
    needed = max(instruction_set.split(), key=lambda name: LEVELS.get(name, 0), default="")
    if LEVELS.get(needed, 0) > LEVELS.get(here, 0):
        msg = f"{path} was made for a processor with {needed}; this one has {here}. Export the model here"
        raise ExportError(msg)


def _check_inputs(inputs: Sequence[Tensor], device: torch.device) -> None:
    if len(inputs) != len(INPUTS):
        msg = f"a package takes {len(INPUTS)} tensors, {', '.join(INPUTS)}; not {len(inputs)}"
        raise ConfigError(msg)
    atoms, edges = inputs[0].shape[:1].numel(), inputs[3].shape[1:].numel()
    real, whole = torch.float64, torch.int64
    wanted: list[tuple[torch.dtype, tuple[int, ...]]] = [
        (real, (atoms, 3)),
        (whole, (atoms,)),
        (torch.bool, (atoms,)),
        (whole, (2, edges)),
        (real, (edges, 3)),
        (whole, (inputs[5].numel(),)),
    ]
    for name, given, (dtype, shape) in zip(INPUTS, inputs, wanted, strict=True):
        if given.dtype != dtype or tuple(given.shape) != shape or given.device.type != device.type:
            want = f"{dtype} of shape {shape} on {device.type}"
            msg = f"{name} must be {want}; it is {given.dtype} of shape {tuple(given.shape)} on {given.device.type}"
            raise ConfigError(msg)
