"""What the verbs ask for in the same words: defined once, so that -m, -o or --device mean the same everywhere."""

from collections.abc import Callable, Collection
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from tribond.reading.content import Options


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


Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="Format of the files, where name and content do not say it."),
]
Elements = Annotated[
    str,
    typer.Option(
        "--elements", metavar="SYMBOLS", help="Elements of the types 1, 2, ... in LAMMPS files: --elements Na Cl."
    ),
]


class WithElements(TyperCommand):
    """A verb that takes `--elements Na Cl` as well as `--elements Na,Cl`: symbols behind the first one belong to it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: D102, as click has it
        from tribond.reading.symbols import SYMBOLS

        if "--elements" in args:
            first = args.index("--elements") + 1
            last = first
            while last < len(args) and args[last] in SYMBOLS and not (last > first and Path(args[last]).exists()):
                last += 1
            if last > first:
                args = [*args[:first], ",".join(args[first:last]), *args[last:]]
        return super().parse_args(ctx, args)


def reading(format_name: str | None, elements: str) -> "Options":
    """What was said about files, checked.

    Raises:
        typer.BadParameter: for a format that is none.
    """
    from tribond.errors import StructureError
    from tribond.reading.content import Options
    from tribond.reading.elements import check_symbols
    from tribond.reading.kinds import named_format

    symbols = [word for word in elements.replace(",", " ").split() if word]
    try:
        named = None if format_name is None else named_format(format_name)
    except StructureError as error:
        raise typer.BadParameter(str(error), param_hint="--format") from error
    try:
        check_symbols(symbols, "--elements")
    except StructureError as error:
        raise typer.BadParameter(str(error).removeprefix("--elements: "), param_hint="--elements") from error
    return Options(named, tuple(symbols))


Structures = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Structures in any of the usual formats (docs/files.md). FILE@INDEX names frames of a trajectory: run.traj@0, run.traj@::10.",
    ),
]
MODEL_HELP = "Name of a model or path of a model file."
Model = Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help=MODEL_HELP)]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
Device = Annotated[str | None, device("cpu, cuda, cuda:1, ...")]
Dtype = Annotated[Precision, typer.Option(help="Precision of the model.")]
Folder = Annotated[
    Path | None,
    output(
        "DIR", "Folder for all results; of several inputs, one below it each. [default: X_VERB beside each input X]"
    ),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Begin anew: remove what an earlier run of this verb left in the folder.")
]
Index = Annotated[
    str | None,
    typer.Option(metavar="INDEX", help="Frames of each file: 0, -1, :, -5:, ::10. [default: the last]"),
]
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
    app.command(cls=WithElements)(function)
    return app
