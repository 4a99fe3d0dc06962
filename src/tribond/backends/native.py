"""The compiled pass for CPUs: the equations of `nn` in C++ (folder native), a tile of bonds at a time in the cache.

Without the compiled library everything works, more slowly, through PyTorch.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from tribond.backends.coverage import ANY, NOT_READ, Coverage, Table, at_most, one_of, widths
from tribond.backends.known import PRECISIONS, check
from tribond.backends.weights import linears
from tribond.compiled import BAD_GRAPH, FAILED, NO_MEMORY, Library, plain
from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.basis import SmoothBessel, SphericalBessel
from tribond.nn.block import M3GNetBlock
from tribond.nn.gated_mlp import GatedMLP
from tribond.nn.m3gnet import M3GNet
from tribond.nn.readout import AtomicReadout

MOST_FUNCTIONS = 512  # radial functions of one kind, a fixed room in the C++ code
NO_SUCH_GRAPH = (
    "a graph whose bonds are not sorted by their centre atom, or with atoms, bonds, systems or elements out of range"
)
# What may be kept of activations and their derivatives, so that the backward pass need not compute it again.
TRACE_BYTES = 380 * 10**6

# What is computed, field by field: see coverage.py.
TABLE: Table = {
    "elements": ANY,
    "cutoff": ANY,
    "threebody_cutoff": ANY,
    "max_n": ANY,
    "max_l": at_most(4),  # harmonics are written out up to l = 3
    "bodies": one_of(3),
    "num_blocks": ANY,
    "node_features": ANY,
    "edge_features": ANY,
    "update_hidden": widths(1),
    "readout_hidden": widths(1),
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
COVERAGE = Coverage(
    "the compiled code",
    TABLE,
    together=(
        (
            f"max_n · max_l up to {MOST_FUNCTIONS}",
            lambda config: max(config.max_n * config.max_l, config.num_edge_basis) <= MOST_FUNCTIONS,
        ),
    ),
)


def over_bonds(
    function: Callable[..., int], graph: AtomGraph, given: Sequence[Tensor], results: Sequence[Tensor]
) -> None:
    """Call one of the functions in cpp/bond_sums.cpp.

    Args:
        function: of a library.
        graph: the batch.
        given: what the function reads beyond bonds and systems, in its order, from `plain`.
        results: float64, contiguous, on the CPU; written to.

    Raises:
        ValueError: for a bond or a system that does not exist.
    """
    atoms, bonds = graph.num_atoms, graph.num_edges
    ends, systems = plain(graph.edge_index, torch.int64, 2, bonds), plain(graph.system_index, torch.int64, atoms)
    addresses = [it.data_ptr() for it in (ends, systems, *given, *results)]
    if function(atoms, bonds, graph.num_systems, *addresses) == BAD_GRAPH:
        raise ValueError(NO_SUCH_GRAPH)


class Engine:
    """A model packed for the library; what happens to the model's weights later is not noticed.

    Args:
        model: one that `supports` accepts.
        compiled: one of `compiled.libraries`.
        checked: `known.check` was called already.

    Raises:
        MemoryError: if there is no room for the weights.
        ConfigError: if the model is not what its config describes, or one that is not computed here: the C++ code
            knows of a weight only where it starts.
    """

    def __init__(self, model: M3GNet, compiled: Library, *, checked: bool = False) -> None:
        if not checked:
            check(model)
        if not supports(model):
            reasons = [*COVERAGE.missing(model.config), "it needs the model on the CPU"]
            msg = f"this model cannot be packed: {reasons[0]}"
            raise ConfigError(msg)
        self._functions = compiled.functions
        self.trace_bytes = TRACE_BYTES
        numbers, reals, tensors = _description(model)
        self._engine: int | None = None
        engine = ctypes.c_void_p()
        outcome = self._functions.tribond_engine_new(
            int(model.dtype == torch.float64),
            *(len(numbers), (ctypes.c_int64 * len(numbers))(*numbers)),
            *(len(reals), (ctypes.c_double * len(reals))(*reals)),
            *(len(tensors), _pointers(tensors)),
            (ctypes.c_int64 * len(tensors))(*[0 if it is None else it.numel() for it in tensors]),
            ctypes.byref(engine),
        )
        if outcome == NO_MEMORY:
            msg = "not enough memory for the model"
            raise MemoryError(msg)
        if outcome != 0:
            msg = "the model's layers are not those that its config asks for"
            raise ValueError(msg)
        self._engine = engine.value
        self._row_of_element = model.row_of_element

    def __del__(self) -> None:
        if getattr(self, "_engine", None):
            self._functions.tribond_engine_delete(self._engine)

    def __copy__(self) -> "Engine":
        """Itself: nothing in it changes, and what it points to must be freed once."""
        return self

    def energy_and_gradient(self, vectors: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor]:
        """Energy of every atom, and dE/dr of every bond, on as many threads as PyTorch uses.

        Args:
            vectors: (edges, 3) Å, float64.
            graph: the batch, without a state.

        Returns:
            (atoms,) eV and (edges, 3) eV/Å, both float64.

        Raises:
            ValueError: for a graph whose bonds are not sorted by their centre, or name atoms or bonds that do not exist;
                for vectors of another precision, or not one for each bond.
            MemoryError: if there is not enough memory.
        """
        _check_vectors(vectors, graph)
        energies = torch.empty(graph.num_atoms, dtype=torch.float64, device="cpu")
        gradient = torch.empty(graph.num_edges, 3, dtype=torch.float64, device="cpu")
        results = (self.trace_bytes, energies.data_ptr(), gradient.data_ptr())
        self._call(self._functions.tribond_engine_run, vectors, graph, results)
        return energies, gradient

    def weight_gradients(
        self, vectors: Tensor, graph: AtomGraph, loss_by: tuple[Tensor, Tensor], gradients: Sequence[Tensor | None]
    ) -> None:
        """Gradient by every weight of a loss that depends on the energies of the atoms and on dE/dr of the bonds.

        The same bit by bit for any number of threads.

        Args:
            vectors: (edges, 3) Å, float64.
            graph: the batch, without a state.
            loss_by: derivatives of the loss by what `energy_and_gradient` gives, (atoms,) and (edges, 3).
            gradients: filled; one for each of `weights`, contiguous, as large and precise, or None where it is not wanted.

        Raises:
            ValueError: as above, or for derivatives of another size.
            MemoryError: if there is not enough memory.
        """
        by_energies = plain(loss_by[0], torch.float64, graph.num_atoms)
        by_gradient = plain(loss_by[1], torch.float64, graph.num_edges, 3)
        _check_vectors(vectors, graph)
        given = (by_energies.data_ptr(), by_gradient.data_ptr(), _pointers(gradients))
        self._call(self._functions.tribond_engine_weight_gradients, vectors, graph, given)

    def _call(self, function: Callable[..., int], vectors: Tensor, graph: AtomGraph, more: Sequence[Any]) -> None:
        element = plain(self._row_of_element[graph.atomic_numbers], torch.int64, graph.num_atoms)
        edge_index = plain(graph.edge_index, torch.int64, 2, graph.num_edges)
        angle_edges = plain(graph.angle_edges, torch.int64, len(graph.angle_edges))
        vectors, centre = vectors.contiguous(), edge_index.data_ptr()
        outcome = function(
            self._engine,
            torch.get_num_threads(),
            graph.num_atoms,
            graph.num_edges,
            len(angle_edges),
            *(element.data_ptr(), centre, centre + 8 * graph.num_edges, angle_edges.data_ptr(), vectors.data_ptr()),
            *more,
        )
        if outcome == BAD_GRAPH:
            raise ValueError(NO_SUCH_GRAPH)
        if outcome == NO_MEMORY:
            msg = f"not enough memory for {graph.num_atoms} atoms with {graph.num_edges} bonds"
            raise MemoryError(msg)
        if outcome == FAILED:
            msg = "tribond's compiled kernels failed; please report it"
            raise RuntimeError(msg)


def _check_vectors(vectors: Tensor, graph: AtomGraph) -> None:
    if vectors.dtype != torch.float64 or tuple(vectors.shape) != (graph.num_edges, 3):
        msg = f"{graph.num_edges} bonds need a float64 vector each; given were {tuple(vectors.shape)}, {vectors.dtype}"
        raise ValueError(msg)


def supports(model: M3GNet) -> bool:
    """Whether the model lies on the CPU and its config is one that is computed; `known` says whether it is its config's."""
    return (
        COVERAGE.computes(model.config)
        and model.atom_embedding.weight.device.type == "cpu"
        and model.dtype in PRECISIONS
    )


