from dataclasses import replace

import numpy as np
import pytest

from tribond.data.frames import Frame


@pytest.fixture
def frames(structures, potential):
    """Structures of every kind, labelled by the potential itself: it makes no error on them."""
    chosen = {name: atoms for name, atoms in structures.items() if len(atoms)}
    predictions = potential.predict(list(chosen.values()))
    return [
        Frame(atoms, prediction.energy, prediction.forces, prediction.stress, name)
        for (name, atoms), prediction in zip(chosen.items(), predictions, strict=True)
    ]


@pytest.fixture
def noisy(frames):
    """The same with errors of known size."""
    random = np.random.default_rng(0)

    def disturb(frame):
        stress = None if frame.stress is None else frame.stress + random.normal(size=(3, 3))
        forces = frame.forces + random.normal(size=frame.forces.shape)
        return replace(frame, energy=frame.energy + random.normal(), forces=forces, stress=stress)

    return [disturb(frame) for frame in frames]
