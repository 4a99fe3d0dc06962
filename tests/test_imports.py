"""Who may import whom, and what is not imported before it is needed."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import tribond

SOURCE = Path(tribond.__file__).parent

# The rooms of the package. Imports point only to the left; neighbours in a row do not know each other. CONTRIBUTING.md
# draws it. A name may stand here before its room is opened.
ROWS: list[set[str]] = [
    {"units", "typing", "errors", "files", "interrupt", "compiled"},
    {"reading", "results"},
    {"graph"},
    {"nn", "terms"},
    {"backends"},
    {"models"},
    {"checkpoints", "data"},
    {"training", "evaluation", "export", "speed"},
    {"integrations"},
    {"simulation", "properties"},
    {"screening"},
    {"cli", "web"},
]
STANDS_ON = {part: set().union(*ROWS[:row]) for row, parts in enumerate(ROWS) for part in parts}
MODULES = sorted(SOURCE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The part of the package that a module belongs to: its folder, or itself."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """Parts of tribond that a module imports anywhere, type checking and functions included."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = {name.split(".")[1] for name in names if name.startswith("tribond.")}
    return parts & STANDS_ON.keys()


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_part_of_the_package_has_its_place():
    parts = {part_of(path) for path in MODULES} - {"__init__", "__main__"}
    assert parts <= STANDS_ON.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_point_to_the_left(path):
    part = part_of(path)
    if part in {"__init__", "__main__"}:
        return  # the front doors know every room
    assert imported_parts(path) - {part} <= STANDS_ON[part]


@pytest.mark.parametrize("module", ["tribond", "tribond.cli.main"])
def test_importing_does_not_wait_for_pytorch(module):
    heavy = ("torch", "scipy", "matplotlib", "lightning", "pymatgen")
    found = run_python(f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])")
    assert found == "[]"


def test_a_potential_is_loaded_and_used_without_pytorchs_compiler():
    """Its import takes longer than everything else in `tribond predict` of a small file."""
    code = """
import sys, tribond
from ase.build import bulk
tribond.load(device="cpu").predict(bulk("Si"))
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""
    assert run_python(code) == "[]"


def test_every_public_name_can_be_had():
    for name in tribond.__all__:
        assert getattr(tribond, name) is not None
    assert set(tribond.__all__) <= set(dir(tribond))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'tribond' has no attribute 'laod'"):
        _ = tribond.laod


def test_the_version_is_that_of_the_package():
    try:
        installed = metadata.version("tribond")
    except metadata.PackageNotFoundError:
        pytest.skip("tribond is not installed here, only on the path")
    assert tribond.__version__ == installed


def test_using_the_package_changes_nothing_global(tmp_path):
    """Asked for in mace#249: no default precision, no folders, no download on import."""
    code = f"""
import os
os.chdir({str(tmp_path)!r})
os.environ["HOME"] = {str(tmp_path)!r}
import torch
before = torch.get_default_dtype(), torch.get_num_threads(), torch.initial_seed()
import tribond
for name in tribond.__all__:
    getattr(tribond, name)
assert before == (torch.get_default_dtype(), torch.get_num_threads(), torch.initial_seed())
print(os.listdir())
"""
    assert run_python(code) == "[]"
