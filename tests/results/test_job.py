"""A folder knows the calculation that it holds."""

import json

import pytest
from ase.build import bulk
from ase.constraints import FixAtoms
from filelock import FileLock

from tribond.errors import ConfigError
from tribond.results.job import open_job
from tribond.results.record import fingerprint

SETTINGS = {"temperature_K": 300.0, "stages": [{"steps": 5}]}
INPUTS = {"a.cif": "1234"}


def begin(folder, settings=SETTINGS, inputs=INPUTS, **more):
    return open_job(folder, "md", settings, inputs, **more)


def test_a_new_folder_is_made_and_the_same_call_goes_on(tmp_path):
    with begin(tmp_path / "deep" / "run") as job:
        assert not job.resumed
        job.file("thermo.csv").write_text("half")
    with begin(tmp_path / "deep" / "run", inputs={"moved/a.cif": "1234"}) as job:
        assert job.resumed
        assert not job.finished
        assert job.file("thermo.csv").read_text() == "half"


def test_a_finished_calculation_shows_its_result_again(tmp_path):
    with begin(tmp_path) as job:
        job.file("table.csv").write_text("x")
        job.file("never_written.png")
        written = job.finish({"V0_A3": 160.25})
    with begin(tmp_path) as job:
        assert job.finished
        assert job.summary() == written
    assert written["V0_A3"] == 160.25
    assert written["settings"] == SETTINGS
    assert written["outputs"] == ["table.csv"]
    assert {"tribond", "python", "ase", "torch"} <= written["versions"].keys()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {**SETTINGS, "temperature_K": 400.0}}, r"temperature_K was 300.0 and is now 400.0"),
        ({"settings": {"temperature_K": 300.0, "stages": [{"steps": 6}]}}, r"stages\[0\].steps was 5 and is now 6"),
        ({"settings": SETTINGS | {"seed": 1}}, "seed was not given and is now 1"),
        ({"inputs": {"a.cif": "4321"}}, "its input was another"),
        ({"model": {"name": "x", "weights_sha256": "b"}}, "model.weights_sha256 was a and is now b"),
    ],
)
def test_another_calculation_is_refused_with_what_differs(tmp_path, change, words):
    model = {"model": {"name": "y", "weights_sha256": "a"}} if "model" in change else {}
    with begin(tmp_path, **model) as job:
        job.file("kept").write_text("x")
    with pytest.raises(ConfigError, match=words), begin(tmp_path, **change):
        pass
    assert (tmp_path / "kept").exists()
    with begin(tmp_path, **change, restart=True) as job:
        assert not job.resumed
    assert not (tmp_path / "kept").exists()


def test_the_name_and_place_of_a_model_do_not_matter(tmp_path):
    with begin(tmp_path, model={"name": "default", "device": "cpu", "weights_sha256": "a"}):
        pass
    with begin(tmp_path, model={"name": "tribond-mp-2", "device": "cuda", "weights_sha256": "a"}) as job:
        assert job.resumed


def test_files_of_others_are_neither_overwritten_nor_removed(tmp_path):
    (tmp_path / "thermo.csv").write_text("mine")
    with begin(tmp_path) as job, pytest.raises(ConfigError, match=r"thermo.csv is there already"):
        job.file("thermo.csv")
    with begin(tmp_path, restart=True):
        assert (tmp_path / "thermo.csv").read_text() == "mine"


def test_restart_deletes_nothing_outside_of_the_folder(tmp_path):
    (tmp_path / "precious").write_text("x")
    with begin(tmp_path / "run"):
        pass
    record = json.loads((tmp_path / "run" / "job.json").read_text())
    record["outputs"].append("../precious")
    (tmp_path / "run" / "job.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="outside"), begin(tmp_path / "run", restart=True):
        pass
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}'])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "job.json").write_text(content)
    with pytest.raises(ConfigError, match=r"job\.json"), begin(tmp_path):
        pass


def test_one_process_at_a_time(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(ConfigError, match="another process"), begin(tmp_path):
        pass


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigError, match="is a file"), begin(tmp_path / "x"):
        pass


def test_a_fingerprint_is_that_of_the_structure():
    atoms = bulk("Cu")
    same = atoms.copy()
    same.info["comment"] = "other"
    moved = atoms.copy()
    moved.positions[0, 0] += 1e-15
    fast = atoms.copy()
    fast.set_momenta([[0, 0, 1e-9]])
    assert fingerprint(atoms) == fingerprint(same)
    assert len({fingerprint(it) for it in (atoms, moved, fast)}) == 3


def test_a_fingerprint_holds_all_of_a_long_constraint():
    atoms = bulk("Cu") * (13, 13, 13)
    found = []
    for odd in (1000, 1001):
        atoms.set_constraint(FixAtoms([*range(1000), odd, *range(1100, 2100)]))
        found.append(fingerprint(atoms))
    assert found[0] != found[1]


def test_a_mistake_in_the_settings_does_not_keep_the_folder(tmp_path):
    """Settings are checked by the calculation, when the folder has its record already."""
    with begin(tmp_path):
        pass
    with begin(tmp_path, {"temperature_K": 400.0}) as job:
        assert not job.resumed
        job.file("thermo.csv").write_text("a result")
    with pytest.raises(ConfigError, match="temperature_K was 400.0 and is now 300.0"), begin(tmp_path):
        pass


def test_what_is_no_finite_number_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="temperature_K must be a finite number, not nan"):
        begin(tmp_path, {"temperature_K": float("nan")}).__enter__()
    with begin(tmp_path):
        pass


def test_a_restart_keeps_what_another_verb_has_left(tmp_path):
    with begin(tmp_path) as job:
        job.file("trajectory.traj").write_text("a week")
    for restart in (False, True):
        with pytest.raises(ConfigError, match="results of `tribond md`"):
            open_job(tmp_path, "rdf", {}, INPUTS, restart=restart).__enter__()
    assert (tmp_path / "trajectory.traj").read_text() == "a week"


def test_what_is_discarded_is_our_own(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "notes.txt").write_text("mine")
    for folder in ("room", "other"):
        with open_job(tmp_path / folder, "predict", {}, {}) as job:
            job.file("a.db").touch()
            job.discard()
    assert [path.name for path in (tmp_path / "room").iterdir()] == ["notes.txt"]
    assert not (tmp_path / "other").exists()
