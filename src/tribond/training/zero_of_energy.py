"""Every source on one zero of energy: reference energies of its own, or those that it shares."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tribond.data.frame_set import FrameSet
from tribond.data.frames import Frame
from tribond.data.joined_frames import frame_set
from tribond.data.reference_energies import fit_reference_energies
from tribond.nn.config import M3GNetConfig
from tribond.training.data_config import DataConfig


def reference_energies_of_sources(
    frames: Sequence[Frame], config: DataConfig, model: M3GNetConfig
) -> NDArray[np.float64]:
    """Reference energies of every training source, its own or those it shares.  (sources, elements) eV."""
    names = [source.name for source in config.train]
    own = np.array(
        [
            number if source.reference_energies == "fit" else names.index(source.reference_energies)
            for number, source in enumerate(config.train)
        ]
    )
    table = frame_set(frames)
    group = own[table.sources]
    fitted = [
        fit_reference_energies(table.take(group == number), model.atomic_numbers, name)
        for number, name in enumerate(names)
    ]
    return np.stack([fitted[number] for number in own])


def on_model_zero(frames: Sequence[Frame], reference_energies: NDArray[np.float64], model: M3GNetConfig) -> FrameSet:
    """The frames with their energies moved from the zero of their source to that of the first, which is the model's.

    Args:
        frames: with elements that the model knows.
        reference_energies: (sources, elements) eV.
        model: gives the order of elements.
    """
    table = frame_set(frames)
    shifts = np.zeros((len(reference_energies), 119))
    shifts[:, list(model.atomic_numbers)] = reference_energies[0] - reference_energies
    return table.shifted(table.composition.total(shifts, table.sources))