def _description(model: M3GNet) -> tuple[list[int], list[float], list[Tensor | None]]:
    """The model as the numbers and tensors that native/src/engine/model.hpp reads, in that order."""
    config = model.config
    numbers = [
        len(config.elements),
        config.node_features,
        config.edge_features,
        config.num_blocks,
        config.max_l,
        config.max_n,
        int(config.angle_gate == "end"),
        int(config.message_target == "centre"),
        int(config.block_order == "atom_first"),
        int(config.atom_gate_activation == "silu"),
    ]
    for layers in (config.update_hidden, config.readout_hidden):
        numbers += [len(layers), *layers]
    reals = [config.threebody_cutoff]
    tensors: list[Tensor | None] = []
    for smooth, max_l, max_n, tables in _radial_bases(model):
        numbers += [int(smooth), max_l, max_n]
        reals.append(config.cutoff)
        tensors += tables
    tensors += weights(model)
    tensors += [model.reference_energy.scale, model.reference_energy.reference]
    numbers.append(int(model.repulsion is not None))
    if model.repulsion is not None:
        reals += [config.repulsion_inner, config.repulsion_outer]
        tensors += [model.repulsion.charge, model.repulsion.radius]
    return numbers, reals, [None if it is None else it.detach().contiguous() for it in tensors]


