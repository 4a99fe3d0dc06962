"""`export_potential`: one .pt2 file that C++ and Python run without the code of tribond."""

import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tribond.errors import ConfigError, ExportError
from tribond.export.metadata import described
from tribond.export.trace import check_exportable, traced_program
from tribond.files import atomic_path
from tribond.models.potential import Potential
from tribond.models.property_model import PropertyModel

ENDING = ".pt2"
SETTINGS = {
    "cpp.dynamic_threads": True,  # as many threads as the program that runs it has, not as this one has now
    "aot_inductor.check_lowerbound": False,  # checks of inputs, if asked for, let sizes of 0 and 1 pass: they are padded
}


def export_potential(
    potential: Potential | PropertyModel, path: str | Path, *, settings: Mapping[str, Any] | None = None
) -> None:
    """Compile a potential, with its forces, into one file. It takes a minute or two, and a C++ compiler.

    The package computes in the precision and on the kind of device of the potential (see `Potential.to`), for any number
    of atoms and bonds. An older file of this name is replaced when all went well.

    Args:
        potential: from `tribond.load`, without a state input.
        path: NAME.pt2; folders that are missing are made.
        settings: of the compiler, AOTInductor, for those who know it.

    Raises:
        ConfigError: for a model of a property, one with a state input or with terms, or a path with another ending.
        ExportError: without a C++ compiler, or if it fails.
        OSError: if the file cannot be written.
    """
    given: object = potential
    if isinstance(given, PropertyModel):
        check_exportable(given.model)
    if not isinstance(given, Potential):
        msg = f"only a Potential, as tribond.load gives, can be exported; not {potential!r}"
        raise ConfigError(msg)
    check_exportable(given.model)
    if given.terms:
        msg = (
            f"a package holds the network alone, and this potential adds {given.terms[0].name}; export "
            "tribond.without_dispersion(potential), and add dispersion where the package is used"
        )
        raise ConfigError(msg)
    path = Path(path)
    if path.suffix != ENDING:
        msg = f"{path} must end in {ENDING}"
        raise ConfigError(msg)
    if path.is_dir():
        msg = f"{path} is a folder; name a file"
        raise ConfigError(msg)
    find_compiler()
    options = SETTINGS | {
        "aot_inductor.metadata": described(given),
        # PyTorch names its files by the code alone: without this, of two models that differ in nothing but their weights
        # and are exported at the same time, one package could get the weights of the other.
        "aot_inductor.model_name_for_generated_files": f"tribond_{secrets.token_hex(8)}",
        **(settings or {}),
    }
    with atomic_path(path) as temporary:
        temporary.touch()  # a path that cannot be written is better known now than in a minute
        with tempfile.TemporaryDirectory(prefix="tribond-export-") as folder, _compiling():
            made = Path(folder) / path.name
            program = traced_program(given.model)
            torch._inductor.aoti_compile_and_package(  # noqa: SLF001, the documented name
                program, package_path=str(made), inductor_configs=options
            )
            shutil.copyfile(made, temporary)


def find_compiler() -> str:
    """The C++ compiler that PyTorch will use: $CXX, or g++ (on macOS clang++).

    Raises:
        ExportError: if there is none.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        return get_cpp_compiler()
    except (RuntimeError, OSError) as error:
        msg = (
            "exporting needs a C++ compiler, and there is none: install g++ (Debian, Ubuntu: apt install g++; "
            "conda: conda install gxx), or name another by the environment variable CXX"
        )
        raise ExportError(msg) from error


@contextmanager
def _compiling() -> Iterator[None]:
    """Keep PyTorch's remarks about its own code away, and say in a line what went wrong."""
    from torch._inductor.exc import CppCompileError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except CppCompileError as error:
        told = [line for line in str(error).splitlines() if "error" in line.lower()] or str(error).splitlines()
        msg = f"the C++ compiler failed: {told[-1].strip()}"
        raise ExportError(msg) from error
    except torch._inductor.exc.InductorError as error:  # noqa: SLF001
        msg = f"PyTorch could not compile the model: {str(error).splitlines()[0]}"
        raise ExportError(msg) from error
