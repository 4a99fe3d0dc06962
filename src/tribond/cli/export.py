"""`tribond export`: a potential as one compiled file, for C++ and for Python without the code of tribond."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from tribond.cli import options, output


def export(
    model: options.ModelArgument,
    destination: Annotated[
        Path, typer.Argument(metavar="OUT", help="The package, NAME.pt2; an older one is replaced.")
    ],
    device: Annotated[str | None, options.device("What it will run on, cpu or cuda.")] = None,
    dtype: options.Dtype = options.Precision.FLOAT32,
    quiet: options.Quiet = False,
) -> None:
    """Compile a potential for programs in C++.

    The result is one file, forces and virial included, that PyTorch's C++ library runs without Python. It takes a minute or two and needs a C++ compiler. The package runs on processors like this one, for any number of atoms, with the PyTorch that made it; docs/export.md describes its inputs and outputs.

    Exit status: 0 written, 1 failed, 2 wrong usage.
    """
    from tribond.export.package import ENDING, export_potential

    options.check_file(destination, [ENDING], "OUT")
    potential = output.load_potential(model, device, dtype)
    terminal = output.console(stderr=True)
    with nullcontext() if quiet else terminal.status("compiling, which takes a minute or two ..."):
        export_potential(potential, destination)
    if not quiet:
        name = potential.metadata.get("name", "a model")
        facts = f"{dtype}, {potential.device.type}, {destination.stat().st_size / 1e6:.1f} MB"
        output.console().print(f"wrote {destination}: {name}, {facts}", markup=False, soft_wrap=True)
