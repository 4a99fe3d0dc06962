"""What the verbs ask for in the same words: defined once, so that -m, -o or --device mean the same everywhere."""

from collections.abc import Callable, Collection
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Precision(StrEnum):
    """Floating-point precision of the model."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


def output(metavar: str, help: str) -> Any:  # noqa: A002 - typer's name
    """Where results go: --output, -o."""
    return typer.Option("--output", "-o", metavar=metavar, help=help)


def device(help: str) -> Any:  # noqa: A002
    """What the model runs on: --device."""
    return typer.Option(metavar="DEVICE", help=f"{help} [default: cuda if there is one, else cpu]")


Structures = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Structures in any format ASE reads. FILE@INDEX names frames of a trajectory: run.traj@0, run.traj@::10.",
    ),
]
MODEL_HELP = "Name of a model or path of a model file."
Model = Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help=MODEL_HELP)]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
Device = Annotated[str | None, device("cpu, cuda, cuda:1, ...")]
Dtype = Annotated[Precision, typer.Option(help="Precision of the model.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but notes and errors.")]


def check_file(path: Path, endings: Collection[str], hint: str, *, any_case: bool = False) -> None:
    """Refuse a file that cannot be written or has the wrong ending, before any work is done.

    Args:
        path: of the file.
        endings: those that it may have, with the dot.
        hint: the option or argument that named it.
        any_case: .JSON is as good as .json.

    Raises:
        typer.BadParameter: says what is wrong.
    """
    if (path.suffix.lower() if any_case else path.suffix) not in endings:
        raise typer.BadParameter(f"{path} must end in {', '.join(endings)}", param_hint=hint)
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file", param_hint=hint)


def check_folder(path: Path) -> None:
    """Refuse a folder for --output that is a file.

    Raises:
        typer.BadParameter: says so.
    """
    if path.exists() and not path.is_dir():
        raise typer.BadParameter(f"{path} is a file, not a folder", param_hint="--output")


def group() -> typer.Typer:
    """A Typer like that of `tribond` itself."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def verb(function: Callable[..., None]) -> typer.Typer:
    """A verb for `tribond` to find in a file that it does not import for its help."""
    app = group()
    app.command()(function)
    return app
