import os
from pathlib import Path

import pytest
import torch

from tribond.export import package


@pytest.fixture
def quick(monkeypatch):
    """Let the compiler write a file at once; what it compiles is tested elsewhere."""
    given = []

    def compile_(program, *, package_path, inductor_configs):
        given.append(inductor_configs["aot_inductor.metadata"])
        Path(package_path).write_text("compiled")

    monkeypatch.setattr(package, "traced_program", lambda model: model)
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", compile_)
    return given


def test_a_model_becomes_a_package(tribond, model_file, tmp_path, quick):
    result = tribond("export", model_file, tmp_path / "new" / "small.pt2", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "new" / "small.pt2").read_text() == "compiled"
    assert "small.pt2: small, float32, cpu" in result.stdout
    (facts,) = quick
    assert (facts["name"], facts["elements"], facts["dtype"]) == ("small", "H O Al Cu", "float32")
    assert float(facts["cutoff_A"]) == 5.0


def test_quiet_prints_nothing(tribond, model_file, tmp_path, quick):
    result = tribond("export", model_file, tmp_path / "it.pt2", "--device", "cpu", "--dtype", "float64", "--quiet")
    assert result.exit_code == 0
    assert result.output == ""
    assert quick[0]["dtype"] == "float64"


@pytest.mark.parametrize(("name", "told"), [("it.so", "must end in .pt2"), ("folder.pt2", "is a folder")])
def test_a_wrong_name_is_wrong_usage(tribond, model_file, tmp_path, name, told):
    (tmp_path / "folder.pt2").mkdir()
    result = tribond("export", model_file, tmp_path / name)
    assert result.exit_code == 2
    assert told in result.output


def test_a_model_that_is_not_there_is_wrong_usage(tribond, tmp_path):
    result = tribond("export", "no-such-model", tmp_path / "it.pt2")
    assert result.exit_code == 2
    assert "no model is called" in result.output


def test_a_place_that_cannot_be_written_fails_before_compiling(tribond, model_file, tmp_path):
    (tmp_path / "file").touch()
    result = tribond("export", model_file, tmp_path / "file" / "it.pt2", "--device", "cpu")
    assert result.exit_code == 1
    assert "error:" in result.output
    assert str(tmp_path / "file") in result.output


def test_without_a_compiler_it_says_what_to_do(tribond, model_file, tmp_path):
    with torch._inductor.config.patch({"cpp.cxx": (os.devnull,)}):
        result = tribond("export", model_file, tmp_path / "it.pt2", "--device", "cpu")
    assert result.exit_code == 1
    assert "apt install g++" in result.output
    assert not (tmp_path / "it.pt2").exists()
