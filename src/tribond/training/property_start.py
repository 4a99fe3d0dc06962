"""What a training of properties starts from: a new model, or the features of one that exists with a new readout."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray
from torch import Tensor

from tribond.checkpoints.open_model import is_model
from tribond.checkpoints.registry import load_network
from tribond.data.property_table import PropertyTable
from tribond.data.reference_energies import composition_matrix
from tribond.errors import ConfigError, DataError
from tribond.nn.config import M3GNetConfig, preset
from tribond.nn.m3gnet import M3GNet
from tribond.nn.readout import SumReadout
from tribond.training.property_config import PropertyConfig, PropertyTrainingConfig

logger = logging.getLogger(__name__)

SMALLEST_STD = 1e-8  # of a target that is the same everywhere
RIDGE = 1e-3  # of the first guess of an extensive property from the composition


@dataclass(frozen=True)
class PropertyStart:
    """A model that is ready to be trained."""

    model: M3GNet
    metadata: dict[str, Any]
    state_scale: NDArray[np.float64] | None  # (keys,) what numbers of the state are divided by in training
    new: frozenset[str]  # names of the weights that do not come from an older model


def make_property_start(config: PropertyTrainingConfig, train: PropertyTable, folder: Path) -> PropertyStart:
    """Make the model.

    Args:
        config: the training file.
        train: what it will be trained on; gives scales and elements.
        folder: what a path in `start_from` is relative to.

    Raises:
        ConfigError: if the settings make no sense.
        ModelNotFoundError: if there is no model to start from.
    """
    wanted = config.property
    scale = _state_scale(wanted, train)
    old, metadata = _old_model(config, folder)
    changes = _readout(wanted) | _state(wanted) | _targets(wanted, train)
    if old is None:
        settings = {"elements": _elements(config, train), **config.model.settings, **changes}
        model_config = preset(config.model.preset, **{k: v for k, v in settings.items() if v is not None})
    elif config.model.keep_readout:
        if wanted.readout is None and wanted.kind != "extensive" and old.config.readout != "extensive":
            changes["readout"] = old.config.readout
        model_config = _same_readout(old.config, changes)
    else:
        model_config = replace(old.config, **{"repulsion": "none", **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = M3GNet(model_config)
    new = {name for name, _ in model.named_parameters()}
    if old is not None:
        new = _take_over(model, old, readout=config.model.keep_readout, state_scale=scale)
    if isinstance(model.readout, SumReadout) and "readout.constant.weight" in new:
        _first_guess(model, model.readout, train)
    return PropertyStart(model, metadata, scale, frozenset(new))


def served(model: M3GNet, state_scale: NDArray[np.float64] | None) -> M3GNet:
    """The model as it is used: it takes the state input in the units of the data.

    Args:
        model: in training; not changed.
        state_scale: what numbers of the state are divided by in training; None: nothing.
    """
    if state_scale is None:
        return model
    found = M3GNet(model.config, model.dtype)
    state = dict(model.state_dict())
    weight = state["state_embedding.weight"]
    state["state_embedding.weight"] = weight / torch.as_tensor(state_scale, dtype=weight.dtype, device=weight.device)
    found.load_state_dict(state)
    return found


def with_known_elements(table: PropertyTable, model: M3GNetConfig, *, skip: bool, what: str) -> PropertyTable:
    """The rows whose elements the model knows.

    Raises:
        DataError: naming the first row with another element, unless they are skipped.
    """
    known = set(model.atomic_numbers)
    wrong = [row for row, atoms in enumerate(table.structures) if not known.issuperset(atoms.numbers.tolist())]
    if not wrong:
        return table
    symbols = sorted({chemical_symbols[z] for row in wrong for z in table.structures[row].numbers if z not in known})
    if not skip:
        msg = (
            f"{len(wrong)} structures {what} have elements that the model does not know: {', '.join(symbols)} "
            f"(first {table.names[wrong[0]]}); choose a model that does, or leave them out (unknown_elements: skip)"
        )
        raise DataError(msg)
    logger.warning("%d structures %s left out: the model does not know %s", len(wrong), what, ", ".join(symbols))
    return table.take(np.setdiff1d(np.arange(len(table)), wrong))


def tell_rare_elements(train: PropertyTable, other: PropertyTable, what: str) -> None:
    """Warn of structures with elements that no structure to train on has."""
    seen = {number for atoms in train.structures for number in atoms.numbers.tolist()}
    unseen = [set(atoms.numbers.tolist()) - seen for atoms in other.structures]
    if count := sum(map(bool, unseen)):
        symbols = sorted({chemical_symbols[number] for numbers in unseen for number in numbers})
        logger.warning("%d structures %s have elements that none to train on has: %s", count, what, ", ".join(symbols))


def transformed(values: NDArray[np.float64], wanted: PropertyConfig) -> NDArray[np.float64]:
    """Logarithms where they are learnt.  (rows, targets)."""
    if wanted.kind == "classes":
        return values
    is_log = np.array([target.log for target in wanted.targets])
    return np.where(is_log, np.log(np.where(is_log, values, 1.0)), values)


def normalised(table: PropertyTable, wanted: PropertyConfig, model: M3GNetConfig) -> NDArray[np.float64]:
    """What the network shall say: (rows, targets), NaN where missing; of classes their number."""
    values = transformed(table.values, wanted)
    if wanted.kind == "classes":
        return values
    mean = np.broadcast_to(np.array(model.target_mean), values.shape[1:])
    if wanted.kind == "extensive":
        mean = mean * np.array([[len(atoms)] for atoms in table.structures])
    return (values - mean) / np.array(model.target_std)


def _old_model(config: PropertyTrainingConfig, folder: Path) -> tuple[M3GNet | None, dict[str, Any]]:
    if config.model.start_from is None:
        return None, {}
    name = config.model.start_from
    local = folder / Path(name).expanduser()
    model, metadata = load_network(local if is_model(local) else name, torch.float32)
    inherited = {key: metadata[key] for key in ("licence", "citation") if key in metadata}
    return model, {"started_from": metadata.get("name", name)} | inherited


def _elements(config: PropertyTrainingConfig, train: PropertyTable) -> tuple[str, ...] | None:
    if config.model.elements == "data":
        numbers = np.unique(np.concatenate([atoms.numbers for atoms in train.structures]))
        return tuple(chemical_symbols[number] for number in numbers)
    return None if config.model.elements is None else tuple(config.model.elements)


def _readout(wanted: PropertyConfig) -> dict[str, Any]:
    kind = "sum" if wanted.kind == "extensive" else wanted.readout or "weighted_atom"
    number = len(wanted.classes) if len(wanted.classes) > 2 else len(wanted.targets)
    exclusive: bool | str = "exclusive" if len(wanted.classes) > 2 else wanted.kind == "classes"
    return {"readout": kind, "num_targets": number, "classification": exclusive}


def _state(wanted: PropertyConfig) -> dict[str, Any]:
    if wanted.state is None:
        return {"state": "none", "state_size": 0}
    if wanted.state.categories:
        return {"state": "categorical", "state_size": len(wanted.state.categories)}
    return {"state": "projected", "state_size": len(wanted.state.keys)}


def _state_scale(wanted: PropertyConfig, train: PropertyTable) -> NDArray[np.float64] | None:
    """A number of order one for each state: its root mean square, since the layer that takes it has no offset."""
    if wanted.state is None or wanted.state.categories or train.states is None:
        return None
    size = np.sqrt((train.states**2).mean(axis=0))
    spread = train.states.std(axis=0)
    for key, one, other in zip(wanted.state.keys, size, spread, strict=True):
        if other < 0.02 * one:
            logger.warning(
                "state %s hardly varies (%.4g about %.4g): give what differs, without the constant", key, other, one
            )
    return np.where(size > 0, size, 1.0)


def _targets(wanted: PropertyConfig, train: PropertyTable) -> dict[str, Any]:
    """Mean and spread of each target over the training data; of an extensive one those of its value per atom."""
    plain = {"target_mean": 0.0, "target_std": 1.0, "target_is_log": False}
    if wanted.kind == "classes":
        return plain
    values = transformed(train.values, wanted)
    if wanted.kind == "extensive":
        values = values / np.array([[len(atoms)] for atoms in train.structures])
    for target, column in zip(wanted.targets, values.T, strict=True):
        if np.isnan(column).all():
            msg = f"no row to train on has {target.name}"
            raise DataError(msg)
    mean, std = np.nanmean(values, axis=0).tolist(), np.maximum(np.nanstd(values, axis=0), SMALLEST_STD).tolist()
    is_log = [target.log for target in wanted.targets]
    if len(wanted.targets) == 1:
        return {"target_mean": mean[0], "target_std": std[0], "target_is_log": is_log[0]}
    return {"target_mean": tuple(mean), "target_std": tuple(std), "target_is_log": tuple(is_log)}


def _same_readout(old: M3GNetConfig, changes: dict[str, Any]) -> M3GNetConfig:
    """The config of a model whose readout is kept.

    Raises:
        ConfigError: if it predicts something of another kind.
    """
    fixed = ("readout", "num_targets", "classification", "state", "state_size", "target_is_log")
    different = [name for name in fixed if getattr(old, name) != changes[name]]
    if different:
        values = ", ".join(f"{name} = {getattr(old, name)!r} and not {changes[name]!r}" for name in different)
        msg = f"keep_readout: the model to start from has {values}"
        raise ConfigError(msg)
    return old


def _take_over(
    model: M3GNet, old: M3GNet, *, readout: bool, state_scale: NDArray[np.float64] | None = None
) -> set[str]:
    """Copy the weights of an older model; names of those that are new.

    Columns for a state input that the old model did not have are zero: at first the features are what they were. What takes
    a state of numbers is multiplied by `state_scale`, (keys,): in training they are divided by it (`served` undoes that).
    """
    theirs = old.state_dict()
    new = set()
    with torch.no_grad():
        for name, ours in model.named_parameters():
            given = theirs.get(name)
            if given is None or (name.startswith("readout.") and not readout):
                new.add(name)
            elif name == "state_embedding.weight" and old.config.state != model.config.state:
                new.add(name)  # rows of categories say nothing about numbers
            elif name == "state_embedding.weight" and state_scale is not None and given.shape == ours.shape:
                ours.copy_(given * torch.as_tensor(state_scale, dtype=given.dtype, device=given.device))
            elif given.shape == ours.shape:
                ours.copy_(given)
            elif _has_columns_for_a_state(name, given, ours):
                ours.zero_()
                ours[:, : given.shape[1]].copy_(given)
            else:
                new.add(name)
    left = sorted(name for name in new if not name.startswith(("readout.", "state_embedding.")))
    unexpected = [name for name in left if ".state_update." not in name]
    if unexpected:
        logger.warning("these weights do not fit and start anew: %s", ", ".join(unexpected))
    return new


def _has_columns_for_a_state(name: str, given: Tensor, ours: Tensor) -> bool:
    return (
        "_update.phi." in name
        and given.ndim == ours.ndim == 2
        and given.shape[0] == ours.shape[0]
        and given.shape[1] < ours.shape[1]
    )


def _first_guess(model: M3GNet, readout: SumReadout, train: PropertyTable) -> None:
    """Constants of the elements such that the composition alone says as much as it can, in least squares per atom."""
    frames = train.frames()
    counts = composition_matrix(frames, model.config.atomic_numbers)
    atoms = counts.sum(axis=1, keepdims=True)
    mean, std = np.array(model.config.target_mean), np.array(model.config.target_std)
    per_atom = (train.values / atoms - mean) / std
    for target in range(model.config.num_targets):
        known = ~np.isnan(per_atom[:, target])
        fractions = (counts / atoms)[known]
        system = fractions.T @ fractions + RIDGE * known.sum() * np.eye(fractions.shape[1]) / fractions.shape[1]
        constants = np.linalg.solve(system, fractions.T @ per_atom[known, target])
        with torch.no_grad():
            readout.constant.weight[:, target] = torch.from_numpy(constants).to(model.dtype)
