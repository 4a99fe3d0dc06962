"""`tribond convert`: any model file as one of tribond's own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tribond.checkpoints.choices import Dialect, Weights
from tribond.cli import options, output

ENDING = ".safetensors"


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="Name of a model, a folder in the format of TensorFlow's m3gnet or of MatGL, a .pth file of MatterSim "
            "or M3GNet-Pytorch, or a file of tribond's own.",
        ),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help=f"The new file, NAME{ENDING}; an older one is replaced.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the model shall be called. [default: as before]")
    ] = None,
    property_name: Annotated[
        str | None,
        typer.Option("--property", metavar="NAME", help='What a property model predicts, such as "band gap".'),
    ] = None,
    unit: Annotated[str | None, typer.Option(metavar="UNIT", help="Unit of the property, such as eV/atom.")] = None,
    dialect: Annotated[
        Dialect | None,
        typer.Option(
            help="For a MatGL folder that does not tell: matgl_dgl, up to version 2, or matgl_pyg, from 3 on."
        ),
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="For .pth files: the weights as they are, or their moving average.")
    ] = "raw",
    repulsion: Annotated[
        bool,
        typer.Option(
            "--repulsion",
            help="Add the repulsion of nuclei (ZBL) below half of the sum of covalent radii to a potential.",
        ),
    ] = False,
    dispersion: Annotated[
        str | None,
        typer.Option(
            metavar="TERM",
            help="Add dispersion to a potential whose labels had none: d3bj:FUNCTIONAL, such as d3bj:pbe. none takes it off.",
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Write any model as a file of tribond's own: one safetensors file, weights and provenance together.

    The weights keep their precision; energies stay the same bit by bit, with --repulsion only where no atoms are close, and
    without --dispersion. SRC is only read.

    Exit status: 0 written, 1 SRC cannot be used, 2 wrong usage.
    """
    options.check_file(destination, [ENDING], "DEST")
    path = output.download(source)
    if destination.exists() and destination.resolve() == path.resolve():
        raise typer.BadParameter(f"{destination} is the input; inputs are never overwritten", param_hint="DEST")
    from tribond.checkpoints.native import save_model
    from tribond.checkpoints.registry import load_network

    model, metadata = load_network(source, dialect=dialect, weights=weights)
    if model.config.readout == "extensive" and (property_name or unit):
        raise typer.BadParameter(f"{source} is a potential and predicts energies", param_hint="--property, --unit")
    if repulsion:
        from tribond.nn.m3gnet import with_repulsion

        model = with_repulsion(model)
    if dispersion is not None:
        metadata = _with_dispersion(metadata, dispersion, is_potential=model.config.readout == "extensive")
    before = metadata.get("property")
    stated = dict(before) if isinstance(before, dict) else {}
    stated |= {key: value for key, value in (("name", property_name), ("unit", unit)) if value is not None}
    metadata = metadata | ({"property": stated} if stated else {}) | ({"name": name} if name else {})
    save_model(destination, model, metadata)
    if not quiet:
        output.console().print(f"wrote {destination}: {metadata.get('name', 'a model')}", markup=False, soft_wrap=True)


def _with_dispersion(metadata: dict[str, Any], wanted: str, *, is_potential: bool) -> dict[str, Any]:
    """The metadata with the term that was asked for, and no other."""
    from tribond.errors import ConfigError
    from tribond.terms.known import KEY, term_named

    if not is_potential:
        raise typer.BadParameter("the model predicts a property and has no energy to add to", param_hint="--dispersion")
    rest = {key: value for key, value in metadata.items() if key != KEY}
    if wanted == "none":
        return rest
    if metadata.get(KEY):
        had = ", ".join(metadata[KEY])
        raise typer.BadParameter(
            f"the model has {had} already; --dispersion none takes it off", param_hint="--dispersion"
        )
    try:
        term = term_named(wanted)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--dispersion") from error
    term.check()
    return rest | {KEY: [term.name]}
