"""From a network to a program without Python: one graph of tensor operations, with the sizes as symbols."""

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from tribond.errors import ConfigError
from tribond.export.function import OneSystem
from tribond.nn.m3gnet import M3GNet

# Sizes of the traced example: primes that are no width of a network, so that no size is taken for another.
ATOMS, BONDS, ANGLE_BONDS = 211, 4999, 2503


def check_exportable(model: M3GNet) -> None:
    """Raise ConfigError unless the model gives energies and takes no state input."""
    if model.config.readout != "extensive":
        msg = f"only potentials can be exported; this model predicts one property (readout {model.config.readout!r})"
        raise ConfigError(msg)
    if model.config.state != "none":
        msg = f"only models without a state input can be exported; this one takes a {model.config.state} state"
        raise ConfigError(msg)


def traced_program(model: M3GNet) -> ExportedProgram:
    """The evaluation of one system, forces included, for any numbers of atoms, bonds and angle bonds, also none.

    Raises:
        ConfigError: for a model that cannot be exported, or one changed from outside so that it depends on sizes.
    """
    from torch._dynamo.exc import UserError
    from torch.fx.experimental.proxy_tensor import make_fx

    check_exportable(model)
    inputs = _example(model)
    # First make_fx, which follows derivatives of functions with a backward pass of their own; torch.export does not.
    traced = make_fx(OneSystem(model), tracing_mode="symbolic", _allow_non_fake_inputs=True)(*inputs)
    atoms, bonds, angle_bonds = (Dim(name, min=0) for name in ("atoms", "edges", "angle_edges"))
    sizes = ({0: atoms}, {0: atoms}, {0: atoms}, {1: bonds}, {0: bonds}, {0: angle_bonds})
    try:
        return torch.export.export(traced, inputs, dynamic_shapes=sizes, strict=False)
    except (UserError, ValueError) as error:
        msg = f"the model depends on the numbers of atoms or bonds and cannot be exported: {error}"
        raise ConfigError(msg) from error


def _example(model: M3GNet) -> tuple[Tensor, ...]:
    """Inputs of the right kinds and sizes; their values are of no importance."""
    device = model.atom_embedding.weight.device
    first = model.config.atomic_numbers[0]
    return (
        torch.zeros(ATOMS, 3, dtype=torch.float64, device=device),
        torch.full((ATOMS,), first, device=device),
        torch.ones(ATOMS, dtype=torch.bool, device=device),
        torch.zeros(2, BONDS, dtype=torch.long, device=device),
        torch.ones(BONDS, 3, dtype=torch.float64, device=device),
        torch.zeros(ANGLE_BONDS, dtype=torch.long, device=device),
    )
