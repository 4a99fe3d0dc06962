"""What tells whether a model is still the one that was packed for a kernel."""

from torch import nn

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


def marks(model: M3GNet) -> Marks | None:
    """Numbers that change when a weight does, or None if layers are of another make or have hooks.

    A weight is marked by where it lies and by PyTorch's count of the changes made to it. What is written through
    `.data`, past PyTorch's notice, is not noticed here either.
    """
    found: list[int] = []
    stack: list[nn.Module] = [model]
    while stack:
        module = stack.pop()
        if type(module) not in KNOWN or module._forward_hooks or module._forward_pre_hooks:  # noqa: SLF001 - no other way
            return None
        for tensors in (module._parameters, module._buffers):  # noqa: SLF001 - ten times quicker than parameters()
            for tensor in tensors.values():
                if tensor is not None:
                    found += (tensor.data_ptr(), tensor._version)  # noqa: SLF001 - the count has no other name
        stack.extend(module._modules.values())  # type: ignore[arg-type] # noqa: SLF001 - none of ours is None
    return tuple(found)
