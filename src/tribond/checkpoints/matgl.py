"""Import of MatGL (PyTorch; repository materialyzeai/matgl): a folder with model.json, model.pt and state.pt.

The M3GNets of MatGL up to version 2 and from version 3 on are stored alike, with the same names and shapes, and are
computed differently: the message of a bond went to its end atom, and goes to its centre since.
"""

from pathlib import Path
from typing import Any

import torch

from tribond.checkpoints.choices import Dialect
from tribond.checkpoints.matgl_files import Contents, read
from tribond.checkpoints.torch_file import LogTransformer, Normalizer
from tribond.checkpoints.transfer import Transfer, check_settings, foreign_config, nonsense_refused
from tribond.errors import CheckpointError
from tribond.nn.config import PRESETS, M3GNetConfig, Readout
from tribond.nn.m3gnet import M3GNet

SWITCHES = {
    "calc_forces",
    "calc_stresses",
    "calc_hessian",
    "debug_mode",
    "compile_model",
    "compile_mode",
    "zbl_trainable",
}
SCALING = {"data_mean", "data_std", "element_refs"}
NOT_SUPPORTED = {"calc_site_wise", "calc_magmom", "calc_charge", "calc_repuls"}  # if switched on


def load(folder: Path, dtype: torch.dtype | None = None, dialect: Dialect | None = None) -> M3GNet:
    """The potential or property model in a folder.

    Args:
        folder: with model.json, model.pt and state.pt.
        dtype: precision; None takes that of the weights, float32.
        dialect: "matgl_dgl" (versions up to 2) or "matgl_pyg" (from 3 on), for files that do not tell.

    Raises:
        CheckpointError: if a file is missing or damaged, holds what tribond does not compute, or if the dialect cannot
            be told or is another one than the user says.
    """
    with nonsense_refused(folder, "MatGL"):
        contents = read(folder, dialect)
        transfer = Transfer(folder, contents.state)
        config = _config(contents)
        _move_network(transfer, config, contents.prefix)
        if config.readout == "extensive":
            _move_energies(transfer, contents, len(config.elements))
        return transfer.into(config, dtype)


def _config(contents: Contents) -> M3GNetConfig:
    settings, units = contents.settings, contents.settings["units"]
    intensive, smooth = settings["is_intensive"], settings["use_smooth"]
    basis = {"edge_basis": "smooth", "angle_radial_basis": "smooth"} if smooth else {}
    changes: dict[str, Any] = {
        "elements": tuple(settings["element_types"]),
        "cutoff": settings["cutoff"],
        "threebody_cutoff": settings["threebody_cutoff"],
        "max_n": settings["max_n"],
        "max_l": settings["max_l"],
        "num_blocks": settings["nblocks"],
        "node_features": settings["dim_node_embedding"],
        "edge_features": settings["dim_edge_embedding"],
        "update_hidden": (units, units),
        "readout_hidden": (units, units),
        "num_targets": settings["ntargets"],
        "classification": intensive and settings["task_type"] == "classification",
        "set2set_steps": settings["niters_set2set"],
        "set2set_layers": settings["nlayers_set2set"],
    }
    if intensive:
        changes |= _pooling(contents) | _target(contents)
    elif contents.wrapper == "TransformedTargetModel":
        msg = f"{contents.folder}: a {contents.wrapper} of an energy is not supported; its settings say is_intensive = False"
        raise CheckpointError(msg)
    else:
        # The readout of energies has its input's width repeated: one layer more than the paper's.
        changes["readout_hidden"] = (settings["dim_node_embedding"], units, units)
    return foreign_config(
        contents.folder / "model.json",
        **(PRESETS[contents.dialect].to_dict() | basis | changes | _state(contents)),
    )


