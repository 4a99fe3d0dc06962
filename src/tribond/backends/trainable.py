"""Energies and dE/dr from the compiled pass as a step of automatic differentiation: what a loss is trained with.

A loss on energies and forces contains first derivatives of the network, so that its gradient by the weights contains
second ones. They are not worked out: the derivative along one direction of the bonds is enough, see dual_pass.hpp.
"""

from typing import Any

import torch
from torch import Tensor

from tribond.backends.coverage import ANY, NOT_READ, Coverage, Table, at_most, one_of, widths
from tribond.backends.native import Engine, weights
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.m3gnet import M3GNet

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
COVERAGE = Coverage("the compiled training", TABLE)  # and what the `native.Engine` that it is given computes


def trainable(engine: Engine, model: M3GNet, vectors: Tensor, graph: AtomGraph) -> tuple[Tensor, Tensor]:
    """Energy of every atom and dE/dr of every bond, which know their gradient by the weights.

    Args:
        engine: of the model as it is.
        model: has the weights; those that are not trained (`requires_grad`) get no gradient.
        vectors: (edges, 3) Å, float64; no gradient goes there.
        graph: the batch, without a state.

    Returns:
        (atoms,) eV and (edges, 3) eV/Å, both float64. They can be differentiated once.
    """
    energies, gradient = _EnergyAndGradient.apply(engine, vectors, graph, *weights(model))
    return energies, gradient


class _EnergyAndGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, engine: Engine, vectors: Tensor, graph: AtomGraph, *given: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.engine, ctx.vectors, ctx.graph = engine, vectors, graph
        ctx.like = [None if weight is None else (weight.shape, weight.dtype) for weight in given]
        return engine.energy_and_gradient(vectors, graph)

    @staticmethod
    def backward(ctx: Any, *loss_by: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            msg = (
                "the compiled pass gives the gradient of a loss by the weights, which cannot be differentiated again; "
                "for that, differentiate model.atomic_energies(vectors, graph)"
            )
            raise NotImplementedError(msg)
        gradients = [
            torch.empty(like[0], dtype=like[1]) if like is not None and wanted else None
            for like, wanted in zip(ctx.like, ctx.needs_input_grad[3:], strict=True)
        ]
        ctx.engine.weight_gradients(ctx.vectors, ctx.graph, loss_by, gradients)
        return None, None, None, *gradients
