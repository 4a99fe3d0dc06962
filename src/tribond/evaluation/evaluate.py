"""Run a potential over labelled structures and compare."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tribond.data.frames import Frame
from tribond.errors import StructureError
from tribond.evaluation.metrics import EvaluationReport, FrameResult, make_report
from tribond.graph.elements import unknown_elements
from tribond.models.force_field import ForceField

logger = logging.getLogger(__name__)

CHUNK = 64  # frames between two reports of progress; `Potential.predict` makes its own batches of them


def evaluate_frames(
    potential: ForceField,
    frames: Sequence[Frame],
    *,
    name: str = "data",
    on_progress: Callable[[int], object] | None = None,
) -> EvaluationReport:
    """Compare a potential with labelled structures.

    Structures that the potential cannot be asked about are left out and counted by reason: elements it does not know,
    no label to compare with, no atoms, atoms on top of each other.

    Args:
        potential: the model.
        frames: structures with labels, all at one level of theory.
        name: of the set, for tables and plots.
        on_progress: called with the number of frames done since the last call.

    Returns:
        Errors of energy, forces and stress, per element too, and the predictions themselves.
    """
    skipped: Counter[str] = Counter()
    usable = []
    for frame in frames:
        reason = _why_not(frame, potential)
        if reason is None:
            usable.append(frame)
        else:
            skipped[reason] += 1
    if on_progress is not None and skipped:
        on_progress(skipped.total())
    results: list[FrameResult] = []
    for first in range(0, len(usable), CHUNK):
        chunk = usable[first : first + CHUNK]
        evaluated = list(_evaluate(potential, chunk))
        results += evaluated
        if len(evaluated) < len(chunk):
            skipped["not a valid structure"] += len(chunk) - len(evaluated)
        if on_progress is not None:
            on_progress(len(chunk))
    return make_report(name, results, skipped)


def _why_not(frame: Frame, potential: ForceField) -> str | None:
    """Why a frame cannot be evaluated; None if it can."""
    if not len(frame.atoms):
        return "no atoms"
    if frame.energy is None and frame.forces is None and frame.stress is None:
        return "no label"
    if unknown := unknown_elements(frame.atoms.numbers.tolist(), potential.elements):
        return f"unknown to the model: {', '.join(unknown)}"
    return None


def _evaluate(potential: ForceField, frames: list[Frame]) -> Iterator[FrameResult]:
    """All frames at once; if one of them is no valid structure, one by one without it."""
    try:
        predictions = potential.predict([frame.atoms for frame in frames])
    except StructureError as error:
        if len(frames) == 1:
            logger.warning("%s is left out: %s", frames[0].origin, error)
            return
        for frame in frames:
            yield from _evaluate(potential, [frame])
        return
    for frame, prediction in zip(frames, predictions, strict=True):
        yield FrameResult(frame, prediction)
