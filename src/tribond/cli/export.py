"""`tribond export`: a potential as one compiled file, for C++ and for Python without the code of tribond."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from tribond.cli import output


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model or path of a model file.")],
    destination: Annotated[
        Path, typer.Argument(metavar="OUT", help="The package, NAME.pt2; an older one is replaced.")
    ],
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE", help="What it will run on, cpu or cuda. [default: cuda if there is one, else cpu]"
        ),
    ] = None,
    dtype: Annotated[output.Precision, typer.Option(help="Precision of the model.")] = output.Precision.FLOAT32,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but notes and errors.")] = False,
) -> None:
    """Compile a potential for programs in C++.

    The result is one file, forces and virial included, that PyTorch's C++ library runs without Python. It takes a minute or two and needs a C++ compiler. The package runs on processors like this one, for any number of atoms, with the PyTorch that made it; docs/export.md describes its inputs and outputs.

    Exit status: 0 written, 1 failed, 2 wrong usage.
    """
    from tribond.export.package import ENDING, export_potential

    if destination.suffix != ENDING:
        raise typer.BadParameter(f"{destination} must end in {ENDING}", param_hint="OUT")
    if destination.is_dir():
        raise typer.BadParameter(f"{destination} is a folder; name a file", param_hint="OUT")
    potential = output.load_potential(model, device, dtype)
    terminal = output.console(stderr=True)
    with nullcontext() if quiet else terminal.status("compiling, which takes a minute or two ..."):
        export_potential(potential, destination)
    if not quiet:
        name = potential.metadata.get("name", "a model")
        facts = f"{dtype}, {potential.device.type}, {destination.stat().st_size / 1e6:.1f} MB"
        output.console().print(f"wrote {destination}: {name}, {facts}", markup=False, soft_wrap=True)
