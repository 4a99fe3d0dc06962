"""A table is the frames it was made of, however it was cut and joined; and the fast reader reads what ASE reads."""

import gzip
import re

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from tribond.data import read_table as module
from tribond.data.array_cache import ArrayCache
from tribond.data.extxyz import read_plain
from tribond.data.frame_table import FrameTable
from tribond.data.frames import read_frames
from tribond.data.read_table import read_table
from tribond.data.split import fold_of
from tribond.errors import DataError


def assert_same(one, other):
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert first.atoms == second.atoms
        assert first.atoms.pbc.tolist() == second.atoms.pbc.tolist()
        assert (first.energy, first.origin, first.source) == (second.energy, second.origin, second.source)
        for name in ("forces", "stress"):
            assert (getattr(first, name) is None) == (getattr(second, name) is None)
            if getattr(first, name) is not None:
                assert np.array_equal(getattr(first, name), getattr(second, name))


@pytest.fixture
def images(labelled_crystal, labelled_molecule):
    bare = labelled_crystal.copy()
    bare.calc = SinglePointCalculator(bare, energy=-2)
    slab = labelled_crystal.copy()
    slab.pbc = (True, False, True)
    slab.calc = SinglePointCalculator(slab, **labelled_crystal.calc.results)
    return [labelled_crystal, labelled_molecule, bare, slab]


@pytest.fixture
def frames(tmp_path, images):
    write(tmp_path / "a.traj", images)
    return read_frames(str(tmp_path / "a.traj"), source=2)


def test_frames_come_back(frames):
    table = FrameTable.of(frames)
    assert_same(table, frames)
    assert FrameTable.of(table) is table
    assert_same(table[1:3], frames[1:3])
    assert_same(table.take(np.array([3, 0, 0])), [frames[3], frames[0], frames[0]])
    assert_same(table.take(np.array([False, True, True, False])), frames[1:3])
    assert_same(FrameTable.joined([table[:1], table.take(np.zeros(0, int)), table[2:]]), [frames[0], *frames[2:]])
    assert table[-1].origin == frames[3].origin
    assert [table.has(label).tolist() for label in ("energy", "forces", "stress")] == [
        [True, True, True, True],
        [True, True, False, True],
        [True, False, False, False],
    ]
    with pytest.raises(IndexError):
        table[4]


def test_no_frames_and_no_atoms():
    assert len(FrameTable.of([])) == len(FrameTable.joined([])) == 0
    empty = Atoms()
    table = FrameTable.of([frame_of(empty), frame_of(Atoms("H"))])
    assert table.sizes.tolist() == [0, 1]
    assert len(table[0].atoms) == 0


def frame_of(atoms):
    from tribond.data.frames import Frame

    return Frame(atoms, 1.0, None, None, "here")


def test_plain_files_are_read_as_by_ase(tmp_path, images):
    for number, chosen in enumerate([images, images[:1] * 3, images[1:2]]):
        write(tmp_path / f"{number}.extxyz", chosen)
        text = (tmp_path / f"{number}.extxyz").read_text()
        assert read_plain(text, "x") is not None
    with gzip.open(tmp_path / "3.extxyz.gz", "wt") as packed:
        packed.write(text)
    patterns = str(tmp_path / "*.extxyz*")
    for settings in ({}, {"labels": ["forces"]}, {"stress_unit": "GPa", "source": 1, "labels": ["energy", "stress"]}):
        assert_same(read_table(patterns, **settings), read_frames(patterns, **settings))


ASYMMETRIC = """2
Lattice="4 0 0 0.1 4 0 0 0.2 5" Properties=species:S:1:pos:R:3:magmoms:R:1:forces:R:3:tag:S:1 energy=-3 free_energy=1 stress="1 2 3 4 5 6 7 8 9" pbc="T T T" note="a b" n=3
Cu 0 0 0 0.5 1 2 3 a
O 1e0 +2 .5 0.5 -1 -2 -3 b
"""


def test_odd_but_plain(tmp_path):
    (tmp_path / "a.xyz").write_text(ASYMMETRIC)
    assert read_plain(ASYMMETRIC, "a.xyz") is not None
    assert_same(read_table(str(tmp_path / "a.xyz")), read_frames(str(tmp_path / "a.xyz")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("O 1e0", "o 1e0"),
        ("energy=-3", "energy=nan"),
        ("energy=-3", "energy = -3"),
        ("0.5 -1 -2 -3", "0.5 -1 -2 nan"),
        ("note=", "flag note="),
        ('"a b"', "'a b'"),
        (":S:1:pos", ":S:1:Z:I:1:pos"),
        ("O 1e0 +2 .5 0.5 -1 -2 -3 b", "O 1e0 +2 .5 0.5 -1 -2 -3"),
        ("2\n", "3\n"),
        ("note", "virial"),
    ],
)
def test_what_is_not_plain_is_left_to_ase(old, new):
    assert old in ASYMMETRIC
    assert read_plain(ASYMMETRIC.replace(old, new, 1), "a.xyz") is None


def test_errors_are_those_of_read_frames(tmp_path):
    for name, text, message in [
        ("a", ASYMMETRIC.replace("energy=-3", "energy=nan"), "a.xyz#0: the energy is not finite"),
        ("b", "nonsense", "cannot be read"),
        ("c", re.sub(r"(free_)?energy=\S+|stress=\"[^\"]*\"|forces", "x=1", "1\nlabel=1\nH 0 0 0\n"), "none of its 1"),
    ]:
        (tmp_path / f"{name}.xyz").write_text(text)
        with pytest.raises(DataError, match=message):
            read_table(str(tmp_path / f"{name}.xyz"))


def test_folds(frames):
    table = FrameTable.of(frames)
    assert table.fold(7, "composition").tolist() == [fold_of(str(frame.atoms.symbols), 7) for frame in frames]


def test_the_cache_knows_what_it_depends_on(tmp_path, images, monkeypatch):
    monkeypatch.setattr(module, "WORTH_KEEPING", 1)
    file = tmp_path / "a.extxyz"
    write(file, images)
    reads = []
    original = module.read_file
    monkeypatch.setattr(module, "read_file", lambda *given: (reads.append(given), original(*given))[1])

    def read(**settings):
        before = len(reads)
        table = read_table(str(file), cache=ArrayCache(tmp_path / "cache"), **settings)
        assert_same(table, read_frames(str(file), **settings))
        return len(reads) > before

    assert read()
    assert not read()
    assert not read(source=4)
    assert read(labels=["energy"])
    assert read(stress_unit="GPa")
    before = file.stat()
    file.write_text(file.read_text().replace("-0.0", "-0.1", 1))  # as large as before
    import os

    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # and as old
    assert read()
    assert not read()
    (kept, *_) = sorted((tmp_path / "cache").iterdir())
    for damaged in (b"", kept.read_bytes()[:-40], kept.read_bytes()[:300] + b"x" + kept.read_bytes()[301:]):
        for entry in (tmp_path / "cache").iterdir():
            entry.write_bytes(damaged)
        assert read()
        assert not read()


def test_what_is_not_used_is_removed(tmp_path):
    cache = ArrayCache(tmp_path)
    for key in ("one", "two"):
        cache.get("x", key, lambda: {"a": np.arange(3)}, keep=lambda _: True)
    again = ArrayCache(tmp_path)
    assert again.get("x", "one", dict, keep=lambda _: True)["a"].tolist() == [0, 1, 2]
    again.remove_unused()
    assert [file.name for file in tmp_path.iterdir()] == ["x-one.npz"]
