"""`tribond relax` and `predict` of many structures, as a user has them."""

import csv
import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from ase.build import bulk
from ase.db import connect
from ase.io import read, write

SYMBOLS = ("Cu", "Al")
COUNT = 60  # enough for some seconds, so that a kill comes in between


def crystals(count):
    found = []
    for number in range(count):
        atoms = bulk(SYMBOLS[number % 2], cubic=True)
        atoms.set_cell(atoms.cell * (1 + 0.001 * number), scale_atoms=True)
        atoms.info["number"] = number
        found.append(atoms)
    return found


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def collection(tmp_path):
    write(tmp_path / "all.extxyz", crystals(6))
    return tmp_path / "all.extxyz"


def test_relax_of_many_is_that_of_each(tribond, collection, tmp_path, model_file):
    (tmp_path / "each").mkdir()
    options = ("-m", model_file, "--fmax", 1e-8, "--steps", 3)
    done = tribond("relax", f"{collection}@:", "--jobs", 2, *options)
    assert done.exit_code == 1, done.output  # not converged
    folder = tmp_path / "all_relax"
    assert "6 structures:" in done.stdout
    assert f"wrote results.csv, relaxed.extxyz, results.db and summary.json in {folder}" in done.stdout
    rows = table(folder / "results.csv")
    assert [row["label"] for row in rows] == [f"{collection}@{number}" for number in range(6)]
    tribond("relax", f"{collection}@:", "--each", "-o", tmp_path / "each", *options)
    for number, (row, relaxed) in enumerate(zip(rows, read(folder / "relaxed.extxyz", ":"), strict=True)):
        alone = json.loads((tmp_path / "each" / f"all_{number}_relaxation.json").read_text())
        assert float(row["energy_eV"]) == alone["after"]["energy_eV"]
        assert float(row["initial_volume_A3"]) == alone["before"]["volume_A3"]
        assert (row["status"] == "converged") == alone["converged"]
        assert int(row["steps"]) == alone["steps"]
        assert row["space_group"] == alone["after"]["space_group"]
        assert relaxed.info["number"] == number
        assert relaxed.info["label"] == row["label"]
        assert relaxed.get_potential_energy() == pytest.approx(alone["after"]["energy_eV"], abs=1e-7)
    with connect(folder / "results.db") as database:
        assert len(database) == 6

    before = (folder / "results.db").stat().st_mtime_ns
    again = tribond("relax", f"{collection}@:", "--jobs", 2, *options)
    assert again.stdout == done.stdout
    assert (folder / "results.db").stat().st_mtime_ns == before
    other = tribond("relax", f"{collection}@:", "--jobs", 2, *options[:-1], 4)
    assert other.exit_code == 2
    assert "steps was 3 and is now 4" in other.output


def test_folders_and_archives_with_bad_files(tribond, tmp_path, model_file):
    room = tmp_path / "room"
    room.mkdir()
    for number, atoms in enumerate(crystals(3)):
        write(room / f"{number}.cif", atoms)
    (room / "bad.cif").write_text("data_x\n_cell_length_a 3\n")
    write(room / "gold.cif", bulk("Au"))
    with tarfile.open(tmp_path / "room.tar.gz", "w:gz") as packed:
        packed.add(room, "room")
    done = tribond("relax", tmp_path / "room.tar.gz", "-m", model_file, "--steps", 1, "--structures", "relaxed.db")
    assert done.exit_code == 1
    assert f"failed: {tmp_path}/room.tar.gz/room/bad.cif" in done.output
    assert "gold.cif: the potential does not know Au" in done.output or "Au" in done.output
    rows = {row["label"].rpartition("/")[2]: row for row in table(tmp_path / "room_relax" / "results.csv")}
    assert len(rows) == 5
    assert [rows[name]["status"] for name in ("bad.cif", "gold.cif")] == ["failed", "failed"]
    assert "Au" in rows["gold.cif"]["error"]
    with connect(tmp_path / "room_relax" / "relaxed.db") as database:
        assert {row.label.rpartition("/")[2] for row in database.select()} == {"0.cif", "1.cif", "2.cif"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--each", "--jobs", "2"], "it does not go with --jobs"),
        (["--table", "a.txt"], "must end in .csv, .parquet"),
        (["--table", "x/a.csv"], "must be a name alone"),
        (["--structures", "results.db"], "is where results are kept"),
        (["--jobs", "1", "--starts", "3"], "of many structures takes --each"),
    ],
)
def test_wrong_use_of_relax(tribond, collection, model_file, options, message):
    done = tribond("relax", f"{collection}@:", "-m", model_file, *options)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_a_killed_run_goes_on_and_ends_as_if_never_killed(tmp_path, model_file):
    write(tmp_path / "all.extxyz", [atoms * (3, 3, 2) for atoms in crystals(COUNT)])
    command = [
        sys.executable,
        "-m",
        "tribond.cli.main",
        "relax",
        tmp_path / "all.extxyz@:",
        "-m",
        model_file,
        "--steps",
        "5",
    ]
    command += ["--jobs", "2", "-o"]
    with subprocess.Popen([*command, tmp_path / "killed"], stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 60
        while count(tmp_path / "killed" / "results.db") < 3 and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.02)
        os.kill(run.pid, signal.SIGKILL)
    kept = count(tmp_path / "killed" / "results.db")
    assert 3 <= kept < COUNT
    for folder in ("killed", "whole"):
        done = subprocess.run([*command, tmp_path / folder], capture_output=True, text=True, check=False)
        assert done.returncode in {0, 1}, done.stderr
    killed, whole = (table(tmp_path / folder / "results.csv") for folder in ("killed", "whole"))
    assert len(killed) == count(tmp_path / "killed" / "results.db") == COUNT
    for row in (*killed, *whole):
        row.pop("seconds")
    assert killed == whole
    assert (tmp_path / "killed/relaxed.extxyz").read_bytes() == (tmp_path / "whole/relaxed.extxyz").read_bytes()


