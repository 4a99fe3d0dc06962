"""Import of `m3gnet`, the paper's own code (TensorFlow; repository materialsvirtuallab/m3gnet).

A model is a folder with m3gnet.json (the settings), m3gnet.index and m3gnet.data-* (the weights). All of it is computed
as the equations stand, in float32.
"""

import json
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor

from tribond.checkpoints.tensor_bundle import read_tensor_bundle
from tribond.checkpoints.transfer import KERAS, Transfer, check_settings, foreign_config, nonsense_refused
from tribond.errors import CheckpointError
from tribond.nn.config import M3GNetConfig, Readout
from tribond.nn.m3gnet import M3GNet

SETTINGS_FILE = "m3gnet.json"
PREFIX = "m3gnet"
KEY_ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"
BOOKKEEPING = ("save_counter", "optimizer/", "keras_api/")  # of Keras, no part of the model

# A reference energy below this is that of an element which the fit of the references never saw: rounding, not physics.
NEVER_SEEN = 1e-10  # eV

SETTINGS = {
    "max_n",
    "max_l",
    "n_blocks",
    "units",
    "cutoff",
    "threebody_cutoff",
    "include_states",
    "readout",
    "n_atom_types",
    "task_type",
    "is_intensive",
    "mean",
    "std",
    "element_refs",
}
READOUTS: dict[str, Readout] = {
    "weighted_atom": "weighted_atom",
    "set2set": "set2set_by_feature",
    "reduce_atom": "mean",
}
STATE_SIZE = 2  # what its graph converter makes: two numbers, zero if nothing is said


def recognise(folder: Path) -> bool:
    """Whether the folder is a model of this code."""
    return (folder / SETTINGS_FILE).is_file() or (folder / f"{PREFIX}.index").is_file()


def belongs(name: str) -> bool:
    """Whether a file of this name in such a folder is part of the model."""
    return name == "checkpoint" or name.startswith(f"{PREFIX}.")


def files(folder: Path) -> list[Path]:
    """The files that make the model; the first two tell it from any other."""
    return [folder / f"{PREFIX}.index", *sorted(folder.glob(f"{PREFIX}.data-*")), folder / SETTINGS_FILE]


def load(folder: Path, dtype: torch.dtype | None = None) -> M3GNet:
    """The model in a folder.

    Args:
        folder: with m3gnet.json, m3gnet.index and m3gnet.data-*.
        dtype: precision; None takes that of the weights, float32.

    Raises:
        CheckpointError: if a file is missing or damaged, or holds what tribond does not compute.
    """
    path = folder / SETTINGS_FILE
    settings = _read_settings(path)
    tensors = {
        key.removesuffix(KEY_ENDING): tensor
        for key, tensor in read_tensor_bundle(folder / PREFIX).items()
        if not key.startswith(BOOKKEEPING)
    }
    with nonsense_refused(path, "TensorFlow's m3gnet"):
        transfer = Transfer(folder, tensors, KERAS)
        rows, references = _elements(path, settings)
        config = _config(path, settings, rows)
        _move_blocks(transfer, config)
        _move_embedding(transfer, settings["n_atom_types"] + 1, rows)
        if config.readout == "extensive":
            layers = [f"layers/{depth}" for depth in range(len(config.readout_hidden) + 1)]
            _move_gated(transfer, "readout.phi", "final/layers/0/atom_network/update_func", layers)
            transfer.state["reference_energy.reference"] = references[rows]
            scale = torch.full((len(rows),), float(settings["std"]), dtype=torch.float64)
            transfer.state["reference_energy.scale"] = scale
            transfer.state["reference_energy.offset"] = torch.tensor(float(settings["mean"]), dtype=torch.float64)
        else:
            _move_intensive_readout(transfer, config)
        return transfer.into(config, dtype)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content = json.loads(content) if isinstance(content, str) else content  # Keras writes JSON within JSON
        settings = content["config"]
        kind = content["class_name"]
    except FileNotFoundError as error:
        msg = f"{path} is missing; a TensorFlow M3GNet is m3gnet.json, m3gnet.index and m3gnet.data-* in one folder"
        raise CheckpointError(msg) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # no JSON, or nested, or numbers, beyond measure
        msg = f"{path} is not the settings file of a TensorFlow M3GNet; download or copy it again"
        raise CheckpointError(msg) from error
    if kind != "M3GNet":
        msg = f"{path} holds a {kind}; tribond reads M3GNets"
        raise CheckpointError(msg)
    if not isinstance(settings, dict):
        msg = f"{path} holds no settings of an M3GNet; download or copy it again"
        raise CheckpointError(msg)
    check_settings(path, settings, SETTINGS, {"name"})
    return settings


def _elements(path: Path, settings: dict[str, Any]) -> tuple[list[int], Tensor]:
    """Atomic numbers that the model was trained on, ascending, and the reference energies by atomic number, eV.

    Atomic numbers are rows of the embedding. The row of an element that no training structure had is there, and random.
    """
    count = settings["n_atom_types"] + 1
    given = settings["element_refs"]
    references = torch.zeros(count, dtype=torch.float64) if given is None else torch.tensor(given, dtype=torch.float64)
    if references.shape != (count,):
        msg = f"{path}: element_refs must be {count} numbers, for atomic numbers 0 to {count - 1}"
        raise CheckpointError(msg)
    if settings["is_intensive"] and references.any():
        msg = f"{path}: element_refs with an intensive property is not supported"
        raise CheckpointError(msg)
    seen = references.abs() > NEVER_SEEN
    return [z for z in range(1, count) if seen[z] or not references.any()], references


