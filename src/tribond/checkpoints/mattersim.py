"""Import of MatterSim v1 (PyTorch; repository microsoft/mattersim): one .pth file with settings, weights and averages."""

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

SETTINGS = {"num_blocks", "units", "max_l", "max_n", "cutoff", "max_z", "threebody_cutoff"}
IRRELEVANT = {"gradient_checkpointing", "device"}  # how it is computed, not what


def recognise(content: Any) -> bool:
    """Whether what `read_torch_file` gave is a checkpoint of this code."""
    return isinstance(content, dict) and {"model_args", "model"} <= content.keys()


def load(path: Path, content: dict[str, Any], dtype: torch.dtype | None = None, weights: Weights = "raw") -> M3GNet:
    """The potential in a file.

    Args:
        path: the file, for messages.
        content: what it holds.
        dtype: precision; None takes that of the weights, float32.
        weights: "raw", those that MatterSim itself computes with, or "ema", their moving average.

    Raises:
        CheckpointError: if it is not whole, or holds what tribond does not compute.
    """
    name = str(content.get("model_name", "")).lower()
    if name != "m3gnet":
        msg = f"{path} holds a {name or 'nameless model'}; of MatterSim's models tribond reads the M3GNets"
        raise CheckpointError(msg)
    config = _config(path, content["model_args"])
    transfer = Transfer(path, choose_weights(path, content["model"], content.get("ema"), weights))
    move_radial_constants(transfer, config)
    move_element_tables(transfer)
    transfer.mlp("bond_embedding", ["edge_encoder.mlp.0.linear"], bias=False)
    for index in range(config.num_blocks):
        block, source = f"blocks.{index}", f"graph_conv.{index}"
        transfer.linear(f"{block}.three_body.atom_gate", f"{source}.three_body.atom_mlp.linear")
        move_gated(transfer, f"{block}.three_body.bond_update", f"{source}.three_body.edge_gate_mlp", 1, bias=False)
        for update, mlp, gate in (
            ("bond_update", "gated_mlp_edge", "edge_layer_edge"),
            ("atom_update", "gated_mlp_atom", "edge_layer_atom"),
        ):
            move_gated(transfer, f"{block}.{update}.phi", f"{source}.{mlp}", 2)
            transfer.linear(f"{block}.{update}.edge_gate", f"{source}.{gate}.linear", bias=False)
    move_gated(transfer, "readout.phi", "final", 3)
    return transfer.into(config, dtype)


def _config(path: Path, settings: dict[str, Any]) -> M3GNetConfig:
    settings = {name: value for name, value in settings.items() if name not in IRRELEVANT}
    check_settings(path, settings, SETTINGS)
    units = settings["units"]
    changes = {
        "elements": tuple(chemical_symbols[1 : settings["max_z"] + 1]),
        "cutoff": settings["cutoff"],
        "threebody_cutoff": settings["threebody_cutoff"],
        "max_n": settings["max_n"],
        "max_l": settings["max_l"],
        "num_blocks": settings["num_blocks"],
        "node_features": units,
        "edge_features": units,
        "update_hidden": (units,),
        "readout_hidden": (units, units),
    }
    return foreign_config(path, **(PRESETS["mattersim"].to_dict() | changes))
