"""Names of many files: patterns, folders and archives."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from tribond.errors import ConfigError, DataError
from tribond.reading.collections import files_of
from tribond.reading.names import split_index


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "run"
    (inside / "b").mkdir(parents=True)
    for name in ("b/POSCAR", "a.cif", "c.extxyz.gz"):
        write(inside / name, bulk("Cu"), format={"b": "vasp", "a": "cif", "c": "extxyz"}[name[0]])
    for name in ("INCAR", "notes.txt", ".hidden.cif", "job.json", "plot.png"):
        (inside / name).write_text("nothing")
    return inside


def test_of_a_folder_the_files_named_like_structures_are_taken_and_the_others_counted(folder):
    with files_of([f"{folder}@:", str(folder / "a.cif")]) as found:
        assert found.labels == [f"{folder}/{name}" for name in ("a.cif", "b/POSCAR", "c.extxyz.gz")] + [
            f"{folder}/a.cif"
        ]
        assert [split_index(name)[1] for name in found.names] == [":", ":", ":", None]
        assert found.notes == [f"{folder}: 4 files that are not named like structures are left out"]
        assert not found.beside


def test_a_pattern_and_a_file_that_is_named_like_one(folder):
    (folder / "x[1].cif").write_text((folder / "a.cif").read_text())
    with files_of([f"{folder}/*.cif", f"{folder}/x[1].cif"]) as found:
        assert [Path(name).name for name in found.names] == ["a.cif", "x[1].cif", "x[1].cif"]
        assert found.beside
    with files_of([f"{folder}/*.mcif", f"{folder}/a.cif"]) as found:
        assert len(found.names) == 1
        ((name, error),) = found.bad
        assert name == f"{folder}/*.mcif"
        assert isinstance(error, DataError)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "zip"])
def test_archives_are_unpacked_for_a_while_and_named_by_what_they_are(folder, tmp_path, ending):
    archive = tmp_path / f"many.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            packed.write(folder / "a.cif", "deep/a.cif")
    else:
        with tarfile.open(archive, "w:gz" if ending == "tar.gz" else "w") as packed:
            packed.add(folder / "a.cif", "deep/a.cif")
    with files_of([str(archive)]) as found:
        assert found.labels == [f"{archive}/deep/a.cif"]
        assert not found.beside
        inside = Path(found.names[0])
        assert inside.read_bytes() == (folder / "a.cif").read_bytes()
    assert not inside.exists()


def test_archives_that_are_broken_or_lead_elsewhere_are_refused(folder, tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no archive" * 100)
    with tarfile.open(tmp_path / "b.tar", "w") as packed:
        packed.add(folder / "a.cif", "../../outside.cif")
    with files_of([str(tmp_path / name) for name in ("a.tar", "b.tar")]) as found:
        assert not found.names
        assert all(str(error).startswith("it cannot be unpacked") for _, error in found.bad)
        assert len(found.bad) == 2
    assert not (tmp_path.parent / "outside.cif").exists()


def test_an_empty_folder_says_what_to_do(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with files_of([str(tmp_path)]) as found:
        ((_, error),) = found.bad
        assert str(error).startswith("no file there is named like a structure; name files or a pattern")


def test_results_in_a_folder_are_no_inputs(folder):
    with files_of([str(folder)], [folder / "b"]) as found:
        assert found.labels == [f"{folder}/a.cif", f"{folder}/c.extxyz.gz"]
    with pytest.raises(ConfigError, match="results would go among the inputs"), files_of([str(folder / "b")], [folder]):
        pass


def test_an_encrypted_archive_is_one_bad_name(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.write(folder / "a.cif", "a.cif")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with files_of([str(tmp_path / "a.zip")]) as found:
        ((_, error),) = found.bad
        assert "encrypted" in str(error)


SCRIPT = """
import sys, time
from tribond.reading.collections import files_of
with files_of([sys.argv[1]]) as found:
    print(found.names[0], flush=True)
    time.sleep(60)
"""


def test_sigterm_leaves_nothing_unpacked(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        packed.add(folder / "a.cif", "a.cif")
    command = [sys.executable, "-c", SCRIPT, tmp_path / "a.tar"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        inside = Path(run.stdout.readline().strip())
        assert inside.is_file()
        run.terminate()
        assert run.wait(20) == 143
    assert not inside.parents[2].exists()
