"""`tribond qha`: thermal expansion and what else changes with temperature."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.eos import parse_range
from tribond.cli.phonons import Distance, MinLength, Supercell
from tribond.cli.property_jobs import Call, Double, Fmax, Input, run, save_structure

if TYPE_CHECKING:
    from rich.table import Table


def qha(
    files: options.Structures,
    volumes: Annotated[
        str, typer.Option("--range", metavar="LOW:HIGH", help="Volumes, in units of the relaxed one.")
    ] = "0.95:1.07",
    points: Annotated[int, typer.Option(metavar="N", help="How many volumes.")] = 9,
    relax_shape: Annotated[
        bool, typer.Option("--relax-shape", help="Let the shape of the cell relax at each volume, besides the atoms.")
    ] = False,
    max_temperature: Annotated[
        float, typer.Option("--max-temperature-K", metavar="K", help="Where the table ends, K.")
    ] = 1000.0,
    pressure: Annotated[
        float, typer.Option("--pressure-GPa", metavar="GPA", help="Pressure from outside; compression is positive.")
    ] = 0.0,
    supercell: Supercell = None,
    min_length: MinLength = 15.0,
    distance: Distance = 0.01,
    fmax: Fmax = 1e-4,
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
    """Quasi-harmonic approximation: thermal expansion, C_P, Gibbs energy, bulk modulus against temperature.

    Phonons at several volumes, by phonopy. Writes qha.csv, structures.extxyz, qha.png, qha.svg and summary.json.
    """
    settings = {
        "volume_range": list(parse_range(volumes, "--range")),
        "points": points,
        "relax_shape": relax_shape,
        "max_temperature_K": max_temperature,
        "pressure_GPa": pressure,
        "supercell": None if supercell is None else list(supercell),
        "min_length_A": min_length,
        "distance_A": distance,
        "fmax_eV_per_A": fmax,
    }
    call = Call("qha", files, settings, model, device, dtype, output_folder, index, format, elements, restart, quiet)
    run(call, _compute, _show)


def _compute(given: Input) -> dict[str, Any]:
    from tribond.properties.qha import quasi_harmonic
    from tribond.results.figures import save_figure
    from tribond.results.tables import write_csv

    settings = dict(given.job.settings)
    settings["volume_range"] = tuple(settings["volume_range"])
    found = quasi_harmonic(given.atoms, given.calculator, work=given.work, **settings)
    write_csv(given.job.file("qha.csv"), found.columns())
    save_structure(given.job, "structures.extxyz", *found.structures)
    save_figure(found.figure(given.label), given.job.file("qha.png"), given.job.file("qha.svg"))
    return found.summary()


def _show(summary: dict[str, Any]) -> "list[Table | str]":
    room = summary["at_300_K"]
    return [
        f"{summary['num_volumes']} volumes, up to {summary['highest_temperature_K']:g} K",
        (
            f"at {room['temperature_K']:g} K: linear expansion {room['linear_expansion_per_K'] * 1e6:.2f}e-6 per K, volume "
            f"{room['volume_A3_per_atom']:.4f} Å³/atom, bulk modulus {room['bulk_modulus_GPa']:.1f} GPa, C_P "
            f"{room['heat_capacity_P_J_per_K_per_mol_formula']:.2f} J/K per mole of formula units "
            f"({output.count(summary['atoms_per_formula'], 'atom')}), Grüneisen parameter {room['gruneisen_parameter']:.2f}"
        ),
    ]


app = options.verb(qha)