def count(database):
    if not database.exists():
        return 0
    try:
        return connect(str(database)).count()
    except Exception:  # noqa: BLE001, it is being made
        return 0


def test_predict_of_many_is_that_of_one_process(tribond, collection, tmp_path, model_file):
    one, many = (tmp_path / name for name in ("one.json", "many.json"))
    assert tribond("predict", collection, "-m", model_file, "-o", one).exit_code == 0
    done = tribond("predict", collection, "-m", model_file, "-o", many, "--jobs", 2)
    assert done.exit_code == 0, done.output
    assert json.loads(one.read_text()) == json.loads(many.read_text())
    assert not (tmp_path / "many.json.parts").exists()


def test_predict_into_tables(tribond, collection, tmp_path, model_file):
    write(tmp_path / "gold.cif", bulk("Au"))
    done = tribond("predict", collection, tmp_path / "gold.cif", "-m", model_file, "-o", tmp_path / "t.csv")
    assert done.exit_code == 1
    assert "7 structures: 6 ok, 1 failed" in done.output
    rows = table(tmp_path / "t.csv")
    assert [row["status"] for row in rows] == ["ok"] * 6 + ["failed"]
    done = tribond("predict", collection, "-m", model_file, "-o", tmp_path / "t.db", "-q")
    assert (done.exit_code, done.output) == (0, "")
    energies = [row.energy for row in connect(str(tmp_path / "t.db")).select()]
    assert energies == [float(row["energy_eV"]) for row in rows[:6]]
    done = tribond("predict", collection, "-m", model_file, "--jobs", 2)
    assert done.exit_code == 2
    assert "takes a file for the results" in " ".join(done.output.split())


def test_results_do_not_become_inputs_of_the_next_call(tribond, tmp_path, model_file):
    room = tmp_path / "room"
    room.mkdir()
    write(room / "a.cif", bulk("Cu"))
    for _ in range(2):
        done = tribond("predict", room, "-m", model_file, "-o", room / "out.db")
        assert "1 structures: 1 ok" in done.output
    for _ in range(2):
        done = tribond("relax", room, "-m", model_file, "--steps", 1, "--jobs", 1, "-o", room / "out")
        assert "2 structures:" in done.output  # a.cif, and out.db of predict
    done = tribond("relax", room, "-m", model_file, "--jobs", 1, "-o", room)
    assert done.exit_code == 2
    assert "results would go among the inputs" in done.output


def test_a_table_of_somebody_else_is_found_before_anything_is_computed(tribond, collection, tmp_path, model_file):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text("mine\n")
    done = tribond("relax", f"{collection}@:", "-m", model_file, "--jobs", 1, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "results.csv is there already and does not belong to this calculation" in done.output
    assert not (tmp_path / "out" / "results.db").exists()


def test_names_that_are_no_text_and_what_databases_hold_besides(tribond, tmp_path, model_file):
    atoms = bulk("Cu")
    atoms.set_initial_magnetic_moments([1.0])
    with connect(tmp_path / "in.db") as database:
        database.write(atoms, name="fcc", data={"by": "hand"})
    (tmp_path / "room").mkdir()
    write(tmp_path / "room" / "x.cif", atoms)
    (tmp_path / "room" / "x.cif").rename(os.fsdecode(os.fsencode(tmp_path / "room") + b"/a\n\xff.cif"))
    arguments = ("predict", tmp_path / "in.db", tmp_path / "room", "-m", model_file, "-o")
    for name in ("t.csv", "t.db"):
        done = tribond(*arguments, tmp_path / name)
        assert done.exit_code == 0, done.output
    assert [row["label"] for row in table(tmp_path / "t.csv")] == [
        str(tmp_path / "in.db"),
        f"{tmp_path}/room/a\\x0a\\xff.cif",
    ]
    first, second = connect(str(tmp_path / "t.db")).select()
    assert (first.name, first.data["by"]) == ("fcc", "hand")
    assert float(table(tmp_path / "t.csv")[0]["energy_eV"]) == first.energy == second.energy


def test_errors_of_archives_do_not_name_the_folder_where_they_lie_for_a_while(tribond, tmp_path, model_file):
    (tmp_path / "bad.cif").write_text("data_x\n_cell_length_a 3\n")
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        packed.add(tmp_path / "bad.cif", "bad.cif")
    tribond("predict", tmp_path / "a.tar", "-m", model_file, "-o", tmp_path / "t.csv")
    (row,) = table(tmp_path / "t.csv")
    assert row["label"] == f"{tmp_path}/a.tar/bad.cif"
    assert "tribond-" not in row["error"].replace(str(tmp_path), "")


def test_other_structures_in_the_folder_are_told(tribond, collection, tmp_path, model_file):
    options = ("-m", model_file, "--steps", 1, "--jobs", 1, "-o", tmp_path / "out")
    tribond("relax", f"{collection}@:3", *options)
    done = tribond("relax", f"{collection}@3:", *options)
    assert "results.db holds 3 more structures of earlier calls, which are not in the other files" in done.output


@pytest.mark.parametrize("name", ["7", "1e5", "True"])
def test_names_that_look_like_numbers(tribond, tmp_path, monkeypatch, model_file, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, bulk("Cu"), format="cif")
    done = tribond("predict", name, "--format", "cif", "-m", model_file, "-o", "t.db")
    assert done.exit_code == 0, done.output
    assert [row.label for row in connect("t.db").select()] == [f"./{name}"]
