"""The three files of a MatGL model: what they say, under the names of today, and by which MatGL they were written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tribond.checkpoints.choices import Dialect
from tribond.checkpoints.matgl_era import Evidence, dialect_of
from tribond.checkpoints.torch_file import read_torch_file
from tribond.checkpoints.transfer import check_settings
from tribond.errors import CheckpointError

FILES = ("model.json", "model.pt", "state.pt")
RENAMED = {"dim_state_types": "ntypes_state"}  # settings of old versions, under their present names
UNUSED = {"num_rbf"}  # written by a few versions, and read by none
DEFAULTS: dict[str, Any] = {  # that all versions agree in; a setting without one is never left out of a file
    "dim_state_embedding": 0,
    "ntypes_state": None,
    "dim_state_feats": None,
    "rbf_type": "SphericalBessel",
    "use_phi": False,
    "field": "node_feat",
    "include_state": False,
    "activation_type": "swish",
    "dropout": None,  # of the training
    "niters_set2set": 3,
    "nlayers_set2set": 3,
    "ntargets": 1,
    "use_smooth": False,
}
REQUIRED = {
    "element_types",
    "dim_node_embedding",
    "dim_edge_embedding",
    "max_n",
    "max_l",
    "nblocks",
    "is_intensive",
    "readout_type",
    "task_type",
    "cutoff",
    "threebody_cutoff",
    "units",
}
SUPPORTED = {"rbf_type": "SphericalBessel", "use_phi": False, "activation_type": "swish"}


@dataclass(frozen=True)
class Contents:
    """What the three files say."""

    folder: Path
    wrapper: str  # class of the outermost object: Potential, TransformedTargetModel or M3GNet
    wrapper_settings: dict[str, Any]  # its own, without the network
    network_version: int
    settings: dict[str, Any]  # of the network
    state: dict[str, Tensor]
    prefix: str  # of the network's tensors in `state`
    dialect: Dialect


def recognise(folder: Path) -> bool:
    """Whether the folder is a model of MatGL, perhaps with a file missing."""
    return sum((folder / name).is_file() for name in FILES) > 1


def files(folder: Path) -> list[Path]:
    """The files that make the model; the first tells it from any other."""
    return [folder / name for name in reversed(FILES)]


def read(folder: Path, dialect: Dialect | None) -> Contents:
    """Read a folder.

    Args:
        folder: with model.json, model.pt and state.pt.
        dialect: what the user says of it, for files that do not tell.

    Raises:
        CheckpointError: if a file is missing or damaged, describes something else than an M3GNet, has settings that
            tribond does not compute, or if the dialect cannot be told or is another one than the user says.
    """
    for name in FILES:
        if not (folder / name).is_file():
            msg = f"{folder / name} is missing; a MatGL model is {', '.join(FILES)} in one folder"
            raise CheckpointError(msg)
    path = folder / "model.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        wrapper = {"class": description["@class"], "module": description["@module"]}
        version = description.get("@model_version", 0)
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # no JSON, or nested, or numbers, beyond measure
        msg = f"{path} is not the description of a MatGL model; download or copy it again"
        raise CheckpointError(msg) from error
    settings, state = read_torch_file(folder / "model.pt"), read_torch_file(folder / "state.pt")
    if not isinstance(settings, dict) or not isinstance(state, dict):
        msg = f"{folder}: model.pt and state.pt do not hold what MatGL writes; download or copy them again"
        raise CheckpointError(msg)
    if wrapper["class"] not in {"Potential", "TransformedTargetModel", "M3GNet"}:
        msg = f"{path} describes a {wrapper['class']}; tribond reads M3GNets"
        raise CheckpointError(msg)
    network: Any = {"@class": "M3GNet", "@module": wrapper["module"], "@model_version": version, "init_args": settings}
    own: dict[str, Any] = {}
    if wrapper["class"] != "M3GNet":
        own = {name: value for name, value in settings.items() if name != "model"}
        network = settings.get("model")
        if not isinstance(network, dict) or "init_args" not in network:
            msg = f"{folder / 'model.pt'} does not hold the settings of a network; download or copy it again"
            raise CheckpointError(msg)
    if network.get("@class") != "M3GNet":
        msg = f"{path} describes a {network.get('@class')}; tribond reads M3GNets"
        raise CheckpointError(msg)
    prefix = "" if wrapper["class"] == "M3GNet" else "model."
    supported = _present_names(path, network["init_args"])
    evidence = Evidence(
        modules=(str(wrapper["module"]), str(network.get("@module", ""))),
        potential_version=version if wrapper["class"] == "Potential" else None,
        potential_settings=own if wrapper["class"] == "Potential" else None,
        network_settings=network["init_args"],
        tensors=tuple(str(name).removeprefix(prefix) for name in state),
    )
    return Contents(
        folder=folder,
        wrapper=wrapper["class"],
        wrapper_settings=own,
        network_version=int(network.get("@model_version", 0)),
        settings=supported,
        state=dict(state),
        prefix=prefix,
        dialect=dialect_of(folder, evidence, dialect),
    )


def _present_names(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the network under the names of today, complete; what is not supported is refused by name."""
    renamed = {RENAMED.get(name, name): value for name, value in settings.items() if name not in UNUSED}
    check_settings(path, renamed, REQUIRED, DEFAULTS.keys())
    complete = DEFAULTS | renamed
    for name, supported in SUPPORTED.items():
        if complete[name] != supported:
            msg = f"{path}: {name} = {complete[name]!r} is not supported; {supported!r} is"
            raise CheckpointError(msg)
    if complete["is_intensive"] and complete["field"] != "node_feat":
        msg = f"{path}: field = {complete['field']!r} is not supported; 'node_feat' is"
        raise CheckpointError(msg)
    return complete
