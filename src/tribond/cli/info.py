"""`tribond info`: what a model is, where it comes from, and how far to trust it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import output

if TYPE_CHECKING:
    from tribond.checkpoints.catalogue import Entry
    from tribond.models.trained_model import TrainedModel

TERMS = "energy_terms"  # told among the facts
FIRST = ("level_of_theory", "training_data", "licence", "errors")  # what people ask for, in this order


def info(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="Name of a model, path of a model file or of an exported package.")
    ] = "default",
) -> None:
    """Show what a model is and how far to trust it.

    Elements, cutoffs, size, level of theory, training data, licence, errors and reference energies; without an
    argument, of the model that ships with tribond.
    """
    from tribond.models.ensemble import Ensemble
    from tribond.models.potential import Potential

    if Path(model).suffix == ".pt2" and Path(model).is_file():
        _print(_package(model))
        return
    if entry := _not_here(model):
        rows = [("name", entry.name), *_provenance(entry.metadata())]
        rows += [
            ("elements", f"{entry.num_elements}: {entry.elements}"),
            ("file", f"not here: tribond models get {entry.name}"),
        ]
        _print(rows)
        return
    path = output.download(model)
    trained = output.load_model(model, "cpu", None)
    if isinstance(trained, Ensemble):
        from tribond.cli.ensemble import facts

        _print([*facts(trained, path), *_provenance(trained.members[0].metadata)])
        return
    _print([*_facts(trained), *_provenance(trained.metadata), ("file", str(path))])
    if isinstance(trained, Potential):
        terminal = output.console()
        terminal.print("\n[bold]reference energies[/] (eV/atom)")
        terminal.print(_reference_energies(trained))


def _not_here(model: str) -> "Entry | None":
    """The published model of this name if it would have to be downloaded."""
    from tribond.checkpoints.catalogue import entry_named
    from tribond.checkpoints.registry import is_downloaded, is_local

    entry = None if is_local(model) else entry_named(model)
    return None if entry is None or is_downloaded(entry) else entry


def _print(rows: "Iterable[tuple[str, str]]") -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, output.shown(value))
    output.console().print(table)


def _package(path: str) -> "Iterator[tuple[str, str]]":
    """What a package of `tribond export` says of itself, without running it."""
    from tribond.export.metadata import read_metadata

    told = read_metadata(path)
    yield "name", told.name
    yield "predicts", "energy, forces, virial"
    yield "elements", f"{len(told.elements)}: {' '.join(told.elements)}"
    yield "cutoff", f"{told.cutoff:g} Å for bonds, {told.threebody_cutoff:g} Å for angles"
    yield "reach", f"{told.reach:g} Å, of ghost atoms"
    yield "precision", told.dtype
    processor = f" with {told.instruction_set}" if told.device == "cpu" else ""
    yield "runs on", f"{told.device}{processor}"
    yield "made with", f"tribond {told.tribond_version}, PyTorch {told.torch_version}"
    for key, value in told.provenance.items():
        yield key.replace("_", " "), value
    yield "file", path


def _facts(trained: "TrainedModel") -> Iterator[tuple[str, str]]:
    """What the weights themselves say, and what computes them here."""
    from tribond.backends.choose import describe
    from tribond.models.potential import Potential

    config = trained.config
    yield "name", str(trained.metadata.get("name", "unnamed"))
    yield "predicts", _predicts(trained)
    if config.state != "none":
        what = (
            f"one of {config.state_size} categories"
            if config.state == "categorical"
            else f"{config.state_size} numbers"
        )
        yield "state input", what
    yield "elements", f"{len(config.elements)}: {' '.join(config.elements)}"
    yield "cutoff", f"{config.cutoff:g} Å for bonds, {config.threebody_cutoff:g} Å for angles"
    yield (
        "parameters",
        f"{trained.num_parameters:,} in {config.num_blocks} blocks, {config.node_features} atom features",
    )
    yield "precision", str(trained.dtype).removeprefix("torch.")
    if isinstance(trained, Potential):
        if trained.terms:
            yield "adds", ", ".join(term.name for term in trained.terms)
        yield "computed by", f"{describe(trained.model)}, on this CPU"


def _predicts(trained: "TrainedModel") -> str:
    from tribond.models.property_model import PropertyModel

    if not isinstance(trained, PropertyModel):
        return "energy, forces, stress"
    if trained.classes:
        return f"{trained.name}: which of {', '.join(trained.classes)}, with probabilities"
    names = ", ".join(f"{target.name} in {target.unit}" if target.unit else target.name for target in trained.targets)
    probability = ", as a probability" if trained.config.classification else ""
    return f"{names}{probability}"


def _provenance(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the people who trained the model say, the important things first."""
    left = {
        key: value for key, value in metadata.items() if key not in {"name", "property", "reference_energies", TERMS}
    }
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


def _reference_energies(potential: "TrainedModel") -> Any:
    from rich.columns import Columns

    energies = potential.model.reference_energy.reference.tolist()
    pairs = zip(potential.elements, energies, strict=True)
    return Columns([f"{symbol:<2} {energy:10.4f}" for symbol, energy in pairs], padding=(0, 3), equal=True)
