"""`tribond elastic`: the elastic tensor."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.property_jobs import AsGiven, Call, Double, Fmax, Input, run, save_structure

if TYPE_CHECKING:
    from rich.table import Table

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")


def elastic(
    files: options.Structures,
    strain: Annotated[float, typer.Option(metavar="NUMBER", help="Amplitude, applied with both signs.")] = 0.005,
    clamped: Annotated[
        bool, typer.Option("--clamped", help="Clamped ions only: atoms do not move in the strained cells.")
    ] = False,
    fmax: Fmax = 0.001,
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
    """Elastic tensor, moduli, stability, Debye temperature.

    From the stresses of strained cells, with clamped and with relaxed ions. Writes
    elastic_tensor.csv, relaxed.extxyz, elastic.png, elastic.svg and summary.json.
    """
    settings = {"strain": strain, "relax_ions": not clamped, "relax_first": not as_given, "fmax_eV_per_A": fmax}
    call = Call(
        "elastic", files, settings, model, device, dtype, output_folder, index, format, elements, restart, quiet
    )
    run(call, _compute, _show)


def _compute(given: Input) -> dict[str, Any]:
    from tribond.properties.elastic import elasticity
    from tribond.results.figures import save_figure
    from tribond.results.tables import write_csv

    found = elasticity(given.atoms, given.calculator, work=given.work, **given.job.settings)
    columns: dict[str, Any] = {"strain": VOIGT}
    columns |= {f"{name}_GPa": found.standard()[:, i] for i, name in enumerate(VOIGT)}
    columns |= {f"{name}_clamped_ions_GPa": found.standard(found.clamped)[:, i] for i, name in enumerate(VOIGT)}
    write_csv(given.job.file("elastic_tensor.csv"), columns)
    save_structure(given.job, "relaxed.extxyz", found.structure)
    save_figure(found.figure(given.label), given.job.file("elastic.png"), given.job.file("elastic.svg"))
    if not found.moduli.mechanically_stable:
        output.note("the crystal is mechanically unstable: its elastic tensor has negative eigenvalues")
    return found.summary()


def _show(summary: dict[str, Any]) -> "list[Table | str]":
    tensor = output.plain_table("C (GPa)", *VOIGT, right=VOIGT)
    for name, row in zip(VOIGT, summary["elastic_tensor_GPa"], strict=True):
        tensor.add_row(name, *(f"{value + 0.0:.1f}" if abs(value) >= 0.05 else "0" for value in row))
    averages = output.plain_table("modulus (GPa)", "Voigt", "Reuss", "Hill", right=("Voigt", "Reuss", "Hill"))
    for name in ("bulk", "shear"):
        values = [summary[f"{name}_modulus{kind}_GPa"] for kind in ("_voigt", "_reuss", "")]
        averages.add_row(name, *(f"{value:.1f}" for value in values))
    debye = summary["debye_temperature_K"]
    lines = [
        (
            f"Young's modulus {summary['youngs_modulus_GPa']:.1f} GPa ({summary['youngs_modulus_smallest_GPa']:.1f} to "
            f"{summary['youngs_modulus_largest_GPa']:.1f} by direction), Poisson's ratio {summary['poisson_ratio']:.3f}, "
            f"universal anisotropy {summary['universal_anisotropy']:.2f}"
        ),
        "mechanically unstable" if debye is None else f"mechanically stable, Debye temperature {debye:.0f} K",
        (
            f"{summary['ions']} ions; standard axes: x, y, z along a, b, c of the conventional cell where these are normal to each "
            "other, x along a and z along c of hexagonal ones (summary.json has the input's axes, too)"
        ),
    ]
    return [tensor, averages, *lines]


app = options.verb(elastic)