def _config(path: Path, settings: dict[str, Any], rows: list[int]) -> M3GNetConfig:
    units = settings["units"]
    intensive, states = settings["is_intensive"], settings["include_states"]
    if states and not intensive:
        msg = (
            f"{path}: include_states with is_intensive = false is not supported (its readout has one more atom update)"
        )
        raise CheckpointError(msg)
    if intensive and settings["readout"] not in READOUTS:
        msg = f"{path}: readout = {settings['readout']!r} is not supported; {', '.join(READOUTS)} are"
        raise CheckpointError(msg)
    scale = {"target_mean": settings["mean"], "target_std": settings["std"]} if intensive else {}
    return foreign_config(
        path,
        elements=tuple(chemical_symbols[z] for z in rows),
        cutoff=settings["cutoff"],
        threebody_cutoff=settings["threebody_cutoff"],
        max_n=settings["max_n"],
        max_l=settings["max_l"],
        num_blocks=settings["n_blocks"],
        node_features=units,
        edge_features=units,
        update_hidden=(units,),
        readout_hidden=(units, units),
        readout_weight_hidden=(units,),
        readout=READOUTS[settings["readout"]] if intensive else "extensive",
        set2set_steps=2,
        classification=intensive and settings["task_type"].lower() == "classification",
        state="continuous" if states else "none",
        state_size=STATE_SIZE if states else 0,
        state_features=units,
        state_hidden=(units,),
        **scale,
    )


def _move_embedding(transfer: Transfer, count: int, rows: list[int]) -> None:
    embedding = transfer.take("featurizer/atom_network/embedding/embeddings")
    if embedding.shape[0] != count:
        msg = f"{transfer.path}: the embedding has {embedding.shape[0]} rows, n_atom_types asks for {count}"
        raise CheckpointError(msg)
    transfer.state["atom_embedding.weight"] = embedding[rows]


def _move_gated(transfer: Transfer, target: str, source: str, layers: list[str], *, bias: bool = True) -> None:
    core, gate = ([f"{source}/{branch}/{layer}" for layer in layers] for branch in ("pipe", "gate"))
    transfer.gated_mlp(target, core, gate, bias=bias)


def _move_blocks(transfer: Transfer, config: M3GNetConfig) -> None:
    transfer.mlp("bond_embedding", ["feature_adjust/update_func/pipe/layers/0"], bias=False)
    layers = [f"layers/{depth}" for depth in range(len(config.update_hidden) + 1)]
    for index in range(config.num_blocks):
        block = f"blocks.{index}"
        three_body, graph = f"three_interactions/{index}", f"graph_layers/{index}"
        transfer.linear(f"{block}.three_body.atom_gate", f"{three_body}/update_network/pipe/layers/0")
        _move_gated(
            transfer, f"{block}.three_body.bond_update", f"{three_body}/update_network2", ["layers/0"], bias=False
        )
        _move_gated(transfer, f"{block}.bond_update.phi", f"{graph}/bond_network/update_func", layers)
        transfer.linear(f"{block}.bond_update.edge_gate", f"{graph}/bond_network/weight_func", bias=False)
        _move_gated(transfer, f"{block}.atom_update.phi", f"{graph}/atom_network/bond_dense", layers)
        transfer.linear(f"{block}.atom_update.edge_gate", f"{graph}/atom_network/weight_update", bias=False)
        if config.state != "none":
            source = f"{graph}/state_network/update_func/pipe"
            transfer.mlp(f"{block}.state_update", [f"{source}/{layer}" for layer in layers])


def _move_intensive_readout(transfer: Transfer, config: M3GNetConfig) -> None:
    pooling, source = "readout.pooling", "final/layers/0/atom_readout"
    if config.readout == "weighted_atom":
        for target, branch in (("features", "mlp"), ("weight", "weight")):
            transfer.mlp(f"{pooling}.{target}", [f"{source}/{branch}/pipe/layers/{depth}" for depth in range(2)])
    elif config.readout == "set2set_by_feature":
        transfer.linear(f"{pooling}.dense", f"{source}/dense")
        cell = f"{source}/lstm/cell"
        # Gates are in PyTorch's order; Keras has one bias where PyTorch adds two.
        transfer.state[f"{pooling}.lstm.weight_ih_l0"] = transfer.take(f"{cell}/kernel").T
        transfer.state[f"{pooling}.lstm.weight_hh_l0"] = transfer.take(f"{cell}/recurrent_kernel").T
        transfer.tensor(f"{pooling}.lstm.bias_ih_l0", f"{cell}/bias")
        transfer.state[f"{pooling}.lstm.bias_hh_l0"] = torch.zeros_like(transfer.state[f"{pooling}.lstm.bias_ih_l0"])
    transfer.mlp("readout.mlp", [f"final/layers/1/pipe/layers/{depth}" for depth in range(3)])
