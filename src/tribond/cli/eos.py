"""`tribond eos`: energy against volume, and the bulk modulus."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.property_jobs import AsGiven, Call, Double, Fmax, Input, run, save_structure

if TYPE_CHECKING:
    from rich.table import Table


class Equation(StrEnum):
    """The equations of tribond.properties.eos_fit, known without importing ASE."""

    BIRCH_MURNAGHAN = "birch-murnaghan"
    VINET = "vinet"
    MURNAGHAN = "murnaghan"
    POIRIER_TARANTOLA = "poirier-tarantola"


class Moving(StrEnum):
    """What relaxes at each volume."""

    ATOMS = "atoms"
    SHAPE = "shape"
    NOTHING = "nothing"


def parse_range(text: str, hint: str) -> tuple[float, float]:
    """Two numbers with a colon between them.

    Raises:
        typer.BadParameter: for anything else.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} must be two numbers such as 0.94:1.06", param_hint=hint) from None
    return low, high


def eos(
    files: options.Structures,
    equation: Annotated[Equation, typer.Option(help="What V0, B0 and B0' are read from; all others are told, too.")] = (
        Equation.BIRCH_MURNAGHAN
    ),
    volumes: Annotated[
        str, typer.Option("--range", metavar="LOW:HIGH", help="Volumes, in units of the relaxed one.")
    ] = "0.94:1.06",
    points: Annotated[int, typer.Option(metavar="N", help="How many volumes.")] = 11,
    relax: Annotated[
        Moving, typer.Option(help="What relaxes at each volume: atoms; atoms and shape of the cell; nothing.")
    ] = Moving.ATOMS,
    fmax: Fmax = 0.002,
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
    """Equation of state: energy against volume, V0, B0 and B0' with their errors.

    Writes energy_volume.csv, structures.extxyz, eos.png, eos.svg and summary.json. A fit that is none is refused; the
    points are written all the same.
    """
    settings = {
        "equation": equation.value,
        "volume_range": list(parse_range(volumes, "--range")),
        "points": points,
        "relax_atoms": relax is not Moving.NOTHING,
        "relax_shape": relax is Moving.SHAPE,
        "relax_first": not as_given,
        "fmax_eV_per_A": fmax,
    }
    call = Call("eos", files, settings, model, device, dtype, output_folder, index, format, elements, restart, quiet)
    run(call, _compute, _show)


def _compute(given: Input) -> dict[str, Any]:
    from tribond.properties.eos import energy_volume_curve, fit_curve
    from tribond.properties.eos_figure import draw
    from tribond.properties.eos_fit import FitError
    from tribond.results.figures import save_figure
    from tribond.results.tables import write_csv

    settings = dict(given.job.settings)
    equation = settings.pop("equation")
    settings["volume_range"] = tuple(settings["volume_range"])
    curve = energy_volume_curve(given.atoms, given.calculator, work=given.work, **settings)
    write_csv(given.job.file("energy_volume.csv"), curve.columns())
    save_structure(given.job, "structures.extxyz", *curve.structures)
    png, svg = given.job.file("eos.png"), given.job.file("eos.svg")
    try:
        found = fit_curve(curve, equation)
    except FitError:
        save_figure(draw(curve, None, f"{given.label}: no fit"), png, svg)
        output.note(f"the points are in {given.job.folder}: energy_volume.csv, eos.png")
        raise
    save_figure(found.figure(given.label), png, svg)
    return found.summary()


def _show(summary: dict[str, Any]) -> "list[Table | str]":
    table = output.plain_table("equation", "V0 (Å³/atom)", "B0 (GPa)", "B0'", "residual (meV/atom)")
    for fit in (summary, *summary["other_equations"].values()):
        error = fit["V0_error_A3"] / summary["num_atoms"]
        table.add_row(
            fit["equation"],
            f"{fit['V0_A3_per_atom']:.4f} ± {error:.4f}",
            f"{fit['B0_GPa']:.2f} ± {fit['B0_error_GPa']:.2f}",
            f"{fit['B0_prime']:.2f} ± {fit['B0_prime_error']:.2f}",
            f"{fit['rms_residual_meV_per_atom']:.4f}",
        )
    return [table]


app = options.verb(eos)
