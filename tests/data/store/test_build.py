"""A store holds what the files hold, survives being killed, and says what it left out and what is doubtful."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from tribond.data.joined_frames import JoinedFrames, joined
from tribond.data.read_table import read_table
from tribond.data.split import fold_of, fold_of_text
from tribond.data.store import build as module
from tribond.data.store.build import BuildSettings, build
from tribond.data.store.columns import COLUMNS
from tribond.data.store.record import structure_hash
from tribond.data.store.select import read_store
from tribond.data.store.settings import ReadSettings
from tribond.data.store.store import Store
from tribond.data.store.writer import MOST_LEVELS, damaged_files
from tribond.errors import ConfigError, DataError
from tribond.graph.neighbors import neighbor_list
from tribond.units import EV_PER_A3_TO_GPA

SKIP = BuildSettings(on_error="skip")


def report(store):
    return json.loads((store.path / "report.json").read_text())


def assert_same(one, other):
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert first.atoms == second.atoms
        assert first.atoms.pbc.tolist() == second.atoms.pbc.tolist()
        assert first.energy == second.energy
        assert np.array_equal(first.forces, second.forces)
        assert np.array_equal(first.stress, second.stress)


@pytest.fixture
def files(tmp_path, alloys):
    for number in range(3):
        write(tmp_path / f"{number}.extxyz", alloys(20, seed=number))
    return [str(tmp_path / f"{number}.extxyz") for number in range(3)]


def test_a_store_is_the_files_it_was_made_of(tmp_path, files):
    store = build(tmp_path / "store", files, BuildSettings(cutoffs=(5.0, 3.0)))
    table = read_table(files)
    assert_same(store, table)
    assert_same(store[5:9], table[5:9])
    rows = np.array([59, 3, 3, 17])
    assert_same(store.take(rows), table.take(rows))
    assert_same(joined([store.take(rows), table[:2]]), [*table.take(rows), *table[:2]])
    for name in ("largest_forces", "largest_stresses", "energies", "sizes"):
        assert np.array_equal(getattr(store, name), getattr(table, name))
    for cutoff in (5.0, 3.0):
        counts = [len(neighbor_list(f.atoms.positions, f.atoms.cell.array, f.atoms.pbc, cutoff)[0]) for f in table]
        assert store.known_edges(cutoff).tolist() == counts
    assert store.known_edges(4.0) is None
    assert store.fold(5, "composition").tolist() == [fold_of(str(frame.atoms.symbols), 5) for frame in table]
    ids = [f"m-{seed}-{index // 3}" for seed in range(3) for index in range(20)]
    assert store.fold(5, "id").tolist() == [fold_of_text(name, 5) for name in ids]
    assert store.origin(21) == f"{files[1]}#1 (m-1-0)"
    assert not damaged_files(store)
    assert_same(pickle.loads(pickle.dumps(store)), table)  # worker processes get it so


def test_sets_that_were_joined_cut_and_joined_again(tmp_path, files):
    store, table = build(tmp_path / "store", files[:1]), read_table(files[1])
    both = joined([store, table])
    assert isinstance(both, JoinedFrames)
    rows = np.array([30, 2, 25, 7])
    again = joined([both.take(rows), store.take(np.array([1]))])
    assert len(again.parts) == 2
    expected = [*(both[int(row)] for row in rows), store[1]]
    assert_same(again, expected)
    numbers = both.composition.elements().tolist()
    assert np.array_equal(again.composition.matrix(numbers), both.composition.matrix(numbers)[[30, 2, 25, 7, 1]])
    assert again.known_edges(5.0) is None  # nobody has counted those of the file
    assert store.take(rows[rows < 20]).known_edges(5.0).tolist() == store.known_edges(5.0)[rows[rows < 20]].tolist()


def test_what_cannot_be_used_stops_or_is_listed(tmp_path, alloys):
    images = alloys(4)
    images[1].positions[1] = images[1].positions[0]  # on top of each other
    images[2].calc = None
    write(tmp_path / "a.extxyz", images)
    with pytest.raises(DataError, match=r"a.extxyz#1 \(m-0-0\): .*--on-error skip"):
        build(tmp_path / "store", [str(tmp_path / "a.extxyz")])
    with pytest.raises(DataError, match="is not finished"):
        Store(tmp_path / "store")
    store = build(tmp_path / "store", [str(tmp_path / "a.extxyz")], SKIP)  # goes on
    assert [frame.origin[-2:] for frame in store] == ["#0", "#3"]
    assert report(store)["skipped"] == {"unusable": 1, "unlabelled": 1}
    listed = [json.loads(line) for line in (store.path / "skipped.jsonl").read_text().splitlines()]
    assert [(it["number"], it["kind"]) for it in listed] == [(1, "unusable"), (2, "unlabelled")]


@pytest.mark.parametrize("cutoffs", [(float("nan"),), (5.0, float("inf")), (-1.0,), (), (5.0, 5.00000001)])
def test_cutoffs_that_make_no_sense(tmp_path, files, cutoffs):
    with pytest.raises(ConfigError, match="cutoffs must be numbers larger than zero"):
        build(tmp_path / "store", files, BuildSettings(cutoffs=cutoffs))


def test_more_levels_of_theory_than_a_store_keeps(tmp_path, files, monkeypatch):
    assert np.iinfo(COLUMNS["level"]).max == MOST_LEVELS - 1
    monkeypatch.setattr("tribond.data.store.writer.MOST_LEVELS", 2)
    assert build(tmp_path / "two", [f"A={files[0]}", f"B={files[1]}"]).levels == ["A", "B"]
    with pytest.raises(DataError, match=r"2.extxyz: 'C' would be level of theory 3 of the store"):
        build(tmp_path / "three", [f"{name}={file}" for name, file in zip("ABC", files, strict=True)])


def test_a_split_by_id_asks_only_for_the_ids_that_it_needs(tmp_path, alloys, files):
    images = alloys(4)
    for atoms in images:
        del atoms.info["material_id"]
    write(tmp_path / "none.extxyz", images)
    store = build(tmp_path / "store", [f"A={tmp_path / 'none.extxyz'}", f"B={files[0]}"])
    chosen = read_store(store.path, level="B", labels=("energy",))
    assert chosen.fold(5, "id").tolist() == [fold_of_text(f"m-0-{index // 3}", 5) for index in range(20)]
    assert chosen.fold(5, "id", np.array([19, 0])).tolist() == chosen.fold(5, "id")[[19, 0]].tolist()
    with pytest.raises(DataError, match=r"1 structures of .* have no id \(first .*none.extxyz#2\)"):
        store.fold(5, "id", np.array([7, 2]))


def test_nothing_left_is_an_error(tmp_path):
    write(tmp_path / "a.extxyz", [Atoms("H"), Atoms("He")])
    with pytest.raises(DataError, match="no structure is left .*2 unlabelled"):
        build(tmp_path / "store", [str(tmp_path / "a.extxyz")], SKIP)


def test_killed_anywhere_it_goes_on_to_the_same_store(tmp_path, files, monkeypatch):
    whole = build(tmp_path / "whole", files)
    monkeypatch.setattr(module, "COMMIT_FRAMES", 7)
    real = module.StoreWriter.commit
    commits = 0

    class Killed(BaseException):
        pass

    def commit(self, state):
        nonlocal commits
        commits += 1
        real(self, state)
        if commits % 3 == 2:
            raise Killed

    monkeypatch.setattr(module.StoreWriter, "commit", commit)
    for _ in range(20):
        try:
            store = build(tmp_path / "store", files)
            break
        except Killed:
            with (tmp_path / "store" / "energy.npy").open("ab") as file:
                file.write(b"what was not committed")
    assert commits > 6
    assert store.manifest == whole.manifest  # with the checksums of all files


@pytest.mark.slow
def test_a_killed_process_goes_on(tmp_path, alloys):
    for number in range(40):
        write(tmp_path / f"{number:02}.extxyz", alloys(50, seed=number))
    sources = [str(tmp_path / "*.extxyz")]
    code = (
        "import sys, pathlib; from tribond.data.store import build as b; b.COMMIT_FRAMES = 20; "
        "b.build(pathlib.Path(sys.argv[1]), sys.argv[2:])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store"), *sources]
    kills = 0
    while True:
        process = subprocess.Popen(command)
        before = time.monotonic()
        while process.poll() is None:
            if (tmp_path / "store" / "progress.json").exists() and time.monotonic() - before > 4 and kills < 3:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.02)
        if process.wait() == 0:
            break
    assert Store(tmp_path / "store").manifest == build(tmp_path / "whole", sources).manifest


def test_a_store_of_something_else_is_not_touched(tmp_path, files):
    build(tmp_path / "store", files[:2])
    with pytest.raises(ConfigError, match="other settings or files .*files"):
        build(tmp_path / "store", files)
    with pytest.raises(ConfigError, match="cutoffs"):
        build(tmp_path / "store", files[:2], BuildSettings(cutoffs=(4.0,)))
    assert len(build(tmp_path / "store", files, restart=True)) == 60


@pytest.mark.parametrize("name", ["thesis.tex", "energy.npy", "ids.txt", "settings.json", "store.json"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_of_something_else_is_not_touched(tmp_path, files, name, restart):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / name).write_text('{"cutoffs": [5.0]}')
    with pytest.raises(ConfigError, match=rf"holds other files \({name}\) and no settings.json of a store"):
        build(mine, files, restart=restart)
    assert (mine / name).read_text() == '{"cutoffs": [5.0]}'


def test_anew_removes_the_old_store_and_nothing_else(tmp_path, files):
    path = build(tmp_path / "store", files, BuildSettings(cutoffs=(4.0,))).path
    for name in ("notes.json", "mine.npy"):
        (path / name).write_text("[]")
    assert len(build(path, files[:1], restart=True)) == 20
    assert (path / "notes.json").read_text() == (path / "mine.npy").read_text() == "[]"
    assert not (path / "edges_4.npy").exists()


@pytest.mark.parametrize("restart", [False, True])
def test_a_store_is_not_made_of_files_in_its_folder(tmp_path, files, restart):
    store = build(tmp_path / "store", files)
    inside = store.path / "source.extxyz"
    inside.write_bytes((tmp_path / "0.extxyz").read_bytes())
    with pytest.raises(ConfigError, match="source.extxyz lies in the folder of the store"):
        build(store.path, [str(inside)], restart=restart)
    assert inside.exists()
    assert not damaged_files(Store(store.path))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: os.truncate(path / "atoms.bin", 1000), "atoms.bin has 1000 bytes"),
        (lambda path: (path / "size.npy").unlink(), "size.npy cannot be read"),
        (lambda path: (path / "energy.npy").write_bytes(b"\x80\x04pickle"), "energy.npy cannot be read"),
        (lambda path: (path / "store.json").write_text("{"), "store.json is damaged"),
        (lambda path: (path / "store.json").write_text('{"format": 99}'), "has version 99"),
    ],
)
def test_damage_is_seen(tmp_path, files, damage, message):
    path = build(tmp_path / "store", files[:1]).path
    damage(path)
    with pytest.raises(DataError, match=message):
        Store(path).energies  # noqa: B018


def test_a_flipped_bit_is_found_by_the_checksums(tmp_path, files):
    store = build(tmp_path / "store", files[:1])
    content = bytearray((store.path / "atoms.bin").read_bytes())
    content[500] ^= 1
    (store.path / "atoms.bin").write_bytes(content)
    assert damaged_files(store) == ["atoms.bin"]


def test_duplicates(tmp_path, alloys):
    images = alloys(3)
    again = images[1].copy()
    again.calc = SinglePointCalculator(again, **(images[1].calc.results | {"energy": 5.0}))
    write(tmp_path / "a.extxyz", [*images, images[0], again])
    source = str(tmp_path / "a.extxyz")
    found = report(build(tmp_path / "keep", [source]))["duplicates"]
    assert (found["count"], found["contradicting"]) == (2, 1)
    assert [origin[-11:] for origin in found["examples"][0]] == ["#0 (m-0-0)"[-11:], "#3 (m-0-0)"[-11:]] or len(
        found["examples"]
    ) == 2
    store = build(tmp_path / "drop", [source], BuildSettings(duplicates="drop"))
    assert len(store) == 3
    assert report(store)["skipped"] == {"duplicate": 2}


@pytest.mark.parametrize("a", [5.431, 3.615, 5.6402, 4.0])
def test_the_noise_of_computing_does_not_hide_a_duplicate(a):
    """a/4 in four digits lies where rounding to the nearest goes up or down."""
    places = np.array([[0, 0, 0], [1, 1, 1]]) * a / 4
    numbers, pbc, cell = np.array([14, 14], dtype=np.uint8), np.ones(3, dtype=bool), np.eye(3) * a
    hashes = {structure_hash(numbers, places + noise, cell, pbc) for noise in (-1e-10, 0.0, 1e-10)}
    assert len(hashes) == 1
    assert structure_hash(numbers, places + 2e-4, cell, pbc) not in hashes


def test_outliers_are_told(tmp_path, alloys):
    images = alloys(80)
    images[33].calc.results["energy"] += 400.0
    images[44].calc.results["forces"][0, 0] = 80.0
    write(tmp_path / "a.extxyz", images)
    found = report(build(tmp_path / "store", [str(tmp_path / "a.extxyz")]))["outliers"]
    (energy,) = [about for name, about in found.items() if name.startswith("energy")]
    assert [example.partition("#")[2].split()[0] for example in energy["examples"]] == ["33"]
    assert found["force beyond 50 eV/Å"]["count"] == 1


@pytest.mark.parametrize(
    ("factor", "unit", "meant"),
    [
        (-1.0, None, "eV/A\\^3 of the other sign"),
        (EV_PER_A3_TO_GPA, None, "look like GPa, and were read as eV/A\\^3: --stress-unit GPa"),
        (-10 * EV_PER_A3_TO_GPA, None, "--stress-unit kbar"),
        (10 * EV_PER_A3_TO_GPA, "kbar", "kbar of the other sign"),
    ],
)
def test_a_wrong_unit_or_sign_of_stresses_stops_the_build(tmp_path, volumes, factor, unit, meant):
    write(tmp_path / "a.extxyz", volumes(factor))
    settings = BuildSettings(ReadSettings(stress_unit=unit))
    with pytest.raises(DataError, match=meant):
        build(tmp_path / "store", [str(tmp_path / "a.extxyz")], settings)
    accepting = BuildSettings(ReadSettings(stress_unit=unit), accept_units=True)
    verdicts = report(build(tmp_path / "store", [str(tmp_path / "a.extxyz")], accepting))["units"]
    assert [it["wrong"] for it in verdicts if it["label"] == "stress"] == [True]


@pytest.mark.parametrize(("factor", "unit"), [(1.0, None), (EV_PER_A3_TO_GPA, "GPa"), (-10 * EV_PER_A3_TO_GPA, "kbar")])
def test_right_units_are_confirmed(tmp_path, volumes, factor, unit):
    write(tmp_path / "a.extxyz", volumes(factor))
    store = build(tmp_path / "store", [str(tmp_path / "a.extxyz")], BuildSettings(ReadSettings(stress_unit=unit)))
    (stress,) = [it for it in report(store)["units"] if it["label"] == "stress"]
    assert stress["pairs"] >= 16
    assert stress["ratio"] == pytest.approx(1.0, abs=0.05)


def test_gradients_taken_for_forces_are_told(tmp_path, alloys):
    start = alloys(1)[0]
    images = []
    for step in range(12):
        atoms = start.copy()
        atoms.positions += 0.01 * step * start.calc.results["forces"] / np.abs(start.calc.results["forces"]).max()
        from tests.data.store.conftest import emt

        images.append(emt(atoms))
    right = tmp_path / "right.extxyz"
    write(right, images)
    (forces,) = [it for it in report(build(tmp_path / "s1", [str(right)]))["units"] if it["label"] == "forces"]
    assert forces["ratio"] == pytest.approx(1.0, abs=0.05)
    for atoms in images:
        atoms.calc.results["forces"] *= -1
    write(tmp_path / "wrong.extxyz", images)
    with pytest.raises(DataError, match="gradients, of the other sign"):
        build(tmp_path / "s2", [str(tmp_path / "wrong.extxyz")])


def test_unrelated_structures_tell_nothing(tmp_path, files):
    store = build(tmp_path / "store", files)
    assert all(it["ratio"] is None and not it["wrong"] for it in report(store)["units"])


def test_sources_without_a_level_are_told(tmp_path, files):
    notes = []
    build(tmp_path / "several", files, on_note=notes.append)
    build(tmp_path / "one", [str(tmp_path / "[012].extxyz")], on_note=notes.append)
    build(tmp_path / "named", [f"PBE={file}" for file in files], on_note=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("3 sources say nothing of their level of theory")


def test_levels_of_theory(tmp_path, files):
    store = build(tmp_path / "store", [f"PBE={files[0]}", f"r2SCAN={files[1]}"])
    assert store.levels == ["PBE", "r2SCAN"]
    assert [it["structures"] for it in report(store)["levels"]] == [20, 20]
    with pytest.raises(DataError, match=r"several levels of theory.*PBE, r2SCAN"):
        read_store(store.path, level=None, labels=("energy",))
    with pytest.raises(DataError, match="no level of theory 'pbe'"):
        read_store(store.path, level="pbe", labels=("energy",))
    chosen = read_store(store.path, level="r2SCAN", labels=("energy", "forces"), source=3)
    assert (len(chosen), chosen[0].stress, chosen[0].source) == (20, None, 3)
    assert np.array_equal(chosen[0].forces, store[20].forces)
    assert np.isnan(chosen.largest_stresses).all()
