"""`tribond info`: what a model is, where it comes from, and how far to trust it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import output

if TYPE_CHECKING:
    from tribond.potential import Potential

FIRST = ("level_of_theory", "training_data", "licence", "errors")  # what people ask for, in this order


def info(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="Name of a model or path of a model file.")
    ] = "default",
) -> None:
    """Show what a model is and how far to trust it.

    Elements, cutoffs, size, level of theory, training data, licence, errors and reference energies; without an
    argument, of the model that ships with tribond.
    """
    from rich.markup import escape
    from rich.table import Table

    from tribond.checkpoints.registry import find

    path = find(model)
    potential = output.load_potential(str(path), "cpu", None)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [*_facts(potential), *_provenance(potential.metadata), ("file", str(path))]
    for name, value in rows:
        table.add_row(name, escape(value))
    terminal = output.console()
    terminal.print(table)
    terminal.print("\n[bold]reference energies[/] (eV/atom)")
    terminal.print(_reference_energies(potential))


def _facts(potential: "Potential") -> Iterator[tuple[str, str]]:
    """What the weights themselves say."""
    config = potential.config
    yield "name", str(potential.metadata.get("name", "unnamed"))
    yield "elements", f"{len(config.elements)}: {' '.join(config.elements)}"
    yield "cutoff", f"{config.cutoff:g} Å for bonds, {config.threebody_cutoff:g} Å for angles"
    yield (
        "parameters",
        f"{potential.num_parameters:,} in {config.num_blocks} blocks, {config.node_features} atom features",
    )
    yield "precision", str(potential.dtype).removeprefix("torch.")


def _provenance(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the people who trained the model say, the important things first."""
    left = {key: value for key, value in metadata.items() if key not in {"name", "reference_energies"}}
    for key in FIRST:
        yield key.replace("_", " "), _text(left.pop(key, None) or "not stated")
    for key, value in left.items():
        yield key.replace("_", " "), _text(value)


def _text(value: object) -> str:
    """Any JSON value for people to read."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_text(inner)}".replace("\n", "\n  ") for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(_text(inner) for inner in value)
    return str(value)


def _reference_energies(potential: "Potential") -> Any:
    from rich.columns import Columns

    energies = potential.model.reference_energy.reference.tolist()
    pairs = zip(potential.elements, energies, strict=True)
    return Columns([f"{symbol:<2} {energy:10.4f}" for symbol, energy in pairs], padding=(0, 3), equal=True)
