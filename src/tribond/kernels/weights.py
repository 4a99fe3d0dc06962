"""What tells whether a model is still the one that was packed for a kernel."""

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


def marks(model: M3GNet) -> Marks | None:
    """Numbers that change when a weight does, or None if layers are of another make or have hooks.

    A weight is marked by where it lies and by PyTorch's count of the changes made to it. What is written through
    `.data`, past PyTorch's notice, is not noticed here either.
    """
    found: list[int] = []
    stack: list[nn.Module] = [model]
    while stack:
        module = stack.pop()
        if type(module) not in KNOWN or _hooked(module):
            return None
        for tensors in (module._parameters, module._buffers):  # noqa: SLF001 - ten times quicker than parameters()
            for tensor in tensors.values():
                if tensor is not None:
                    # Tensors of PyTorch's inference mode have no count: what is written to them goes unnoticed, too.
                    found += (tensor.data_ptr(), -1 if tensor.is_inference() else tensor._version)  # noqa: SLF001
        stack.extend(module._modules.values())  # type: ignore[arg-type] # noqa: SLF001 - none of ours is None
    return tuple(found)


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks  # noqa: SLF001 - no other way
        or module._forward_pre_hooks  # noqa: SLF001
        or module._backward_hooks  # noqa: SLF001
        or module._backward_pre_hooks  # noqa: SLF001
    )


def marked(model: M3GNet) -> list[Tensor]:
    """What `marks` marks. Held on to as long as marks are compared, its places in memory are given to nobody else."""
    return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]
