"""Noticing, before every evaluation and in little time, that anything of a model has changed since it was packed."""

from itertools import chain
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as torch_module

from tribond.backends.known import CODE, HOOKS, difference
from tribond.nn.m3gnet import M3GNet

_CHANGES = attrgetter("_version")  # how often a tensor was written to
_TYPE = attrgetter("dtype")


class Look:
    """A model that is what its config describes, as it was at one moment.

    A weight is told by where it lies, how, and PyTorch's count of the changes made to it; everything else, hooks, flags,
    layers, methods of classes, functions of `nn`, by being the same object. What is written through `.data` or numpy, past PyTorch's
    notice, is not noticed here either, but for constants, of which a training keeps copies.
    """

    def __init__(self, model: M3GNet) -> None:
        self.model = model
        modules = list(model.modules())
        # The dictionaries themselves: they are among the values of those of their modules, so another one is noticed.
        self._children = [vars(module)["_modules"] for module in modules]
        self._tensors = [vars(module)[name] for module in modules for name in ("_parameters", "_buffers")]
        self._dictionaries = [vars(model.config), *map(vars, modules), *self._children, *self._tensors]
        self._hooks = [vars(module)[name] for module in modules for name in HOOKS]
        self._modules = modules
        self._weights = [weight for of in self._tensors for weight in of.values() if weight is not None]
        # As long as this is compared, places in memory are given to nobody else.
        self._held = [tensor.detach() for tensor in self._weights]
        self._constants = [(tensor, tensor.clone()) for tensor in model.buffers()]
        self._facts, self._changes = self._now(), self._counts()

    @staticmethod
    def at(model: M3GNet) -> "Look | None":
        """A look at a model; None if it is not what its config describes: then there is nothing to compare with."""
        return None if difference(model) is not None else Look(model)

    def still_holds(self, model: M3GNet) -> bool:
        """Whether this is the model, and nothing has changed."""
        return self._is_the_same(model) and self._counts() == self._changes

    def holds_but_for_weights(self, model: M3GNet) -> bool:
        """Whether nothing has changed but the numbers of the weights: as between two steps of a training."""
        return self._is_the_same(model) and all(torch.equal(now, before) for now, before in self._constants)

    def _is_the_same(self, model: M3GNet) -> bool:
        if self.model is not model or self._facts is None:
            return False
        try:
            # Lists compare objects by identity first; nothing that is expensive to compare is reached if all is as before.
            return bool(self._now() == self._facts)
        except (RuntimeError, ValueError, TypeError):  # another tensor or array, which cannot be told in one word
            return False

    def _counts(self) -> list[int]:
        """How often each tensor was written to."""
        try:
            return list(map(_CHANGES, self._weights))
        except RuntimeError:
            # Tensors of PyTorch's inference mode have no count: what is written to them goes unnoticed, too.
            return [-1 if it.is_inference() else it._version for it in self._weights]  # noqa: SLF001

    def _now(self) -> list[Any] | None:
        """Everything that tells the model from another but the numbers in it, in one list; None with hooks.

        All loops are within Python's own functions: this runs before every evaluation, in a tenth of a millisecond.
        """
        if any(self._hooks) or torch_module._has_any_global_hook():  # noqa: SLF001
            return None
        facts: list[Any] = list(map(type, self._modules))
        facts += chain.from_iterable(map(dict.values, self._dictionaries))
        facts += chain.from_iterable(self._children)
        for place in CODE:
            facts += vars(place).values()
        # Tensors of one number are equal to others of the same value, wherever those lie and whatever they are.
        facts += map(id, chain.from_iterable(map(dict.values, self._tensors)))
        weights = self._weights
        facts += map(Tensor.data_ptr, weights)
        facts += map(Tensor.stride, weights)
        facts += map(Tensor.size, weights)  # `.data = ...` may change it, and the type, and nothing else
        facts += map(_TYPE, weights)
        return facts
