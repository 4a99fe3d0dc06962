"""What a training starts from: a new model or one to fine-tune, on the zero of energy of the data."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from tribond.checkpoints.open_model import is_model
from tribond.checkpoints.registry import load_network
from tribond.data.array_cache import ArrayCache, Arrays, digest_of
from tribond.data.frame_set import FrameSet
from tribond.data.frames import Frame
from tribond.data.joined_frames import frame_set
from tribond.data.read_table import WORTH_KEEPING
from tribond.errors import ConfigError
from tribond.models.potential import Potential
from tribond.nn.config import M3GNetConfig, preset
from tribond.nn.m3gnet import M3GNet
from tribond.terms.known import KEY, terms_of
from tribond.terms.term import Term
from tribond.training.config import ModelConfig, TrainingConfig
from tribond.training.data_config import DataConfig
from tribond.training.sources import TrainingFrames, with_known_elements
from tribond.training.terms import without_terms
from tribond.training.zero_of_energy import reference_energies_of_sources

logger = logging.getLogger(__name__)

SMALLEST_SCALE = 0.05  # eV | data with one energy only, or none, has no spread
ENOUGH_FRAMES = 1000  # to refit reference energies with
PREDICTING = 1  # to be raised whenever what is predicted changes
ENOUGH_OF_AN_ELEMENT = 20  # frames of every element among them


@dataclass(frozen=True)
class Start:
    """A model that is ready to be trained."""

    model: M3GNet
    metadata: dict[str, Any]
    frames: TrainingFrames  # those whose elements the model knows
    reference_energies: NDArray[np.float64]  # (sources, elements) eV; the first source's are the model's
    terms: tuple[Term, ...]  # what the model file adds to the network, and the labels of these frames are without
    before: Potential | None  # a copy of the model, if it was fine-tuned from another: is training worth while?


def make_start(config: TrainingConfig, frames: TrainingFrames, folder: Path, cache: ArrayCache | None = None) -> Start:
    """Make or load the model and put it on the zero of energy of the first source.

    Args:
        config: the training file.
        frames: all data.
        folder: what a path in `start_from` is relative to.
        cache: keeps reference energies that were refitted.

    Raises:
        ConfigError: if the model's settings make no sense, or it is no potential.
        DataError: if the training data has elements that the model does not know.
        ModelNotFoundError: if there is no model to start from.
    """
    metadata: dict[str, Any] = {}
    if config.model.start_from is None:
        metadata = {} if not config.model.terms else {KEY: config.model.terms}
        model = _new_model(config.model, frames.train, config.seed)
    else:
        model, metadata = _load_model(config.model.start_from, folder)
        if config.model.terms is not None:
            metadata = metadata | {KEY: config.model.terms}
    # What terms add is taken off the labels: from here on all is about the network alone.
    terms = terms_of(metadata)
    frames = without_terms(frames, terms, ArrayCache(None) if cache is None else cache)
    if model.config.readout != "extensive" or model.config.state != "none":
        msg = (
            "only potentials without a state input can be trained, and this is a model of one property or takes a state"
        )
        raise ConfigError(msg)
    frames = with_known_elements(frames, config.data, model.config)
    if config.model.start_from is None:
        references = reference_energies_of_sources(frames.train, config.data, model.config)
        scale = energy_scale(references, frames.train, model.config)
        model.reference_energy.set(scale=[scale] * len(model.config.elements), reference=references[0].tolist())
        return Start(model, metadata, frames, references, terms, before=None)
    # The scale belongs to the weights and stays.
    references = refitted_reference_energies(
        model, frames.train, config.data, refit_first=config.model.refit_reference_energies, cache=cache
    )
    model.reference_energy.set(reference=references[0].tolist())
    return Start(model, metadata, frames, references, terms, before=Potential(model, metadata))


def _new_model(config: ModelConfig, frames: FrameSet, seed: int) -> M3GNet:
    settings = dict(config.settings)
    if config.elements == "data":
        settings["elements"] = tuple(sorted(chemical_symbols[number] for number in frames.composition.elements()))
    elif config.elements is not None:
        settings["elements"] = tuple(config.elements)
    model_config = preset(config.preset, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return M3GNet(model_config)


def _load_model(name: str, folder: Path) -> tuple[M3GNet, dict[str, Any]]:
    local = folder / Path(name).expanduser()
    model, metadata = load_network(local if is_model(local) else name, torch.float32)
    inherited = {key: metadata[key] for key in ("licence", "citation", KEY) if key in metadata}
    return model, {"started_from": metadata.get("name", name)} | inherited


def energy_scale(references: NDArray[np.float64], frames: Sequence[Frame], model: M3GNetConfig) -> float:
    """The spread of energies per atom about the reference energies, eV: it lets a network give numbers of order one.

    Args:
        references: (sources, elements) eV.
        frames: the training data.
        model: gives the order of elements.
    """
    table = frame_set(frames)
    labelled = np.flatnonzero(table.has("energy") & (table.sizes > 0))
    if not len(labelled):
        return SMALLEST_SCALE
    values = np.zeros((len(references), 256))
    values[:, list(model.atomic_numbers)] = references
    expected = table.composition.take(labelled).total(values, table.sources[labelled])
    left = (np.asarray(table.energies)[labelled] - expected) / table.sizes[labelled]
    return max(float(np.std(left)), SMALLEST_SCALE)


def refitted_reference_energies(
    model: M3GNet,
    frames: Sequence[Frame],
    config: DataConfig,
    *,
    refit_first: bool,
    cache: ArrayCache | None = None,
) -> NDArray[np.float64]:
    """The model's reference energies, shifted for every source so that the model as it is fits its energies best.

    A fit to the energies themselves, as for a new model, would count twice what the network already says about
    compounds. Elements that a source does not have keep the model's reference energy.

    Args:
        model: to be fine-tuned.
        frames: the training data.
        config: the sources, and which of them share their zero.
        refit_first: False keeps the model's reference energies for the first source and those that share its zero.
        cache: keeps the predictions.

    Returns:
        (sources, elements) eV.
    """
    own = model.reference_energy.reference.numpy()
    table = frame_set(frames)
    some = table.take(_representative(table)).loaded()

    def predict() -> Arrays:
        predictions = Potential(model).predict([frame.atoms for frame in some]) if len(some) else []
        return {"energies": np.array([prediction.energy for prediction in predictions], dtype=np.float64)}

    weights = [value.numpy() for value in model.state_dict().values()]
    structures = (some.offsets, some.numbers, some.positions, some.cells, some.pbc)
    key = digest_of(PREDICTING, model.config, *weights, *structures)
    kept = (cache or ArrayCache(None)).get(
        "predictions", key, predict, keep=lambda new: len(new["energies"]) >= WORTH_KEEPING
    )
    shift = reference_energies_of_sources(some.shifted(-kept["energies"]), config, model.config)
    if not refit_first:
        first = config.train[0].name
        for number, source in enumerate(config.train):
            if number == 0 or source.reference_energies == first:
                shift[number] = 0.0
    for source, values in zip(config.train, shift, strict=True):
        if np.any(values):
            logger.info(
                "%s: reference energies shifted by %.3f eV on average", source.name, np.abs(values[values != 0]).mean()
            )
    return own + shift


def _representative(frames: FrameSet) -> NDArray[np.int64]:
    """Labelled frames enough for a fit: some at random of every source, and more where an element is rare."""
    chosen = []
    taken: Counter[int] = Counter()
    seen: Counter[tuple[int, int]] = Counter()
    usable, sources = frames.has("energy") & (frames.sizes > 0), frames.sources.tolist()
    starts, elements = frames.composition.starts.tolist(), frames.composition.numbers
    for index in np.random.default_rng(0).permutation(len(frames)).tolist():
        if not usable[index]:
            continue
        source = sources[index]
        keys = [(source, number) for number in elements[starts[index] : starts[index + 1]].tolist()]
        if taken[source] < ENOUGH_FRAMES or min(seen[key] for key in keys) < ENOUGH_OF_AN_ELEMENT:
            chosen.append(index)
            taken[source] += 1
            seen.update(keys)
    return np.array(chosen, dtype=np.int64)
