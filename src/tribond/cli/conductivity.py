"""`tribond conductivity`: lattice thermal conductivity."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options
from tribond.cli.phonons import Distance, Supercell
from tribond.cli.property_jobs import AsGiven, Call, Double, Fmax, Input, run, save_structure

if TYPE_CHECKING:
    from rich.table import Table


def conductivity(
    files: options.Structures,
    supercell: Supercell = None,
    min_length: Annotated[
        float,
        typer.Option("--min-length-A", metavar="A", help="Every vector of the supercell is at least this long, Å."),
    ] = 10.0,
    distance: Distance = 0.03,
    cutoff_pair: Annotated[
        float | None,
        typer.Option("--cutoff-pair-A", metavar="A", help="Displace only pairs of atoms closer than this, Å."),
    ] = None,
    mesh_length: Annotated[
        float, typer.Option("--mesh-length-A", metavar="A", help="q-points of the mesh are 2π over this apart, Å.")
    ] = 50.0,
    fmax: Fmax = 1e-4,
    as_given: AsGiven = False,
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
    """Lattice thermal conductivity from 100 to 1000 K.

    By phono3py, in the relaxation-time approximation with natural isotopes. Writes conductivity.csv, relaxed.extxyz,
    conductivity.png, conductivity.svg and summary.json.
    """
    settings = {
        "supercell": None if supercell is None else list(supercell),
        "min_length_A": min_length,
        "distance_A": distance,
        "cutoff_pair_A": cutoff_pair,
        "mesh_length_A": mesh_length,
        "relax_first": not as_given,
        "fmax_eV_per_A": fmax,
    }
    call = Call(
        "conductivity", files, settings, model, device, dtype, output_folder, index, format, elements, restart, quiet
    )
    run(call, _compute, _show)


def _compute(given: Input) -> dict[str, Any]:
    from tribond.properties.conductivity import conductivity as compute
    from tribond.results.figures import save_figure
    from tribond.results.tables import write_csv

    found = compute(given.atoms, given.calculator, work=given.work, **given.job.settings)
    job = given.job
    write_csv(job.file("conductivity.csv"), found.columns())
    save_structure(job, "relaxed.extxyz", found.structure)
    save_figure(found.figure(given.label), job.file("conductivity.png"), job.file("conductivity.svg"))
    return found.summary()


def _show(summary: dict[str, Any]) -> "list[Table | str]":
    xx, yy, zz, *_ = summary["conductivity_tensor_W_per_m_K"]
    mesh = " x ".join(str(number) for number in summary["mesh"])
    return [
        (
            f"{summary['conductivity_W_per_m_K']:.3g} W/m K at {summary['temperature_K']:g} K (xx {xx:.3g}, yy {yy:.3g}, zz "
            f"{zz:.3g}); {summary['num_displacements']} displacements, mesh {mesh}"
        ),
        "a larger mesh and supercell tell how far this is converged (--mesh-length-A, --min-length-A)",
    ]


app = options.verb(conductivity)