def _pooling(contents: Contents) -> dict[str, Any]:
    """The kind of pooling: the same word meant three things over the years, and the tensors say which."""
    kinds: dict[str, Readout] = {"set2set": "set2set", "weighted_atom": "weighted_atom", "reduce_atom": "mean"}
    word = contents.settings["readout_type"]
    if word not in kinds:
        msg = f"{contents.folder}: readout_type = {word!r} is not supported; {', '.join(kinds)} are"
        raise CheckpointError(msg)
    names = [name.removeprefix(contents.prefix) for name in contents.state]
    if word == "weighted_atom":
        if not any(name.startswith("readout.") for name in names):  # before 1.0 this was the mean
            return {"readout": "mean"}
        if "readout.weight.0.weight" in names:  # before 3.0.5 the weights were not divided by their sum
            return {"readout": "weighted_sum", "readout_weight_hidden": ()}
        return {"readout": "weighted_atom", "readout_weight_hidden": (contents.settings["units"],)}
    return {"readout": kinds[word]}


def _target(contents: Contents) -> dict[str, Any]:
    """How the number of the network becomes the property."""
    unknown = sorted(contents.wrapper_settings.keys() - {"target_transformer"})
    if contents.wrapper == "Potential" or unknown:
        named = f"with the settings {', '.join(unknown)} " if unknown else ""
        msg = f"{contents.folder}: a {contents.wrapper} {named}of an intensive property is not supported"
        raise CheckpointError(msg)
    transformer = contents.wrapper_settings.get("target_transformer")
    if transformer is None:
        return {}
    if isinstance(transformer, Normalizer):
        return {"target_mean": float(transformer.mean), "target_std": float(transformer.std)}
    if isinstance(transformer, LogTransformer):
        return {"target_is_log": True}
    msg = f"{contents.folder}: target_transformer = {transformer!s:.50} is not supported; Normalizer and LogTransformer are"
    raise CheckpointError(msg)


def _state(contents: Contents) -> dict[str, Any]:
    settings = contents.settings
    if not settings["include_state"]:
        return {}
    if contents.network_version < 2:
        msg = f"{contents.folder}: include_state is not supported in files of MatGL before 0.9, which used it otherwise"
        raise CheckpointError(msg)
    width = settings["dim_state_embedding"]
    kind: dict[str, Any] = {"state": "continuous", "state_size": width}
    if settings["ntypes_state"] and width is not None:
        kind = {"state": "categorical", "state_size": settings["ntypes_state"]}
    elif settings["dim_state_feats"] is not None:
        weight = contents.state.get(f"{contents.prefix}{STATE_EMBEDDING}.0.weight")
        kind = {"state": "projected", "state_size": 0 if weight is None else weight.shape[1]}
    units = settings["units"]
    return kind | {"state_features": width, "state_hidden": (units, units)}


# ------------------------------------------------------------------------------------ the tensors

STATE_EMBEDDING = "embedding.layer_state_embedding"


def _layers(prefix: str, depth: int) -> list[str]:
    """Names of linear layers that share a list with the activations between them."""
    return [f"{prefix}.{2 * index}" for index in range(depth)]


def _move_gated(transfer: Transfer, target: str, source: str, depth: int, *, bias: bool = True) -> None:
    transfer.gated_mlp(target, _layers(f"{source}.layers", depth), _layers(f"{source}.gates", depth), bias=bias)


