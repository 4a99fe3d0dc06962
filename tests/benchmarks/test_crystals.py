import numpy as np
import pytest

from benchmarks.speed.cases import CASES, alone
from benchmarks.speed.codes import CODES
from benchmarks.speed.crystals import mixed, named
from tribond.graph.neighbors import neighbor_list
from tribond.nn.config import MATERIALS_PROJECT_ELEMENTS


def test_names_say_what_is_built():
    assert str(named("Si 64").symbols) == "Si64"
    assert len(named("LiFePO4 224")) == 224
    assert named("Si 64 dense").get_volume() == pytest.approx(named("Si 64").get_volume() / 3)
    with pytest.raises(ValueError, match="no cube of 100"):
        named("Si 100")
    with pytest.raises(ValueError, match="not 100"):
        named("LiFePO4 100")


def test_every_structure_that_is_asked_for_can_be_built():
    small = [it.structure for it in alone(list(CODES)) if int(it.structure.split()[1]) < 10_000]
    for name in {*small, *(case.structure for case in CASES if case.structure)}:
        assert len(named(name)) == int(name.split()[1])


def test_larger_systems_are_compared_with_small_ones_as_dense():
    references = {it.structure: it.reference for it in alone(list(CODES)) if it.code == "tribond"}
    assert references["Si 64"] is references["Si 512"] is references["Si 512 dense"] is None
    assert references["Si 97336"] == "Si 512"
    assert references["Si 4096 dense"] == "Si 512 dense"


def test_mixed_crystals_are_many_kinds_and_always_the_same():
    crystals = mixed(64)
    assert len(crystals) == 64
    assert len({str(atoms.symbols) for atoms in crystals}) > 30
    assert {4, 8, 28, 56} <= {len(atoms) for atoms in crystals}
    assert {symbol for atoms in crystals for symbol in atoms.symbols} <= set(MATERIALS_PROJECT_ELEMENTS)
    assert all((one.positions == other.positions).all() for one, other in zip(crystals, mixed(64), strict=True))


def test_mixed_crystals_are_crystals():
    for atoms in mixed(64):
        centres, _, _, lengths = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 5.0)
        assert lengths.min() > 1.2  # Si-O in quartz has 1.6 Å, and atoms are moved
        assert np.bincount(centres, minlength=len(atoms)).min() >= 8
