"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from tribond.files import atomic_path


@pytest.fixture
def target(tmp_path) -> Path:
    path = tmp_path / "x.txt"
    path.write_text("old")
    return path


def write(path: Path, text: str, error: BaseException | None = None) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text)
        if error is not None:
            raise error


def test_a_finished_write_replaces_the_old_file(target):
    write(target, "new")
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_until_then_the_old_file_stays(target):
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert target.read_text() == "old"
        assert temporary.parent == target.parent
        assert temporary.suffix == ".txt"


@pytest.mark.parametrize("error", [RuntimeError("the writer stumbles"), KeyboardInterrupt()], ids=repr)
def test_an_interrupted_write_leaves_the_old_file_and_no_other(target, error):
    with pytest.raises(type(error)):
        write(target, "half", error)
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(("where", "step"), [(os, "fsync"), (Path, "replace")])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_so_does_one_that_is_interrupted_at_the_end(target, monkeypatch, where, step, error):
    def interrupted(*_):
        raise error

    monkeypatch.setattr(where, step, interrupted)
    with pytest.raises(type(error)):
        write(target, "new")
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_a_writer_that_thinks_better_of_it_leaves_the_old_file(target):
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        temporary.unlink()
    assert target.read_text() == "old"


def test_two_writers_do_not_meet(target):
    with atomic_path(target) as one, atomic_path(target) as other:
        assert one != other


def test_missing_folders_are_made(tmp_path):
    write(tmp_path / "a" / "b" / "x", "new")
    assert (tmp_path / "a" / "b" / "x").read_text() == "new"


def test_files_are_as_readable_as_any_other(tmp_path):
    write(tmp_path / "ours", "")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
