"""`tribond lammps build` and `tribond lammps check`."""

import shutil

import pytest
from typer.testing import CliRunner

from tribond.cli.main import app
from tribond.errors import ConfigError
from tribond.integrations.lammps import build as build_module
from tribond.integrations.lammps.check import crystal_for
from tribond.integrations.lammps.find import Lammps, LammpsError, lammps_command, lammps_in_folder

runner = CliRunner()


def tribond(*arguments: object) -> tuple[int, str]:
    done = runner.invoke(app, [str(it) for it in arguments])
    return done.exit_code, done.output


def test_build_says_what_to_write_into_a_deck(plugin, tmp_path):
    status, said = tribond("lammps", "build", "--output", tmp_path)
    assert status == 0, said
    assert f"plugin load  {tmp_path / 'tribondplugin.so'}" in said
    assert (tmp_path / "tribondplugin.so").exists()


@pytest.mark.parametrize("moved", [False, True])
def test_check_finds_all_well(plugin, tmp_path, moved):
    if moved:  # the two files find each other wherever they are
        shutil.copytree(plugin.parent, tmp_path / "elsewhere")
        plugin = tmp_path / "elsewhere" / plugin.name
    status, said = tribond("lammps", "check", "--plugin", plugin)
    assert status == 0, said
    assert "all is well" in said
    assert said.count("double") == said.count("single") == 2


def test_check_notices_what_differs(plugin, monkeypatch):
    monkeypatch.setattr("tribond.integrations.lammps.check.LIMITS", {"double": (0, 0, 0), "single": (0, 0, 0)})
    status, said = tribond("lammps", "check", "--plugin", plugin)
    assert status == 1
    assert "too much" in said


def test_check_without_a_plugin(tmp_path):
    status, said = tribond("lammps", "check", "--plugin", tmp_path / "none.so")
    assert status == 2
    assert "tribond lammps build" in said


def test_check_with_what_is_no_plugin(plugin, tmp_path):
    status, said = tribond("lammps", "check", "--plugin", tmp_path)
    assert status == 2
    assert "is no file" in said
    (tmp_path / "text.so").write_text("no plugin")
    status, said = tribond("lammps", "check", "--plugin", tmp_path / "text.so")
    assert status == 1
    assert "is no plugin for this LAMMPS" in said.replace("\n", " ")


def test_a_command_that_is_none(monkeypatch):
    monkeypatch.setenv("TRIBOND_LMP", "lmp '")
    with pytest.raises(ConfigError, match="TRIBOND_LMP=lmp ' is no command"):
        lammps_command()


def test_a_folder_that_is_no_lammps(tmp_path):
    status, said = tribond("lammps", "build", "--lammps-source", tmp_path, "--output", tmp_path)
    assert status == 1
    assert "is no LAMMPS" in said


def test_the_settings_of_a_source_tree_are_found(tmp_path):
    for name, text in {
        "src/pair.h": "",
        "src/version.h": '#define LAMMPS_VERSION "22 Jul 2025"\n',
        "build/CMakeCache.txt": "LAMMPS_SIZES:STRING=bigbig\nBUILD_MPI:BOOL=OFF\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    try:
        found = lammps_in_folder(tmp_path)
    except LammpsError as error:
        pytest.skip(str(error))
    assert found.version == "22 Jul 2025"
    assert found.flags == (f"-I{tmp_path / 'src'}", "-DLAMMPS_BIGBIG", f"-I{tmp_path / 'src' / 'STUBS'}")
    assert found.compiler is None


def test_what_the_compiler_says_is_shown(plugin, tmp_path):
    with pytest.raises(LammpsError, match=r"(?s)could not be compiled:\n.*pair.h"):
        build_module.build_plugin(Lammps("nothing", (), None, None), tmp_path)


def test_without_the_library(monkeypatch, tmp_path):
    monkeypatch.setattr(build_module.compiled, "FOLDER", tmp_path)
    with pytest.raises(LammpsError, match="without a C\\+\\+ compiler"):
        build_module.library()


def test_a_crystal_for_any_potential(make_potential):
    assert set(crystal_for(make_potential()).symbols) == {"Si", "C"}
    assert set(crystal_for(make_potential(elements=("H",))).symbols) == {"H"}
