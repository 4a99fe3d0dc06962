"""Noticing, before every evaluation and in little time, that anything of a model has changed since it was packed."""

from operator import attrgetter
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from tribond.backends.known import CLASSES, HOOKS, difference
from tribond.nn.m3gnet import M3GNet

_CHANGES = attrgetter("_version")  # how often a tensor was written to
_SHAPE = attrgetter("dtype", "shape")  # `.data = ...` may change it and leave everything else


class Look:
    """A model that is what its config describes, as it was at one moment.

    A weight is told by where it lies, how, and PyTorch's count of the changes made to it; everything else, hooks, flags,
    layers, methods of classes, by being the same object. What is written through `.data` or numpy, past PyTorch's
    notice, is not noticed here either.
    """

    def __init__(self, model: M3GNet) -> None:
        self.model = model
        self._modules: list[nn.Module] = list(model.modules())
        self._facts = self._now()
        # As long as this is compared, places in memory are given to nobody else.
        self._held = [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]

    @staticmethod
    def at(model: M3GNet) -> "Look | None":
        """A look at a model; None if it is not what its config describes: then there is nothing to compare with."""
        return None if difference(model) is not None else Look(model)

    def still_holds(self, model: M3GNet) -> bool:
        """Whether this is the model, and nothing has changed."""
        if self.model is not model or self._facts is None:
            return False
        try:
            # Lists compare objects by identity first; nothing that is expensive to compare is reached if all is as before.
            return bool(self._now() == self._facts)
        except (RuntimeError, ValueError, TypeError):  # another tensor or array, which cannot be told in one word
            return False

    def _now(self) -> list[Any] | None:
        facts: list[Any] = list(map(type, self._modules))
        tensors: list[Tensor | None] = []
        for module in self._modules:
            of = vars(module)
            for hooks in HOOKS:
                if of[hooks]:
                    return None
            facts += of.values()
            if children := of["_modules"]:
                facts += children
                facts += children.values()
            if parameters := of["_parameters"]:
                tensors += parameters.values()
            if buffers := of["_buffers"]:
                tensors += buffers.values()
        facts += vars(self.model.config).values()
        for kind in CLASSES:
            facts += vars(kind).values()
        weights = [tensor for tensor in tensors if tensor is not None]
        facts += tensors
        facts += map(Tensor.data_ptr, weights)
        facts += map(Tensor.stride, weights)
        facts += map(_SHAPE, weights)
        try:
            facts += map(_CHANGES, weights)
        except RuntimeError:
            # Tensors of PyTorch's inference mode have no count: what is written to them goes unnoticed, too.
            facts += [-1 if it.is_inference() else it._version for it in weights]  # noqa: SLF001
        return None if torch_module._has_any_global_hook() else facts  # noqa: SLF001
