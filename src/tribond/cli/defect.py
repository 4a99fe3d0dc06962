"""`tribond defect`: vacancies, substitutions and interstitials, and what they cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.property_jobs import AsGiven, Call, Double, Fmax, Input, run, save_structure

if TYPE_CHECKING:
    from ase import Atoms
    from rich.table import Table


def defect(
    files: options.Structures,
    vacancy: Annotated[
        list[str] | None,
        typer.Option(
            "--vacancy",
            metavar="EL",
            help="Take out an atom of this element, or of all; again for others. [default: all, if nothing else is asked]",
        ),
    ] = None,
    substitute: Annotated[
        list[str] | None,
        typer.Option("--substitute", metavar="OLD:NEW", help="Mg:Al puts Al in the place of Mg; again for others."),
    ] = None,
    interstitial: Annotated[
        list[str] | None,
        typer.Option("--interstitial", metavar="EL", help="Put this element into each void; again for others."),
    ] = None,
    mu: Annotated[
        list[str] | None,
        typer.Option(
            "--mu",
            metavar="EL=EV",
            help="Chemical potential in eV, such as O=-4.9. [default: of the pure element, by the potential]",
        ),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option("--reference", metavar="FILE", help="Structure of a pure element for its chemical potential."),
    ] = None,
    min_length: Annotated[
        float, typer.Option("--min-length-A", metavar="A", help="The supercell's vectors are at least so long, Å.")
    ] = 12.0,
    supercell: Annotated[
        tuple[int, int, int] | None,
        typer.Option("--supercell", metavar="A B C", help="Repeats of the cell along a, b and c instead."),
    ] = None,
    as_given: AsGiven = False,
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
    """Formation energies of neutral point defects.

    One defect on each site that symmetry tells apart, in a supercell whose atoms relax while its cell stays that of the
    crystal. Writes defects.csv, defects.extxyz (those at rest), defect.png, defect.svg and summary.json. Exit status 1 if a
    defect did not come to rest.
    """
    references = [_reference(path) for path in reference or ()]
    asked = bool(vacancy or substitute or interstitial)
    settings = {
        "vacancies": None if not asked or "all" in (vacancy or ()) else list(vacancy or ()),
        "substitutions": [parse_pair(text) for text in substitute or ()],
        "interstitials": list(interstitial or ()),
        "min_length_A": min_length,
        "repeats": None if supercell is None else list(supercell),
        "potentials_eV": parse_potentials(mu or ()),
        "references": [_fingerprint(atoms) for atoms in references],
        "relax_first": not as_given,
        "fmax_eV_per_A": fmax,
    }
    call = Call("defect", files, settings, model, device, dtype, output_folder, index, format, elements, restart, quiet)

    def compute(given: Input) -> dict[str, Any]:
        return _compute(given, references)

    run(call, compute, _show)


def parse_pair(text: str) -> list[str]:
    """The element that leaves and the one that comes.

    Raises:
        typer.BadParameter: for anything but OLD:NEW.
    """
    words = text.split(":")
    if len(words) != 2 or not all(words):
        raise typer.BadParameter(f"{text!r} must be two elements such as Mg:Al", param_hint="--substitute")
    return words


def parse_potentials(texts: "list[str] | tuple[str, ...]") -> dict[str, float]:
    """Energies by element.

    Raises:
        typer.BadParameter: for anything but EL=NUMBER.
    """
    found = {}
    for text in texts:
        symbol, _, number = text.partition("=")
        try:
            found[symbol.strip()] = float(number)
        except ValueError:
            raise typer.BadParameter(
                f"{text!r} must be an element and an energy in eV, such as O=-4.9", param_hint="--mu"
            ) from None
    return found


def _reference(path: Path) -> "Atoms":
    from tribond.cli.structure_files import read_good_frame

    if not path.exists():
        raise typer.BadParameter(f"there is no file {path}", param_hint="--reference")
    return read_good_frame(str(path)).atoms


def _fingerprint(atoms: "Atoms") -> str:
    from tribond.results.record import fingerprint

    return fingerprint(atoms)


def _compute(given: Input, references: "list[Atoms]") -> dict[str, Any]:
    from tribond.properties.defect import defects
    from tribond.results.figures import save_figure
    from tribond.results.tables import write_csv

    settings = dict(given.job.settings) | {"references": references}
    found = defects(given.atoms, given.calculator, work=given.work, **settings)
    write_csv(given.job.file("defects.csv"), found.columns())
    frames = []
    for it in found.defects:
        if it.final is not None:
            frame = it.final.copy()
            frame.calc = it.final.calc
            frame.info |= {"defect": it.plan.name, "formation_energy_eV": it.formation_eV}
            frames.append(frame)
    if frames:
        save_structure(given.job, "defects.extxyz", *frames)
    save_figure(found.figure(given.label), given.job.file("defect.png"), given.job.file("defect.svg"))
    return found.summary()


def _show(summary: dict[str, Any]) -> "list[Table | str]":
    right = ("sites", "formation energy (eV)", "before relaxation", "moved (Å)")
    table = output.plain_table("defect", "site", *right, right=right)
    for it in summary["defects"]:
        energy, moved = it["formation_energy_eV"], it["largest_move_A"]
        table.add_row(
            it["name"],
            it["site"],
            str(it["multiplicity"]),
            "not at rest" if energy is None else f"{energy:.3f}",
            f"{it['formation_energy_unrelaxed_eV']:.3f}",
            "" if moved is None else f"{moved:.2f}",
        )
    lines = [
        f"μ({symbol}) = {it['energy_eV']:.4f} eV: {it['source']}"
        for symbol, it in summary["chemical_potentials"].items()
    ]
    cell = (
        f"neutral, in a supercell of {summary['num_atoms']} atoms, {summary['distance_between_images_A']:.1f} Å from the "
        "nearest image"
    )
    return [table, *lines, cell]


app = options.verb(defect)
