"""Structures worth a label: uncertain, different from each other, different from what is known; never another choice."""

import gzip

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from scipy.spatial.distance import cdist

from tests.small_models import random_model, small_config
from tribond.errors import StructureError
from tribond.models.ensemble import Ensemble
from tribond.models.potential import Potential
from tribond.reading.chunks import read_chunks
from tribond.screening.scores import score
from tribond.screening.selection import nearest_distances, select


def test_each_choice_is_the_farthest_from_all_before():
    random = np.random.default_rng(0)
    points, known = random.normal(size=(300, 5)), random.normal(size=(40, 5))
    found = select(points, 12, known=known, min_distance=0.0)
    for step, index in enumerate(found.chosen):
        before = np.concatenate([known, points[found.chosen[:step]]])
        nearest = cdist(points, before).min(axis=1)
        assert index == np.argmax(nearest)
        assert found.distances[step] == pytest.approx(nearest.max())


def test_only_the_most_uncertain_are_looked_at_and_the_first_is_the_most_of_all():
    random = np.random.default_rng(1)
    points, spreads = random.normal(size=(200, 3)), random.random(200)
    found = select(points, 5, spreads=spreads, candidates=20)
    assert found.chosen[0] == np.argmax(spreads)
    assert set(found.chosen) <= set(np.argsort(-spreads)[:20])
    assert len(set(found.chosen)) == 5
    assert np.isnan(found.distances[0])
    assert select(points, 5, spreads=spreads).candidates == 50


def test_near_copies_of_the_most_uncertain_do_not_keep_others_out():
    random = np.random.default_rng(3)
    points = np.concatenate([1 + 1e-9 * random.normal(size=(250, 3)), random.normal(size=(300, 3))])
    spreads = np.concatenate([np.full(250, 2.0), random.random(300)])
    found = select(points, 20, spreads=spreads)
    assert len(set(found.chosen)) == 20
    assert found.candidates == 400  # twice two hundred
    assert found.chosen[0] == 0
    assert set(found.chosen[1:]) <= set(np.argsort(-spreads, kind="stable")[250:400])
    for step in range(1, 20):
        before = cdist(points[found.chosen[step : step + 1]], points[found.chosen[:step]]).min()
        assert found.distances[step] == pytest.approx(before)
    assert len(select(points, 20, spreads=spreads, candidates=200).chosen) == 1  # as it was said
    assert len(select(points[:250], 20, spreads=spreads[:250]).chosen) == 1


def test_copies_and_what_is_known_are_left_out():
    points = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 1e-8], [0.0, 4.0], [0.5, 0.1]])
    found = select(points, 5, spreads=np.array([1.0, 5.0, 5.0, 2.0, 3.0]))
    assert found.chosen.tolist() == [1, 3, 0, 4]  # without the copy of 1
    known = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])  # neighbours are 1 apart
    found = select(points, 5, known=known)
    assert found.min_distance == pytest.approx(0.1)
    assert found.near_known == 1  # the first
    assert found.chosen.tolist() == [3, 1, 4]  # and not the copy of 1
    assert select(points, 5, known=known, min_distance=0.6).chosen.tolist() == [3, 1]  # the last is 0.51 from the first
    assert select(points[:1], 3, known=known).chosen.tolist() == []


def test_distances_in_blocks_are_those_of_all_at_once():
    random = np.random.default_rng(2)
    points, others = random.normal(size=(1500, 4)), random.normal(size=(9000, 4))
    points[7] = others[8500] + 1e-9
    expected = cdist(points, others).min(axis=1)
    np.testing.assert_allclose(nearest_distances(points, others), expected, rtol=1e-9)
    own = cdist(points, points)
    np.fill_diagonal(own, np.inf)
    np.testing.assert_allclose(nearest_distances(points, points, itself=True), own.min(axis=1), rtol=1e-9)
    assert np.isinf(nearest_distances(points, others[:0])).all()


def test_descriptors_do_not_depend_on_batch_orientation_or_repetition():
    potential = Potential(random_model(small_config()))
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    found, wrong = score(potential, [atoms, turned, atoms.repeat((2, 1, 1)), bulk("Si")])
    assert wrong == {}
    np.testing.assert_allclose(found.descriptors[1:3], found.descriptors[[0, 0]], atol=1e-5)
    assert np.abs(found.descriptors[3] - found.descriptors[0]).max() > 1e-3
    assert np.isnan(found.force_spreads).all()


def test_spreads_are_the_ensembles_and_what_cannot_be_described_is_told():
    ensemble = Ensemble([Potential(random_model(small_config(), seed)) for seed in range(2)])
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    unknown = bulk("Au")
    found, wrong = score(ensemble, [unknown, atoms])
    assert found.usable.tolist() == [False, True]
    assert list(wrong) == [0]
    assert "Au" in wrong[0]
    (expected,) = ensemble.predict(atoms)
    assert found.force_spreads[1] == pytest.approx(expected.spread.max_force_spread)
    assert found.energy_stds[1] == pytest.approx(expected.spread.energy_std_per_atom)


@pytest.fixture
def frames():
    return [bulk("Si", a=5.0 + 0.01 * index) for index in range(23)]


@pytest.mark.parametrize("name", ["all.extxyz", "all.traj", "all.extxyz.gz", "all.json"])
def test_files_are_read_piece_by_piece(tmp_path, frames, name):
    write(tmp_path / name.removesuffix(".gz"), frames)
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress((tmp_path / "all.extxyz").read_bytes()))
    chunks = list(read_chunks(str(tmp_path / name), 10))
    assert [len(chunk) for chunk in chunks] == [10, 10, 3]
    read_back = [it for chunk in chunks for it in chunk]
    assert [number for number, _ in read_back] == list(range(23))
    np.testing.assert_allclose([atoms.cell.array for _, atoms in read_back], [atoms.cell.array for atoms in frames])
    for index, expected in (("3:20:5", [3, 8, 13, 18]), ("-2:", [21, 22]), ("4", [4]), ("::-11", [22, 11, 0])):
        found = [number for chunk in read_chunks(f"{tmp_path / name}@{index}", 3) for number, _ in chunk]
        assert found == expected
    with pytest.raises(StructureError, match="no structure"):
        list(read_chunks(f"{tmp_path / name}@99", 3))


def test_a_bad_structure_costs_none_of_the_others(tmp_path, frames):
    write(tmp_path / "all.extxyz", frames[:5])
    text = (tmp_path / "all.extxyz").read_text().split("\n")
    assert text[8] == "2"
    text[10] = text[10].replace("Si", "Xx")  # of structure 2
    (tmp_path / "all.extxyz").write_text("\n".join(text))
    found = [it for chunk in read_chunks(str(tmp_path / "all.extxyz"), 2) for it in chunk]
    assert [isinstance(it, StructureError) for _, it in found] == [False, False, True, False, False]
    assert len(read(tmp_path / "all.extxyz", "3:")) == 2
