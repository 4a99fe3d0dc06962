"""What the files of MatterSim and of M3GNet-Pytorch have in common, which is nearly everything but the names.

Both multiply a one-hot vector of the atomic number, 0 for none, with a matrix where others look up a row; scale and
shift the energy by the element; keep the constants of their radial basis among the weights; and a moving average of
the weights beside them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor

from tribond.checkpoints.choices import Weights
from tribond.checkpoints.transfer import Transfer, foreign_config, nonsense_refused
from tribond.errors import CheckpointError
from tribond.nn.basis import spherical_bessel_roots
from tribond.nn.config import PRESETS, M3GNetConfig
from tribond.nn.m3gnet import M3GNet

CONSTANTS = ("rbf.", "sbf.", "normalizer.")  # of the state dict, not averaged


@dataclass(frozen=True)
class Names:
    """How one of the two codes calls its settings and layers."""

    code: str
    preset: str
    num_blocks: str
    width: str
    blocks: str
    atom_gate: str
    three_body_update: str
    bond_update: str
    bond_edge_gate: str
    atom_update: str
    atom_edge_gate: str


@dataclass(frozen=True)
class Contents:
    """What a file holds."""

    path: Path
    settings: Mapping[str, Any]
    state: Mapping[str, Tensor]
    average: Any  # the moving average, if there is one


def load(contents: Contents, names: Names, dtype: torch.dtype | None, weights: Weights) -> M3GNet:
    """The potential in a file.

    Raises:
        CheckpointError: if it is not whole, or holds what tribond does not compute.
    """
    with nonsense_refused(contents.path, names.code):
        config = _config(contents, names)
        transfer = Transfer(contents.path, _chosen(contents, weights))
        _move_radial_constants(transfer, config)
        _move_element_tables(transfer)
        transfer.mlp("bond_embedding", ["edge_encoder.mlp.0.linear"], bias=False)
        for index in range(config.num_blocks):
            _move_block(transfer, config, names, index)
        _move_gated(transfer, "readout.phi", "final", 3)
        return transfer.into(config, dtype)


def _config(contents: Contents, names: Names) -> M3GNetConfig:
    settings, width = contents.settings, contents.settings[names.width]
    changes = {
        "elements": tuple(chemical_symbols[1 : settings["max_z"] + 1]),
        "cutoff": settings["cutoff"],
        "threebody_cutoff": settings["threebody_cutoff"],
        "max_n": settings["max_n"],
        "max_l": settings["max_l"],
        "num_blocks": settings[names.num_blocks],
        "node_features": width,
        "edge_features": width,
        "update_hidden": (width,),
        "readout_hidden": (width, width),
    }
    return foreign_config(contents.path, **(PRESETS[names.preset].to_dict() | changes))


def _chosen(contents: Contents, weights: Weights) -> dict[str, Tensor]:
    """The state dict with the weights that were asked for.

    The moving average is a bare list: its tensors are the trained ones of the state dict, in order.
    """
    path, state = contents.path, dict(contents.state)
    if weights == "raw":
        return state
    shadow = contents.average.get("shadow_params") if isinstance(contents.average, Mapping) else None
    if not shadow:
        msg = f"{path} holds no moving average of its weights; load it with weights='raw'"
        raise CheckpointError(msg)
    trained = [name for name in state if not name.startswith(CONSTANTS)]
    scaling = [name for name in state if name.startswith("normalizer.")]  # at the end, if it was trained
    names = trained if len(shadow) == len(trained) else trained + scaling
    if [tensor.shape for tensor in shadow] != [state[name].shape for name in names]:
        msg = f"{path}: the moving average does not fit the weights beside it; load it with weights='raw'"
        raise CheckpointError(msg)
    return state | dict(zip(names, shadow, strict=True))


def _move_radial_constants(transfer: Transfer, config: M3GNetConfig) -> None:
    """Take the constants of the radial functions, (12) to (15), and see that they are those of the config.

    Raises:
        CheckpointError: if they are others, or if max_n and max_l differ: the home codes then pair the j_l of one
            angular momentum with the Y_l of another.
    """
    if config.max_n != config.max_l:
        msg = f"{transfer.path}: max_n = {config.max_n} and max_l = {config.max_l} must be equal in a file of this code"
        raise CheckpointError(msg)
    m = torch.arange(config.max_n, dtype=torch.float64)
    e = m**2 * (m + 2) ** 2 / (4 * (m + 1) ** 4 + 1)
    d = torch.ones_like(m)
    for i in range(1, config.max_n):
        d[i] = 1 - e[i] / d[i - 1]
    f = (-1) ** m * math.sqrt(2) * math.pi / config.cutoff**1.5 * (m + 1) * (m + 2) / (2 * m**2 + 6 * m + 5).sqrt()
    transfer.constant("rbf.r_max", config.cutoff)
    transfer.constant("rbf.en", e)
    transfer.constant("rbf.dn", d)
    transfer.constant("rbf.fnr_weights", f)
    transfer.constant("rbf.n_1_pi_cutoff", (m + 1) * math.pi / config.cutoff)
    transfer.constant("rbf.n_2_pi_cutoff", (m + 2) * math.pi / config.cutoff)
    transfer.constant("sbf.factor", math.sqrt(2 / config.cutoff**3))
    if "sbf.coef" in transfer:  # since 2026; published files are older
        coefficients = transfer.take("sbf.coef")
        roots = torch.stack([coefficients[0, 0], *coefficients[1 : config.max_l, 1]])[:, : config.max_n]
        wanted = torch.tensor([spherical_bessel_roots(l, config.max_n) for l in range(config.max_l)])
        if not torch.allclose(roots, wanted.to(roots.dtype), rtol=1e-5):
            msg = f"{transfer.path}: 'sbf.coef' holds other roots of j_l than those of the equations"
            raise CheckpointError(msg)


def _move_element_tables(transfer: Transfer) -> None:
    """The embedding, and scale and shift of the energy, without their rows for an atomic number of zero."""
    transfer.state["atom_embedding.weight"] = transfer.take("atom_embedding.mlp.0.linear.weight").T[1:]
    transfer.state["reference_energy.scale"] = transfer.take("normalizer.scale")[1:]
    transfer.state["reference_energy.reference"] = transfer.take("normalizer.shift")[1:]
    transfer.state["reference_energy.offset"] = torch.zeros(())


def _move_block(transfer: Transfer, config: M3GNetConfig, names: Names, index: int) -> None:
    block, source = f"blocks.{index}", f"{names.blocks}.{index}"
    transfer.linear(f"{block}.three_body.atom_gate", f"{source}.{names.atom_gate}.linear")
    _move_gated(transfer, f"{block}.three_body.bond_update", f"{source}.{names.three_body_update}", 1, bias=False)
    for update, mlp, gate in (
        ("bond_update", names.bond_update, names.bond_edge_gate),
        ("atom_update", names.atom_update, names.atom_edge_gate),
    ):
        _move_gated(transfer, f"{block}.{update}.phi", f"{source}.{mlp}", 2)
        transfer.linear(f"{block}.{update}.edge_gate", f"{source}.{gate}.linear", bias=config.edge_gate_bias)


def _move_gated(transfer: Transfer, target: str, source: str, depth: int, *, bias: bool = True) -> None:
    core, gate = ([f"{source}.{branch}.{layer}.linear" for layer in range(depth)] for branch in ("g", "sigma"))
    transfer.gated_mlp(target, core, gate, bias=bias)
