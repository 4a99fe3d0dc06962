"""`tribond models`: the models there are, here and elsewhere, and `tribond models get NAME`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from tribond.cli import options, output

if TYPE_CHECKING:
    from pathlib import Path

ENERGY = "energy, forces, stress"

app = options.group()


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
    from tribond.checkpoints.registry import ALIASES, built_in_names, is_local, published

    built_in = {*ALIASES, *built_in_names()}
    # All names first: a wrong one is said before anything is downloaded.
    unchecked = {
        name: [] if name in built_in else [file.name for file in published(name).files if file.sha256 is None]
        for name in names
    }
    if local := [name for name in unchecked if name not in built_in and is_local(name)]:
        msg = f"{', '.join(local)} is also a file or folder here, which goes before; rename it, or run this elsewhere"
        raise typer.BadParameter(msg, param_hint="NAME")
    failed = False
    for name, files in unchecked.items():
        with output.failures_reported(name) as errors:
            path = output.download(name)
            output.load_model(name, "cpu", None)  # a file without a checksum may be anything
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
    """Three lines a model, which fit any terminal: a table of all these columns does not."""
    from rich.padding import Padding

    terminal = output.console()
    for name, here, *facts in (*_built_in(), *_published()):
        terminal.print(f"[bold]{output.shown(name)}[/]" + ("  here" if here else ""))
        for line in facts:
            terminal.print(Padding(output.shown(line), (0, 0, 0, 4), expand=False))
    terminal.print("\nErrors are those that the makers state for data of their own. `tribond info NAME` says more.")


def _built_in() -> Iterator[tuple[str, bool, str, str]]:
    from tribond.checkpoints.registry import built_in_names

    for name in built_in_names():
        potential = output.load_potential(name, "cpu", None)
        stated = potential.metadata
        sizes = f"{len(potential.elements)} elements · {potential.num_parameters:,} parameters"
        licence = str(stated.get("licence", "licence not stated")).partition(";")[0]
        theory = str(stated.get("level_of_theory", "level of theory not stated")).partition(",")[0]
        yield name, True, f"{ENERGY} · {sizes} · tribond · {licence}", f"{theory} · errors: see docs/model_card.md"


def _published() -> Iterator[tuple[str, bool, str, str]]:
    from tribond.checkpoints.catalogue import catalogue
    from tribond.checkpoints.registry import is_downloaded

    for entry in catalogue().values():
        what = entry.property.get("name", ENERGY)
        elements = f"{entry.num_elements} element{'s' if entry.num_elements > 1 else ''}"
        sizes = elements if entry.parameters is None else f"{elements} · {entry.parameters:,} parameters"
        theory, licence, errors = (
            f"{label} not stated" if fact == "not stated" else fact
            for label, fact in (
                ("level of theory", entry.level_of_theory),
                ("licence", entry.licence),
                ("errors", entry.published_errors),
            )
        )
        yield (
            entry.name,
            is_downloaded(entry),
            f"{what} · {sizes} · {entry.code} · {licence}",
            f"{theory} · {errors}",
        )
