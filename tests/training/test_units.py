"""Labels in another unit are told before anything is trained."""

import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

import tribond
from tribond.data.frame_table import FrameTable
from tribond.data.frames import Frame
from tribond.training.data_config import DataConfig
from tribond.training.run import train
from tribond.training.units import tell_units


@pytest.fixture(scope="module")
def rock_salts():
    """Rattled NaCl with the built-in potential's own labels."""
    potential = tribond.load_potential(device="cpu")
    made = []
    for seed in range(16):
        atoms = bulk("NaCl", "rocksalt", a=5.5 + 0.02 * seed, cubic=True)
        atoms.rattle(0.1, seed=seed)
        made.append((atoms, potential.predict(atoms)[0]))
    return made


@pytest.mark.parametrize(
    ("energy", "forces", "stress", "words"),
    [
        (1.0, 1.0, 1.0, []),
        (1.0, 1 / 51.42, 1.0, ["hartree/bohr"]),
        (1 / 27.211, 23.06, -1.0, ["hartree", "kcal/mol/Å", "of the other sign"]),
    ],
)
def test_sources_with_units_that_cannot_be(rock_salts, caplog, energy, forces, stress, words):
    frames = [Frame(atoms, energy * it.energy, forces * it.forces, stress * it.stress, "x") for atoms, it in rock_salts]
    config = DataConfig.model_validate({"train": [{"name": "dft", "files": ["x"]}]})
    tell_units(FrameTable.of(frames), config, None)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(words)
    assert all(text.startswith("dft: ") and word in text for text, word in zip(said, words, strict=True))


def test_before_anything_is_trained(rock_salts, save, make_training, tmp_path, caplog):
    labelled = []
    for atoms, it in rock_salts:
        labelled.append(atoms.copy())
        labelled[-1].calc = SinglePointCalculator(atoms, energy=it.energy, forces=it.forces / 51.422)
    save("alloys.xyz", labelled)
    config = make_training(steps=1)
    train(config, tmp_path)
    said = [record.getMessage() for record in caplog.records]
    assert sum("hartree/bohr" in text for text in said) == 1
    caplog.clear()
    train(config, tmp_path)  # a complete training is not told again
    assert not any("hartree/bohr" in record.getMessage() for record in caplog.records)
