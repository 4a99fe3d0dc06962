"""What all verbs with long calculations do alike."""

import io
import logging
import signal

import pytest
import typer
from ase.build import bulk
from ase.io import write

from tribond.cli import live, output
from tribond.cli.jobs import run_jobs, structures
from tribond.errors import ConfigError, StructureError
from tribond.interrupt import Interrupted
from tribond.reading.content import Options


@pytest.fixture
def files(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "Cu.vasp", bulk("Cu"))
    write(tmp_path / "Al.vasp", bulk("Al"))
    return [str(tmp_path / name) for name in ("a/Cu.vasp", "b/Cu.vasp", "Al.vasp")]


def run(names, work, output_folder=None):
    run_jobs(names, structures(None, Options()), work, verb="eos", output_folder=output_folder, quiet=True)


@pytest.mark.parametrize("given", [True, False])
def test_every_input_has_a_folder_of_its_own(files, tmp_path, given):
    folders = []
    run(files, lambda _, folder: folders.append(folder), tmp_path / "out" if given else None)
    named = ["out/Cu", "out/b_Cu", "out/Al"] if given else ["a/Cu_eos", "b/Cu_eos", "Al_eos"]
    assert folders == [tmp_path / name for name in named]


def test_a_single_input_has_the_output_folder_itself(files, tmp_path):
    folders = []
    run(files[:1], lambda _, folder: folders.append(folder), tmp_path / "out")
    assert folders == [tmp_path / "out"]


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([StructureError("bad"), None], output.FAILED),
        ([ConfigError("bad"), None], output.FAILED),
        ([ConfigError("bad"), ConfigError("bad")], output.USAGE),
        ([RuntimeError("surprise"), None], output.FAILED),
    ],
)
def test_one_failing_does_not_stop_the_others(files, capsys, errors, status):
    seen = []

    def work(task, _):
        seen.append(task.label)
        if errors[len(seen) - 1] is not None:
            raise errors[len(seen) - 1]

    with pytest.raises(typer.Exit) as caught:
        run(files[:2], work)
    assert caught.value.exit_code == status
    assert len(seen) == 2
    assert "error:" in capsys.readouterr().err


def test_what_cannot_be_read_does_not_either(files, tmp_path, capsys):
    seen = []
    with pytest.raises(typer.Exit) as caught:
        run([str(tmp_path / "none.cif"), files[0]], lambda task, _: seen.append(task.label))
    assert caught.value.exit_code == output.FAILED
    assert seen == [files[0]]
    assert "none.cif" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_verb_with_the_signals_status(files, capsys, number):
    def work(*_):
        raise Interrupted(number)

    with pytest.raises(typer.Exit) as caught:
        run(files, work)
    assert caught.value.exit_code == 128 + number
    assert "the same command goes on" in capsys.readouterr().err


def test_messages_of_the_package_are_notes(files, capsys):
    run(files[:1], lambda *_: logging.getLogger("tribond.properties.eos").warning("look here"))
    assert "note: look here" in capsys.readouterr().err


def test_progress_goes_into_a_log_line_by_line(capsys, monkeypatch):
    monkeypatch.setattr(live, "LINE_EVERY_S", 0.0)
    with live.live("x.cif", quiet=False) as tell:
        tell(live.Progress(5, 10, "300 K"))
    assert "x.cif: 300 K, 0:00:00 left at most" in capsys.readouterr().err


def test_progress_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with live.live("x.cif", quiet=False) as tell:
        tell(live.Progress(5, 10, "300 K [0]"))
    assert "300 K [0]" in terminal.getvalue()


def test_a_bad_structure_among_good_ones_is_one_failure(tmp_path, capsys):
    good, bad = bulk("Cu"), bulk("Cu")
    bad.numbers[0] = 0  # a dummy
    write(tmp_path / "x.extxyz", [good, bad, good])
    seen = []
    with pytest.raises(typer.Exit) as caught:
        run([f"{tmp_path / 'x.extxyz'}@:"], lambda task, folder: seen.append(folder.name), tmp_path / "out")
    assert caught.value.exit_code == output.FAILED
    assert seen == ["x_0", "x_2"]
    assert "x.extxyz@1" in capsys.readouterr().err
