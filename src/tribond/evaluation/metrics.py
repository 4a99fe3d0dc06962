"""Errors of a potential on labelled structures: what is averaged over what, and in which unit.

| quantity | compared | unit |
|---|---|---|
| energy | one number a structure: total energy divided by the number of atoms | meV/atom |
| energy after a shift | the same, after adding to every element the constant that fits best (see `fit_energy_shift`) | meV/atom |
| forces | every component x, y, z of every atom | meV/Å |
| stress | all 9 components of the 3 x 3 tensor, so that a shear counts twice, as published comparisons have it | GPa |

MAE is the mean of |predicted - label|, RMSE the root of the mean of its square.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

from tribond.data.frames import Frame
from tribond.data.reference_energies import composition_matrix
from tribond.models.force_field import Prediction
from tribond.units import EV_PER_A3_TO_GPA


@dataclass(frozen=True)
class Errors:
    """How far predictions are from labels, in the unit that the table above gives."""

    mae: float
    rmse: float
    largest: float  # largest |predicted - label|
    count: int  # numbers compared


@dataclass(frozen=True)
class FrameResult:
    """One structure with its labels, and what the potential says about it."""

    frame: Frame
    prediction: Prediction


@dataclass(frozen=True)
class ElementErrors:
    """What concerns one element."""

    symbol: str
    atoms: int
    frames: int  # that contain it
    forces: Errors | None  # meV/Å, on its atoms
    energy_shift: float | None  # eV an atom, label minus prediction: what its reference energy is off by


@dataclass(frozen=True)
class EvaluationReport:
    """Errors on one set of structures; None where there is no label, or no fit."""

    name: str
    frames: int
    atoms: int
    energy: Errors | None  # meV/atom
    energy_shifted: Errors | None  # meV/atom, after the shift of every element that fits best
    forces: Errors | None  # meV/Å
    stress: Errors | None  # GPa
    elements: tuple[ElementErrors, ...]  # by atomic number
    skipped: Mapping[str, int] = field(default_factory=dict)  # why, and how many frames
    results: tuple[FrameResult, ...] = field(default=(), repr=False)


def errors_of(differences: ArrayLike) -> Errors | None:
    """MAE and RMSE of predicted minus label, of any shape; None if there are none."""
    values = np.abs(np.asarray(differences, dtype=np.float64)).ravel()
    if not len(values):
        return None
    return Errors(float(values.mean()), float(np.sqrt((values**2).mean())), float(values.max()), len(values))


def make_report(
    name: str, results: Sequence[FrameResult], skipped: Mapping[str, int] | None = None
) -> EvaluationReport:
    """All errors on one set of structures.

    Args:
        name: of the set.
        results: structures that have been evaluated.
        skipped: why others were not, and how many.
    """
    energies = energy_differences(results)
    shift = fit_energy_shift(results)
    return EvaluationReport(
        name=name,
        frames=len(results),
        atoms=sum(len(result.frame.atoms) for result in results),
        energy=errors_of(energies),
        energy_shifted=None if shift is None else errors_of(energy_differences(results, shift)),
        forces=errors_of(force_differences(results)),
        stress=errors_of(stress_differences(results)),
        elements=_element_errors(results, shift),
        skipped=dict(skipped or {}),
        results=tuple(results),
    )


def energy_differences(results: Sequence[FrameResult], shift: Mapping[int, float] | None = None) -> NDArray[np.float64]:
    """Predicted minus label of the structures that have an energy.  (labelled,) meV/atom.

    Args:
        results: structures that have been evaluated.
        shift: atomic number -> eV to add to the prediction for each of its atoms.
    """
    return np.array(
        [
            1000 * (result.prediction.energy + _shift_of(result.frame, shift) - result.frame.energy)
            / len(result.frame.atoms)
            for result in results
            if result.frame.energy is not None
        ]
    )  # fmt: skip


def force_differences(results: Sequence[FrameResult]) -> NDArray[np.float64]:
    """Predicted minus label of the structures that have forces.  (atoms, 3) meV/Å."""
    parts = [
        1000 * (result.prediction.forces - result.frame.forces)
        for result in results
        if result.frame.forces is not None and result.prediction.forces is not None
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 3))


def stress_differences(results: Sequence[FrameResult]) -> NDArray[np.float64]:
    """Predicted minus label of the structures that have a stress.  (labelled, 3, 3) GPa."""
    parts = [
        EV_PER_A3_TO_GPA * (result.prediction.stress - result.frame.stress)
        for result in results
        if result.frame.stress is not None and result.prediction.stress is not None
    ]
    return np.stack(parts) if parts else np.zeros((0, 3, 3))


def fit_energy_shift(results: Sequence[FrameResult]) -> dict[int, float] | None:
    """The energy per atom of every element that, added to the predictions, brings them closest to the labels.

    Two levels of theory, or two codes, may differ by such constants, which no property of a compound depends on. Least
    squares of label minus prediction, per atom, on the composition; of several solutions the smallest.

    Returns:
        Atomic number -> eV; None if there are no more structures than independent compositions: the fit would leave
        no error at all and mean nothing.
    """
    labelled = [result for result in results if result.frame.energy is not None]
    numbers = sorted({int(number) for result in labelled for number in result.frame.atoms.numbers})
    if not numbers:
        return None
    composition = composition_matrix([result.frame for result in labelled], numbers)
    composition /= composition.sum(axis=1, keepdims=True)
    shift, _, rank, _ = np.linalg.lstsq(composition, -energy_differences(labelled) / 1000, rcond=1e-8)
    return None if len(labelled) <= rank else dict(zip(numbers, shift.tolist(), strict=True))


def _shift_of(frame: Frame, shift: Mapping[int, float] | None) -> float:
    return sum(shift[int(number)] for number in frame.atoms.numbers) if shift else 0.0


def _element_errors(results: Sequence[FrameResult], shift: Mapping[int, float] | None) -> tuple[ElementErrors, ...]:
    if not results:
        return ()
    numbers = np.concatenate([result.frame.atoms.numbers for result in results])
    frames = np.concatenate([np.unique(result.frame.atoms.numbers) for result in results])
    with_forces = [result for result in results if result.frame.forces is not None]
    numbers_of_forces = np.concatenate([np.zeros(0, int), *(result.frame.atoms.numbers for result in with_forces)])
    differences = force_differences(with_forces)
    return tuple(
        ElementErrors(
            symbol=chemical_symbols[number],
            atoms=int((numbers == number).sum()),
            frames=int((frames == number).sum()),
            forces=errors_of(differences[numbers_of_forces == number]),
            energy_shift=None if shift is None else shift.get(int(number)),
        )
        for number in np.unique(numbers)
    )
