"""SiLU and the gate product with first and second derivatives worked out by hand.

Forces are a first derivative and training on them needs the second. PyTorch derives the second derivative of SiLU
from a formula of about ten elementwise steps, each a pass over a (bonds × 128) array, and that was half of the time of
a training step. Here s = σ(x), and

    silu' = s (1 + x (1 - s)),    silu'' = s (1 - s) (2 + x (1 - 2 s)).
"""

from typing import Any

import torch
from torch import Tensor

silu_backward = torch.ops.aten.silu_backward  # (g, x) -> g silu'(x), one pass
sigmoid_backward = torch.ops.aten.sigmoid_backward  # (g, s) -> g s (1 - s), one pass


def silu(x: Tensor) -> Tensor:
    """g(x) = x σ(x).  Any shape."""
    return _Silu.apply(x)


def gated(core: Tensor, gate: Tensor) -> Tensor:
    """silu(core) ⊙ σ(gate), the end of a gated MLP.  Any shape, the same for both."""
    return _Gated.apply(core, gate)


def _silu_second(x: Tensor, s: Tensor) -> Tensor:
    """silu''(x) given s = σ(x)."""
    return sigmoid_backward(torch.addcmul(x, x, s, value=-2).add_(2), s)


class _Silu(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.ops.aten.silu(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _SiluGrad.apply(grad, *ctx.saved_tensors)


class _SiluGrad(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(grad: Tensor, x: Tensor) -> Tensor:
        return silu_backward(grad, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        grad, x = ctx.saved_tensors
        return silu_backward(cotangent, x), _silu_second(x, torch.sigmoid(x)) * grad * cotangent


class _Gated(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(core: Tensor, gate: Tensor) -> Tensor:
        return torch.ops.aten.silu(core) * torch.sigmoid(gate)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return _GatedGrad.apply(grad, *ctx.saved_tensors)


class _GatedGrad(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(grad: Tensor, core: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
        open_ = torch.sigmoid(gate)
        return silu_backward(grad * open_, core), sigmoid_backward(torch.ops.aten.silu(core) * grad, open_)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, of_core: Tensor, of_gate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # L = g (a f' h + b f h') with f = silu(core), h = σ(gate), and a, b the cotangents of the two gradients.
        grad, core, gate = ctx.saved_tensors
        f, h = torch.ops.aten.silu(core), torch.sigmoid(gate)
        a_f1 = silu_backward(of_core, core)
        b_h1 = sigmoid_backward(of_gate, h)
        d_grad = torch.addcmul(a_f1 * h, f, b_h1)
        d_core = (_silu_second(core, torch.sigmoid(core)) * of_core * h + silu_backward(b_h1, core)) * grad
        b_f = of_gate * f
        d_gate = sigmoid_backward((a_f1 + torch.addcmul(b_f, b_f, h, value=-2)) * grad, h)
        return d_grad, d_core, d_gate