def _move_network(transfer: Transfer, config: M3GNetConfig, prefix: str) -> None:
    for name in ("bond_expansion.rbf.cutoff", "basis_expansion.sbf.cutoff"):
        if prefix + name in transfer:  # before 0.9 it was none of the tensors
            transfer.constant(prefix + name, config.cutoff)
    embedding = f"{prefix}embedding"
    transfer.tensor("atom_embedding.weight", f"{embedding}.layer_node_embedding.weight")
    transfer.mlp("bond_embedding", [f"{embedding}.layer_edge_embedding.layers.0"])
    if config.state == "categorical":
        transfer.tensor("state_embedding.weight", f"{prefix}{STATE_EMBEDDING}.weight")
    elif config.state == "projected":
        transfer.tensor("state_embedding.weight", f"{prefix}{STATE_EMBEDDING}.0.weight")
    depth = len(config.update_hidden) + 1
    for index in range(config.num_blocks):
        block = f"blocks.{index}"
        three_body = f"{prefix}three_body_interactions.{index}"
        graph = f"{prefix}graph_layers.{index}.conv"
        transfer.linear(f"{block}.three_body.atom_gate", f"{three_body}.update_network_atom.layers.0")
        _move_gated(transfer, f"{block}.three_body.bond_update", f"{three_body}.update_network_bond", 1, bias=False)
        for target, source in (("bond_update", "edge"), ("atom_update", "node")):
            _move_gated(transfer, f"{block}.{target}.phi", f"{graph}.{source}_update_func", depth)
            transfer.linear(f"{block}.{target}.edge_gate", f"{graph}.{source}_weight_func", bias=False)
        if config.state != "none":
            layers = _layers(f"{graph}.state_update_func.layers", len(config.state_hidden) + 1)
            transfer.mlp(f"{block}.state_update", layers)
    last = len(config.readout_hidden) + 1
    if config.readout == "extensive":
        _move_gated(transfer, "readout.phi", f"{prefix}final_layer.gated", last)
        return
    _move_pooling(transfer, config, f"{prefix}readout")
    transfer.mlp("readout.mlp", _layers(f"{prefix}final_layer.layers", last))


def _move_pooling(transfer: Transfer, config: M3GNetConfig, source: str) -> None:
    pooling = "readout.pooling"
    if config.readout in {"weighted_atom", "weighted_sum"}:
        transfer.mlp(f"{pooling}.features", _layers(f"{source}.mlp.layers", len(config.readout_hidden)))
        weight = f"{source}.weight" if config.readout == "weighted_sum" else f"{source}.weight.layers"
        transfer.mlp(f"{pooling}.weight", _layers(weight, len(config.readout_weight_hidden) + 1))
    elif config.readout == "set2set":
        inner = f"{source}.set2set" if f"{source}.set2set.lstm.weight_ih_l0" in transfer else source
        for layer in range(config.set2set_layers):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                transfer.tensor(f"{pooling}.lstm.{kind}_l{layer}", f"{inner}.lstm.{kind}_l{layer}")


def _move_energies(transfer: Transfer, contents: Contents, num_elements: int) -> None:
    """E = data_std · Σ network + data_mean + Σ element_refs."""
    settings, folder = contents.wrapper_settings, contents.folder
    check_settings(folder, settings, set(), SWITCHES | NOT_SUPPORTED | SCALING)
    if switched_on := sorted(name for name in NOT_SUPPORTED if settings.get(name)):
        msg = f"{folder}: {', '.join(switched_on)} = True is not supported"
        raise CheckpointError(msg)
    values = {"data_mean": 0.0, "data_std": 1.0}
    for name in values:
        if name in transfer:
            values[name] = float(transfer.take(name))
        elif settings.get(name) is not None:
            values[name] = float(settings[name])
    transfer.state["reference_energy.scale"] = torch.full((num_elements,), values["data_std"], dtype=torch.float64)
    transfer.state["reference_energy.offset"] = torch.tensor(values["data_mean"], dtype=torch.float64)
    references = torch.zeros(num_elements, dtype=torch.float64)
    if settings.get("element_refs") is not None:
        if "element_refs.property_offset" in transfer:
            references = transfer.take("element_refs.property_offset").flatten()
        else:  # before 0.9 it was none of the tensors
            references = torch.as_tensor(settings["element_refs"], dtype=torch.float64).flatten()
        if "element_refs.onehot" in transfer:
            transfer.constant("element_refs.onehot", torch.eye(num_elements))
    transfer.state["reference_energy.reference"] = references
