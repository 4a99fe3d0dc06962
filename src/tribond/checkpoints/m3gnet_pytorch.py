"""Import of M3GNet-Pytorch (L. Kong; repository Lingyu-Kong/M3GNet-Pytorch): one .pth file.

It comes in two forms: of a potential, with a moving average of the weights; and of the bare network, without.
"""

from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from tribond.checkpoints.one_hot import (
    Weights,
    check_settings,
    choose_weights,
    move_element_tables,
    move_gated,
    move_radial_constants,
)
from tribond.checkpoints.transfer import Transfer, foreign_config
from tribond.errors import CheckpointError
from tribond.nn.config import PRESETS, M3GNetConfig
from tribond.nn.m3gnet import M3GNet

SETTINGS = {"num_layers", "hidden_dim", "max_l", "max_n", "cutoff", "threebody_cutoff", "max_z"}


def recognise(content: Any) -> bool:
    """Whether what `read_torch_file` gave is a checkpoint of this code."""
    if not isinstance(content, dict) or "state_dict" not in content:
        return False
    return "model_params" in content or content.keys() >= SETTINGS


def load(path: Path, content: dict[str, Any], dtype: torch.dtype | None = None, weights: Weights = "raw") -> M3GNet:
    """The potential in a file.

    Args:
        path: the file, for messages.
        content: what it holds.
        dtype: precision; None takes that of the weights, float32.
        weights: "raw", those that M3GNet-Pytorch itself loads, or "ema", their moving average.

    Raises:
        CheckpointError: if it is not whole, or holds what tribond does not compute.
    """
    if content.get("model_name", "M3GNet") != "M3GNet":
        msg = f"{path} holds a model named {content['model_name']!r}; tribond reads the one named 'M3GNet'"
        raise CheckpointError(msg)
    settings = content.get("model_params") or {name: value for name, value in content.items() if name != "state_dict"}
    config = _config(path, settings)
    transfer = Transfer(path, choose_weights(path, content["state_dict"], content.get("ema"), weights))
    move_radial_constants(transfer, config)
    move_element_tables(transfer)
    transfer.mlp("bond_embedding", ["edge_encoder.mlp.0.linear"], bias=False)
    for index in range(config.num_blocks):
        block, source = f"blocks.{index}", f"main_blocks.{index}"
        three_body = f"{source}.manybody2bond"
        transfer.linear(f"{block}.three_body.atom_gate", f"{three_body}.node_mlp.linear")
        move_gated(transfer, f"{block}.three_body.bond_update", f"{three_body}.edge_gate_mlp", 1, bias=False)
        for update, mlp, gate in (
            ("bond_update", "edge_gate_mlp", "edge02edge_layer"),
            ("atom_update", "node_gate_mlp", "edge02node_layer"),
        ):
            move_gated(transfer, f"{block}.{update}.phi", f"{source}.{mlp}", 2)
            transfer.linear(f"{block}.{update}.edge_gate", f"{source}.{gate}.linear")
    move_gated(transfer, "readout.phi", "final", 3)
    return transfer.into(config, dtype)


def _config(path: Path, settings: dict[str, Any]) -> M3GNetConfig:
    check_settings(path, settings, SETTINGS)
    width = settings["hidden_dim"]
    changes = {
        "elements": tuple(chemical_symbols[1 : settings["max_z"] + 1]),
        "cutoff": settings["cutoff"],
        "threebody_cutoff": settings["threebody_cutoff"],
        "max_n": settings["max_n"],
        "max_l": settings["max_l"],
        "num_blocks": settings["num_layers"],
        "node_features": width,
        "edge_features": width,
        "update_hidden": (width,),
        "readout_hidden": (width, width),
    }
    return foreign_config(path, **(PRESETS["m3gnet_pytorch"].to_dict() | changes))
