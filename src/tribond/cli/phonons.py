"""`tribond phonons`: bands, densities of states, thermal properties."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.property_jobs import AsGiven, Call, Double, Fmax, Input, run, save_structure

if TYPE_CHECKING:
    from rich.table import Table

MOST_SHOWN = 8  # imaginary modes on the terminal; summary.json has all

Supercell = Annotated[
    tuple[int, int, int] | None,
    typer.Option("--supercell", metavar="A B C", help="Repeats of the cell. [default: as --min-length-A has it]"),
]
MinLength = Annotated[
    float, typer.Option("--min-length-A", metavar="A", help="Every vector of the supercell is at least this long, Å.")
]
Distance = Annotated[float, typer.Option("--distance-A", metavar="A", help="By which atoms are displaced, Å.")]


def phonons(
    files: options.Structures,
    supercell: Supercell = None,
    min_length: MinLength = 15.0,
    distance: Distance = 0.01,
    mesh_length: Annotated[
        float, typer.Option("--mesh-length-A", metavar="A", help="q-points of the mesh are 2π over this apart, Å.")
    ] = 80.0,
    born: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Born charges and dielectric tensor (phonopy's BORN), to split optical modes."
        ),
    ] = None,
    follow_imaginary: Annotated[
        bool, typer.Option("--follow-imaginary", help="Push the crystal along its lowest imaginary mode and relax it.")
    ] = False,
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
    """Phonons: bands, densities of states, thermal properties, imaginary modes.

    By phonopy, from the forces of displaced supercells. Writes phonopy.yaml (with force constants, for phonopy to go on
    from), bands.csv, dos.csv, thermal.csv, relaxed.extxyz, bands.png, thermal.png (and .svg), summary.json.
    """
    from tribond.results.record import file_fingerprint

    if born is not None and not born.is_file():
        raise typer.BadParameter(f"there is no file {born}", param_hint="--born")
    settings = {
        "supercell": None if supercell is None else list(supercell),
        "min_length_A": min_length,
        "distance_A": distance,
        "mesh_length_A": mesh_length,
        "born": None if born is None else {"file": str(born), "sha256": file_fingerprint(born)},
        "follow_imaginary": follow_imaginary,
        "relax_first": not as_given,
        "fmax_eV_per_A": fmax,
    }
    call = Call(
        "phonons", files, settings, model, device, dtype, output_folder, index, format, elements, restart, quiet
    )
    run(call, _compute, _show)


def _compute(given: Input) -> dict[str, Any]:
    from tribond.properties.phonons import phonons as compute
    from tribond.results.figures import save_figure
    from tribond.results.tables import write_csv

    settings = dict(given.job.settings)
    if settings["born"] is not None:
        settings["born"] = Path(settings["born"]["file"])
    found = compute(given.atoms, given.calculator, work=given.work, **settings)
    job = given.job
    found.save(job.file("phonopy.yaml"))
    write_csv(job.file("bands.csv"), found.bands.columns())
    write_csv(job.file("dos.csv"), found.dos.columns())
    write_csv(job.file("thermal.csv"), found.thermal.columns())
    save_structure(job, "relaxed.extxyz", found.structure)
    if found.followed is not None:
        save_structure(job, "followed.extxyz", found.followed.structure)
    save_figure(found.figure(given.label), job.file("bands.png"), job.file("bands.svg"))
    save_figure(found.thermal_figure(given.label), job.file("thermal.png"), job.file("thermal.svg"))
    return found.summary()


def _show(summary: dict[str, Any]) -> "list[Table | str]":
    lines: list[Table | str] = [
        (
            f"displacements: {summary['num_displacements']}, in supercells of {summary['num_atoms_supercell']} atoms; "
            f"frequencies up to {summary['highest_frequency_THz']:.2f} THz"
        ),
        (
            f"at 298.15 K: heat capacity {summary['heat_capacity_298K_J_per_K_per_mol_formula']:.2f} J/K and entropy "
            f"{summary['entropy_298K_J_per_K_per_mol_formula']:.2f} J/K per mole of formula units "
            f"({output.count(summary['atoms_per_formula'], 'atom')})"
        ),
    ]
    modes = summary["imaginary_modes"]
    if not modes:
        return [*lines, "no imaginary modes: the crystal is dynamically stable"]
    table = output.plain_table("imaginary at", "q", "THz", "", right=("THz",))
    for mode in modes[:MOST_SHOWN]:
        q = "(" + ", ".join(f"{value:.4g}" for value in mode["q"]) + ")"
        exact = "" if mode["exact"] else "interpolated: a larger supercell tells"
        table.add_row(mode["label"] or "-", q, f"{mode['frequency_THz']:.3f}", exact)
    lines += [f"{len(modes)} q-points with imaginary modes (of each kind, the lowest):", table]
    followed = summary["followed"]
    lines.append("heat capacity, entropy and free energy leave these modes out: they are not those of a stable crystal")
    if followed is None:
        lines.append("--follow-imaginary tells where the lowest leads")
    else:
        lines.append(
            f"following the lowest: {followed['energy_change_eV_per_atom'] * 1000:.2f} meV/atom, "
            f"{followed['num_atoms']} atoms, space group {followed['space_group'] or 'unknown'} (followed.extxyz)"
        )
    return lines


app = options.verb(phonons)
