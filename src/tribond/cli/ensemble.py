"""`tribond ensemble`: several models as one, and what `tribond info` says of it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tribond.cli import options, output

if TYPE_CHECKING:
    from tribond.models.ensemble import Ensemble


def ensemble(
    members: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Files of two or more potentials.")],
    output_file: Annotated[
        Path, options.output("FILE", "The file of the ensemble, which names those of its members.")
    ] = Path("ensemble.json"),
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What `tribond info` calls it.")] = None,
) -> None:
    """Make one model of several potentials, which knows how far they differ.

    The file names the files of the members, relative to itself, with their checksums: move them together. It is a model like any
    other: tribond relax -m ensemble.json ... gives the mean of its members, predict, md and evaluate their spread, too.

    `tribond train --ensemble 4` makes members and file.

    Exit status: 0 all fine, 1 a file cannot be used, 2 wrong usage.
    """
    from tribond.checkpoints.ensemble import write_ensemble
    from tribond.checkpoints.registry import load_potential
    from tribond.models.ensemble import Ensemble

    options.check_file(output_file, [".json"], "--output")
    for member in members:
        if not member.is_file():
            raise typer.BadParameter(f"{member} is no file; name the files of models", param_hint="MODEL")
    told = {} if name is None else {"name": name}
    # The files may be in different precisions: the registry loads such members in float64, too.
    made = Ensemble([load_potential(member, device="cpu", dtype="float64") for member in members], told)
    write_ensemble(output_file, members, told)
    terminal = output.console()
    terminal.print(f"wrote {output_file}: {made.num_members} members", markup=False, soft_wrap=True)


# `tribond` finds the verb here without importing this file for its help.
app = options.verb(ensemble)


def facts(trained: "Ensemble", path: Path) -> Iterator[tuple[str, str]]:
    """What `tribond info` says of an ensemble, besides where its first member comes from."""
    from tribond.backends.choose import describe
    from tribond.checkpoints.ensemble import read_ensemble

    file = read_ensemble(path)
    yield "name", str(trained.metadata["name"])
    yield "predicts", "energy, forces, stress, and how far its members differ"
    yield (
        f"{trained.num_members} members",
        "\n".join(
            f"{os.path.relpath(member, file.path.parent)}: {one.num_parameters:,} parameters, cutoff {one.cutoff:g} Å"
            for member, one in zip(file.members, trained.members, strict=True)
        ),
    )
    if terms := trained.metadata.get("energy_terms"):
        yield "adds", ", ".join(terms)
    yield "elements", f"{len(trained.elements)}: {' '.join(trained.elements)}"
    yield "cutoff", f"{trained.cutoff:g} Å for bonds, {trained.threebody_cutoff:g} Å for angles"
    yield "precision", str(trained.dtype).removeprefix("torch.")
    yield "computed by", f"{describe(trained.members[0].model)}, on this CPU"
    yield "file", str(file.path)
    yield "first member", str(trained.members[0].metadata.get("name", "unnamed"))
