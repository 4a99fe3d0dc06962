"""`tribond surface`: surface energies and the Wulff shape."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.property_jobs import Call, Double, Fmax, Input, run, save_structure

if TYPE_CHECKING:
    from rich.table import Table


def surface(
    files: options.Structures,
    miller: Annotated[
        list[str] | None,
        typer.Option(
            "--miller",
            metavar="HKL",
            help="A face, such as 111 or 1,-1,0; again for others. [default: see --max-index]",
        ),
    ] = None,
    max_index: Annotated[
        int, typer.Option(metavar="N", help="All faces that differ, with Miller indices up to this one.")
    ] = 1,
    thickness: Annotated[
        float, typer.Option("--thickness-A", metavar="A", help="Slabs are at least so thick, Å.")
    ] = 12.0,
    vacuum: Annotated[float, typer.Option("--vacuum-A", metavar="A", help="Between slabs, Å.")] = 15.0,
    as_cut: Annotated[bool, typer.Option("--as-cut", help="Do not relax the atoms of the slabs.")] = False,
    fmax: Fmax = 0.01,
    output_folder: options.Folder = None,
    index: options.Index = None,
    restart: options.Restart = False,
    model: options.Model = "default",
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    device: options.Device = None,
    dtype: Double = options.Precision.FLOAT64,
    quiet: options.Quiet = False,
) -> None:
    """Surface energies and the Wulff shape of a crystal.

    Slabs of the relaxed crystal, cut by pymatgen, all terminations with the crystal's composition. Writes surfaces.csv,
    slabs.extxyz, surface.png, surface.svg and summary.json. Miller indices are those of the conventional cell.
    """
    settings = {
        "millers": None if not miller else [parse_miller(text) for text in miller],
        "max_index": max_index,
        "thickness_A": thickness,
        "vacuum_A": vacuum,
        "relax_slabs": not as_cut,
        "fmax_eV_per_A": fmax,
    }
    call = Call(
        "surface", files, settings, model, device, dtype, output_folder, index, format, elements, restart, quiet
    )
    run(call, _compute, _show)


def parse_miller(text: str) -> list[int]:
    """Three whole numbers: 111, or with commas or spaces where there are signs.

    Raises:
        typer.BadParameter: for anything else.
    """
    words = list(text) if text.isdigit() else text.replace(",", " ").split()
    try:
        indices = [int(word) for word in words]
    except ValueError:
        indices = []
    if len(indices) != 3 or not any(indices):
        raise typer.BadParameter(f"{text!r} is no face; three indices such as 111 or 1,-1,0", param_hint="--miller")
    return indices


def _compute(given: Input) -> dict[str, Any]:
    from tribond.properties.surface import surfaces
    from tribond.results.figures import save_figure
    from tribond.results.tables import write_csv

    found = surfaces(given.atoms, given.calculator, work=given.work, **given.job.settings)
    write_csv(given.job.file("surfaces.csv"), found.columns())
    save_structure(given.job, "slabs.extxyz", *(it.slab for it in found.surfaces))
    save_figure(found.figure(given.label), given.job.file("surface.png"), given.job.file("surface.svg"))
    return found.summary()


def _show(summary: dict[str, Any]) -> "list[Table | str]":
    right = ("atoms", "J/m²", "before relaxation")
    table = output.plain_table("face", "termination", *right, "", right=right)
    for it in summary["surfaces"]:
        face = "(" + " ".join(str(number) for number in it["miller"]) + ")"
        values = (it["surface_energy_J_per_m2"], it["surface_energy_unrelaxed_J_per_m2"])
        mean = "" if it["sides_are_the_same"] else "mean of two different sides"
        table.add_row(face, str(it["termination"]), str(it["num_atoms"]), *(f"{value:.3f}" for value in values), mean)
    shape = summary["wulff"]
    if shape is None:
        return [table]
    areas = ", ".join(f"{face} {value:.0%}" for face, value in shape["area_fractions"].items())
    return [table, f"Wulff shape: {areas}; mean {shape['mean_surface_energy_J_per_m2']:.3f} J/m²"]


app = options.verb(surface)
