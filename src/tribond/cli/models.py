"""`tribond models`: the models there are, here and elsewhere, and `tribond models get NAME`."""

from typing import TYPE_CHECKING, Annotated

import typer

from tribond.cli import output

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the models that tribond knows by name.

    Some come with tribond; the published ones are downloaded when they are used first, or beforehand by
    `tribond models get NAME`.
    """
    if context.invoked_subcommand is None:
        _print_list()


@app.command()
def get(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names, as `tribond models` lists them.")],
) -> None:
    """Download published models, to use them later without a network.

    Files that are there already are checked and kept; a download that was cut off goes on where it stopped.

    Exit status: 0 all are there, 1 some could not be had, 2 a name is unknown.
    """
    from tribond.checkpoints.registry import ALIASES, built_in_names, published

    built_in = {*ALIASES, *built_in_names()}
    # All names first: a wrong one is said before anything is downloaded.
    unchecked = {
        name: [] if name in built_in else [file.name for file in published(name).files if file.sha256 is None]
        for name in names
    }
    failed = False
    for name, files in unchecked.items():
        with output.failures_reported(name) as errors:
            path = output.download(name)
            output.console().print(f"{name} is in {path}", markup=False, soft_wrap=True)
            for file, checksum in _checksums(path, files):
                output.note(f"no checksum of {file} is known to compare with; what came has sha256 {checksum}")
        failed = failed or bool(errors)
    if failed:
        raise typer.Exit(output.FAILED)


def _checksums(path: "Path", names: list[str]) -> list[tuple[str, str]]:
    import hashlib

    folder = path if path.is_dir() else path.parent
    return [(name, hashlib.sha256((folder / name).read_bytes()).hexdigest()) for name in names]


def _print_list() -> None:
    from rich.markup import escape

    from tribond.checkpoints.catalogue import catalogue
    from tribond.checkpoints.registry import built_in_names, is_downloaded

    right = ("elements", "parameters")
    table = output.plain_table(
        "name", "origin", "predicts", *right, "level of theory", "licence", "published errors", "here", right=right
    )
    for name in built_in_names():
        potential = output.load_potential(name, "cpu", None)
        stated = potential.metadata
        size = f"{potential.num_parameters:,}"
        theory = str(stated.get("level_of_theory", "")).partition(",")[0]
        licence = str(stated.get("licence", "")).partition(";")[0]
        row = [name, "tribond", "E F S", str(len(potential.elements)), size, theory, licence, "see tribond info", "yes"]
        table.add_row(*map(escape, row))
    for entry in catalogue().values():
        row = [
            entry.name,
            entry.code,
            entry.property["name"] if entry.property else "E F S",
            str(entry.num_elements),
            "" if entry.parameters is None else f"{entry.parameters:,}",
            entry.level_of_theory,
            entry.licence,
            entry.published_errors,
            "yes" if is_downloaded(entry) else "no",
        ]
        table.add_row(*map(escape, row))
    terminal = output.console()
    terminal.print(table)
    terminal.print(
        "\nE F S: energy, forces, stress. Errors are those that the makers state, each on data of their own."
    )
