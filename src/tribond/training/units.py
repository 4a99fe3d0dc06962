"""Units of the labels to train on, told from the predictions of a potential before anything is trained."""

import logging

import numpy as np

from tribond.checkpoints.registry import load_potential
from tribond.data.frame_set import FrameSet
from tribond.data.frame_table import FrameTable
from tribond.data.reference_energies import composition_matrix
from tribond.data.units import unit_note, without_elements
from tribond.errors import StructureError, TribondError
from tribond.graph.elements import unknown_elements
from tribond.models.force_field import Prediction
from tribond.models.potential import Potential
from tribond.training.data_config import DataConfig

logger = logging.getLogger(__name__)

MOST_FRAMES = 32  # of a source that are looked at
MOST_ATOMS = 2000  # in all of them


def tell_units(frames: FrameSet, config: DataConfig, potential: Potential | None) -> None:
    """Warn of labels that agree with a potential but for a factor: hartree/bohr, kcal/mol, another sign.

    Args:
        frames: to train on.
        config: names the sources.
        potential: that is fine-tuned; None takes the built-in one, whose level of theory is near enough for that.
    """
    if potential is None:
        try:
            potential = load_potential(device="cpu")
        except TribondError:  # not installed: nothing to compare with
            return
    for number, source in enumerate(config.train):
        chosen = _some(frames, np.flatnonzero(frames.sources == number), potential)
        for text in _notes(frames.take(np.array(list(chosen), dtype=np.int64)).loaded(), list(chosen.values())):
            logger.warning("%s: %s", source.name, text)


def _some(frames: FrameSet, rows: np.ndarray, potential: Potential) -> dict[int, Prediction]:
    """Predictions of some frames of a source."""
    chosen: dict[int, Prediction] = {}
    atoms = 0
    sizes = frames.sizes
    for row in np.random.default_rng(0).permutation(rows)[: 4 * MOST_FRAMES].tolist():
        structure = frames.atoms(row)
        if len(chosen) == MOST_FRAMES or atoms + sizes[row] > MOST_ATOMS:
            break
        if not len(structure) or unknown_elements(structure.numbers.tolist(), potential.elements):
            continue
        try:
            (chosen[row],) = potential.predict(structure)
        except StructureError:
            continue  # the training itself says what is wrong with it
        atoms += int(sizes[row])
    return chosen


def _notes(frames: FrameTable, predictions: list[Prediction]) -> list[str]:
    notes = []
    known = frames.has("energy")
    if known.any():
        composition = composition_matrix(frames.take(known), sorted(set(frames.numbers.tolist())))
        predicted = np.array([it.energy for it in predictions])[known]
        energies = (without_elements(composition, given) for given in (frames.energies[known], predicted))
        notes.append(unit_note("energy", *energies))
    forced = frames.has("forces")
    if forced.any():
        labels = frames.forces[forced[frames.frame_of_atom]].ravel()
        computed = np.concatenate([predictions[row].forces.ravel() for row in np.flatnonzero(forced).tolist()])
        notes.append(unit_note("forces", labels, computed))
    stresses = {row: predictions[row].stress for row in np.flatnonzero(frames.has("stress")).tolist()}
    known_stresses = {row: stress for row, stress in stresses.items() if stress is not None}
    if known_stresses:
        computed = np.concatenate([stress.ravel() for stress in known_stresses.values()])
        notes.append(unit_note("stress", frames.stresses[list(known_stresses)].ravel(), computed))
    return [text for text in notes if text is not None]
