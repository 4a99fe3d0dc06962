"""Reading the weights of a model for a backend, and what tells whether they are still those that it packed."""

from operator import attrgetter
from typing import cast

from torch import Tensor, nn

from tribond.nn.basis import SmoothBessel, SmoothBesselPerL, SphericalBessel
from tribond.nn.block import GraphUpdate, M3GNetBlock
from tribond.nn.gated_mlp import MLP, GatedMLP
from tribond.nn.m3gnet import M3GNet
from tribond.nn.readout import AtomicReadout
from tribond.nn.reference_energy import ReferenceEnergy
from tribond.nn.three_body import AngularBasis, ThreeBodyToBond

# The layers whose equations the kernels write out. One of another make, a subclass too, only `nn` can compute.
KNOWN = frozenset(
    {
        *(nn.Embedding, nn.Linear, nn.ModuleList),
        *(SmoothBessel, SmoothBesselPerL, SphericalBessel, AngularBasis),
        *(M3GNet, M3GNetBlock, ThreeBodyToBond, GraphUpdate, MLP, GatedMLP, AtomicReadout, ReferenceEnergy),
    }
)

Marks = tuple[int, ...]

_CHANGES = attrgetter("_version")  # how often a tensor was written to


def marks(model: M3GNet) -> Marks | None:
    """Numbers that change when a weight does, or None if layers are of another make or have hooks.

    A weight is marked by where it lies and by PyTorch's count of the changes made to it. What is written through
    `.data`, past PyTorch's notice, is not noticed here either.
    """
    modules: list[nn.Module] = [model]
    tensors: list[Tensor | None] = []
    # This runs before every evaluation, in half the time of model.modules().
    for module in modules:  # and those that are appended meanwhile
        if type(module) not in KNOWN:
            return None
        of = vars(module)
        if of["_forward_hooks"] or of["_forward_pre_hooks"] or of["_backward_hooks"] or of["_backward_pre_hooks"]:
            return None
        if children := of["_modules"]:
            modules += children.values()
        if parameters := of["_parameters"]:
            tensors += parameters.values()
        if buffers := of["_buffers"]:
            tensors += buffers.values()
    weights = [tensor for tensor in tensors if tensor is not None]
    try:
        changes = tuple(map(_CHANGES, weights))
    except RuntimeError:
        # Tensors of PyTorch's inference mode have no count: what is written to them goes unnoticed, too.
        changes = tuple(-1 if tensor.is_inference() else tensor._version for tensor in weights)  # noqa: SLF001
    return *map(Tensor.data_ptr, weights), *changes


def linears(layers: nn.ModuleList) -> list[nn.Linear]:
    """The layers of a perceptron."""
    return [cast("nn.Linear", layer) for layer in layers]


def marked(model: M3GNet) -> list[Tensor]:
    """What `marks` marks. Held on to as long as marks are compared, its places in memory are given to nobody else."""
    return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]
