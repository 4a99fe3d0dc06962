"""Units of the labels of an evaluation, told from its predictions."""

from collections.abc import Sequence

import numpy as np

from tribond.data.reference_energies import composition_matrix
from tribond.data.units import unit_note, without_elements
from tribond.evaluation.metrics import FrameResult


def unit_notes(results: Sequence[FrameResult]) -> list[str]:
    """What the user should know of the units of the labels.

    Args:
        results: labels and predictions.
    """
    notes = []
    energetic = [it for it in results if it.frame.energy is not None and len(it.frame.atoms)]
    if energetic:
        frames = [it.frame for it in energetic]
        numbers = sorted({int(number) for frame in frames for number in frame.atoms.numbers})
        composition = composition_matrix(frames, numbers)
        said = np.array([frame.energy for frame in frames], dtype=np.float64)
        predicted = np.array([it.prediction.energy for it in energetic])
        notes.append(unit_note("energy", *(without_elements(composition, it) for it in (said, predicted))))
    for label in ("forces", "stress"):
        pairs = [
            (np.ravel(getattr(it.frame, label)), np.ravel(getattr(it.prediction, label)))
            for it in results
            if getattr(it.frame, label) is not None and getattr(it.prediction, label) is not None
        ]
        if pairs:
            notes.append(unit_note(label, *(np.concatenate(side) for side in zip(*pairs, strict=True))))
    return [text for text in notes if text is not None]
