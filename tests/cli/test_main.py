import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import typer

import tribond as package
from tribond.cli import main
from tribond.errors import ConfigError, DataError


def test_version(tribond):
    result = tribond("--version")
    assert result.exit_code == 0
    assert result.stdout.strip() == f"tribond {package.__version__}"


def test_help_lists_every_verb(tribond):
    result = tribond("--help")
    assert result.exit_code == 0
    for verb in ("relax", "predict", "train", "evaluate", "bench", "models", "info", "convert"):
        assert f"  {verb} " in result.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["relax", "--help"], ["predict", "--help"], ["models", "--help"], ["info", "--help"]]
)
def test_help_does_not_wait_for_the_heavy_packages(arguments):
    program = (
        "import sys; from tribond.cli.main import main\n"
        f"sys.argv = ['tribond', *{arguments}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    help_text, _, loaded = run.stdout.partition("loaded:")
    assert "Usage: tribond" in help_text
    heavy = {"torch", "ase", "numpy", "scipy", "matplotlib", "spglib", "lightning", "pymatgen"}
    assert not heavy & set(loaded.split())


def test_terminals_without_special_letters_get_question_marks():
    program = (
        "import sys; from tribond.cli.main import main\n"
        "sys.argv = ['tribond', '--version']\n"
        "try:\n    main()\nexcept SystemExit:\n    print('eV/Å')"
    )
    environment = dict(os.environ, PYTHONIOENCODING="ascii")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.endswith("eV/?\n")


def test_usage_errors_have_their_own_status(tribond):
    assert tribond("fly").exit_code == 2
    assert tribond("relax").exit_code == 2
    assert tribond("relax", "x.cif", "--steps", "many").exit_code == 2


def fail_with(error):
    def load_potential(*_):
        raise error

    return load_potential


@pytest.mark.parametrize(
    ("error", "status"),
    [(ConfigError("no such device"), 2), (DataError("no data"), 1), (PermissionError(13, "Permission denied", "x"), 1)],
)
def test_expected_errors_are_one_line(tribond, monkeypatch, tmp_path, error, status):
    monkeypatch.setattr("tribond.cli.output.load_model", fail_with(error))
    result = tribond("predict", tmp_path / "x.cif")
    assert result.exit_code == status
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1
    assert "Traceback" not in result.output


def test_debug_shows_the_traceback(tribond, monkeypatch, tmp_path):
    monkeypatch.setattr("tribond.cli.output.load_model", fail_with(ConfigError("no such device")))
    result = tribond("--debug", "predict", tmp_path / "x.cif")
    assert result.exit_code == 2
    assert "Traceback" in result.output
    assert "error: no such device" in result.output


def test_unknown_model_names_those_there_are(tribond, tmp_path):
    result = tribond("relax", tmp_path / "x.cif", "--model", "nothing")
    assert result.exit_code == 2
    assert "no model is called 'nothing'" in result.output
    assert "names are: default" in result.output


def test_lazy_verbs_get_their_arguments_and_one_line_errors(tribond, monkeypatch):
    lazy = typer.Typer()

    @lazy.command()
    def train(settings: str, steps: int = 10):
        if steps < 0:
            raise ConfigError("steps must be positive")
        typer.echo(f"{settings} for {steps} steps")

    monkeypatch.setattr(main, "import_module", lambda _: SimpleNamespace(app=lazy))
    assert tribond("train", "x.yaml", "--steps", 5).stdout == "x.yaml for 5 steps\n"
    assert "--steps" in tribond("train", "--help").stdout
    failed = tribond("train", "x.yaml", "--steps", "-1")
    assert (failed.exit_code, failed.output) == (2, "error: steps must be positive\n")


def test_missing_extra_says_what_to_install(tribond, monkeypatch):
    def import_module(_):
        raise ModuleNotFoundError("No module named 'lightning.pytorch'", name="lightning.pytorch")

    monkeypatch.setattr(main, "import_module", import_module)
    result = tribond("train", "settings.yaml")
    assert result.exit_code == 1
    assert "pip install 'tribond[train]'" in result.output
    assert "Traceback" not in result.output


def test_missing_module_of_our_own_is_no_missing_extra(tribond, monkeypatch):
    def import_module(_):
        raise ModuleNotFoundError("No module named 'tribond.oops'", name="tribond.oops")

    monkeypatch.setattr(main, "import_module", import_module)
    result = tribond("train", "settings.yaml")
    assert isinstance(result.exception, ModuleNotFoundError)
