import pytest
from ase.build import bulk

from tribond.speed import measure
from tribond.speed.measure import Measurement, Stopwatch, limit_seconds, too_much


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(measure, "LONG_ENOUGH", 0.0)


def test_a_measurement_knows_its_size_and_leaves_the_structure_alone(potential):
    atoms = bulk("Cu", cubic=True)
    before = atoms.positions.copy()
    found = Stopwatch(potential).measure(atoms)
    assert (found.atoms, found.bonds) == (4, 4 * 42)  # fcc copper has 42 neighbours within 5 Å
    assert len(found.seconds) == measure.FEWEST
    assert 0 < found.median == sorted(found.seconds)[1]
    assert found.seconds_per_atom == found.median / 4
    assert found.peak_bytes >= 0
    assert (atoms.positions == before).all()


def test_long_steps_are_not_repeated(potential, monkeypatch):
    monkeypatch.setattr(measure, "TOO_LONG", 0.0)
    assert len(Stopwatch(potential).measure(bulk("Cu")).seconds) == 1


def test_memory_is_proportional_to_the_atoms():
    last = Measurement(atoms=100, bonds=0, seconds=(1.0,), peak_bytes=1000, backend="")
    assert too_much(last, 800, free=20_000) is None
    assert too_much(last, 800, free=9_000) == (8000, 9000)  # a fifth is left for what nobody sees
    assert too_much(last, 800, free=None) is None


def test_the_limit_is_proportional_to_the_bonds(potential):
    assert limit_seconds(potential, 200, 1e9) == pytest.approx(2 * limit_seconds(potential, 100, 1e9))