Radial = tuple[bool, int, int, tuple[Tensor, Tensor]]


def _radial_bases(model: M3GNet) -> Iterator[Radial]:
    """Of e⁰ and of the angles: smooth or not, max_l, max_n, wave numbers and factors."""
    config = model.config
    for basis in (model.edge_basis, model.angular_basis.radial):
        if isinstance(basis, SphericalBessel):
            yield _spherical(config.max_n, config.max_l, config.cutoff)
        else:
            count = config.max_n if isinstance(basis, SmoothBessel) else config.max_n * config.max_l
            yield _smooth(count, config.cutoff)


# Made anew, in double precision, and kept: they take as long as packing all weights, which a training does every step.
@lru_cache(maxsize=16)
def _spherical(max_n: int, max_l: int, cutoff: float) -> Radial:
    with torch.device("cpu"):  # whatever is the default
        double = SphericalBessel(max_n, max_l, cutoff)
    return False, max_l, max_n, (double.wave_numbers, double.norms)


@lru_cache(maxsize=16)
def _smooth(count: int, cutoff: float) -> Radial:
    with torch.device("cpu"):
        smooth = SmoothBessel(count, cutoff)
    return True, 1, count, (smooth.wave_numbers, smooth.coefficients)


def weights(model: M3GNet) -> list[Tensor | None]:
    """All that is trained, in the order of the C++ code; None in the place of a bias that the model does not have."""
    (bond_embedding,) = linears(model.bond_embedding.layers)
    found: list[Tensor | None] = [model.atom_embedding.weight, bond_embedding.weight, bond_embedding.bias]
    for block in map(_as_block, model.blocks):
        three_body = block.three_body
        found += [three_body.atom_gate.weight, three_body.atom_gate.bias]
        found += [linears(side)[0].weight for side in (three_body.bond_update.core, three_body.bond_update.gate)]
        for update in (block.bond_update, block.atom_update):
            found += _gated(update.phi)
            found += [update.edge_gate.weight, update.edge_gate.bias]
    found += _gated(cast("AtomicReadout", model.readout).phi)
    return found


def _gated(phi: GatedMLP) -> Iterator[Tensor | None]:
    """Weight and bias of core and gate, layer by layer."""
    for core, gate in zip(linears(phi.core), linears(phi.gate), strict=True):
        yield from (core.weight, core.bias, gate.weight, gate.bias)


def _pointers(tensors: Sequence[Tensor | None]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*[None if it is None else it.data_ptr() for it in tensors])


def _as_block(module: nn.Module) -> M3GNetBlock:
    return cast("M3GNetBlock", module)
