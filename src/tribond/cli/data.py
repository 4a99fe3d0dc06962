"""`tribond data`: stores of labelled structures, made from files, looked at, and the data sets that others published."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.data_download import download

if TYPE_CHECKING:
    from tribond.data.store.store import Store

SILENCE = 10.0  # s between two lines that say how far it is
app = options.group()


class OnError(StrEnum):
    """What to do with a structure that cannot be used."""

    STOP = "stop"
    SKIP = "skip"


class Duplicates(StrEnum):
    """What to do with a structure that was there before."""

    KEEP = "keep"
    DROP = "drop"


class StressUnit(StrEnum):
    """Of stresses in the files."""

    EV_PER_A3 = "eV/A^3"
    GPA = "GPa"
    KBAR = "kbar"


class VaspEnergy(StrEnum):
    """Which of VASP's energies."""

    E0 = "e0"
    FREE = "free"


@app.callback()
def data() -> None:
    """Make, look at and download stores of labelled structures. docs/data.md explains them."""


app.command()(download)


@app.command()
def build(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the store.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Files, patterns with * and folders (runs of VASP, and data below them); LEVEL=SOURCE names the level of theory.",
        ),
    ],
    cutoff: Annotated[
        list[float], typer.Option(metavar="Å", help="Count the bonds within this; several times for several.")
    ] = [5.0],  # noqa: B006 - typer reads it
    stress_unit: Annotated[
        StressUnit | None,
        typer.Option(
            help="Of stresses in all files but VASP's own; kbar has VASP's sign. [default: kbar for MPtrj and MatPES, else eV/A^3]"
        ),
    ] = None,
    energy_key: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the energies in the files.")] = None,
    forces_key: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the forces.")] = None,
    stress_key: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the stresses.")] = None,
    virial_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of virials (eV), instead of stresses.")
    ] = None,
    id_key: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of what tells the material. [default: material_id, mp_id, id, ...]"),
    ] = None,
    vasp_energy: Annotated[
        VaspEnergy,
        typer.Option(help="VASP's energy without smearing, or the free energy, of which forces are derivatives."),
    ] = VaspEnergy.E0,
    on_error: Annotated[
        OnError, typer.Option(help="Structures that cannot be used stop the building, or are left out and listed.")
    ] = OnError.STOP,
    duplicates: Annotated[
        Duplicates, typer.Option(help="The same structure at the same level of theory, again.")
    ] = Duplicates.KEEP,
    accept_units: Annotated[
        bool, typer.Option("--accept-units", help="Finish though energies contradict the units of forces or stresses.")
    ] = False,
    format_name: options.Format = None,
    elements: options.Elements = "",
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew; removes the old store.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn files into one store that trains at once, whatever its size.

    Reads extended XYZ, JSON of MatPES and MPtrj, Parquet, ase.db and aselmdb, vasprun.xml, OUTCAR, and what ASE reads.
    Nothing is left out without being counted and listed in OUT/skipped.jsonl. The same command goes on after an
    interruption, and shows a finished store again.

    Exit status: 0 done, 1 something cannot be used, 2 bad settings or OUT holds something else, 130 interrupted.
    """
    from tribond.data.labels import LabelKeys
    from tribond.data.store.build import BuildSettings
    from tribond.data.store.build import build as make
    from tribond.data.store.settings import ReadSettings

    options.check_folder(out)
    settings = BuildSettings(
        ReadSettings(
            None if stress_unit is None else stress_unit.value,
            LabelKeys(energy_key, forces_key, stress_key, virial_key),
            id_key,
            options.reading(format_name, elements),
            vasp_energy.value,
        ),
        tuple(cutoff),
        duplicates.value,
        on_error.value,
        accept_units,
    )
    began = time.monotonic()
    with _messages(quiet=quiet), output.quiet_libraries():
        store = make(out, sources, settings, restart=restart, on_note=output.note, on_progress=_progress(quiet=quiet))
    if not quiet:
        output.console().print(f"wrote {out} in {time.monotonic() - began:.0f} s", markup=False, soft_wrap=True)
        _print_report(store)


@app.command()
def inspect(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder that `tribond data build` made.")],
    output_folder: Annotated[
        Path | None, options.output("DIR", "Folder for the figures. [default: inspect in the store]")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare all files with their checksums.")] = False,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Print only.")] = False,
    folds: Annotated[int, typer.Option(metavar="N", help="Parts of a split, whose sizes are shown.")] = 10,
) -> None:
    """Print and draw what a store holds: elements, energies, forces, stresses, volumes, distances.

    Exit status: 0 all well, 1 the store is damaged or not finished.
    """
    from tribond.data.store.folder import FIGURES
    from tribond.data.store.plots import write_plots
    from tribond.data.store.store import Store
    from tribond.data.store.writer import damaged_files

    opened = Store(store)
    if verify and (wrong := damaged_files(opened)):
        from tribond.errors import DataError

        raise DataError(f"{store} is damaged: {', '.join(wrong)} not as it was written; build it again")
    _print_report(opened)
    _print_folds(opened, folds)
    if verify:
        output.console().print("all files have their checksums")
    if not no_plots:
        with output.quiet_libraries():
            files = write_plots(opened, output_folder or store / FIGURES)
        output.console().print(f"wrote {', '.join(map(str, files))}", markup=False, soft_wrap=True)


@contextmanager
def _messages(*, quiet: bool) -> Iterator[None]:
    """Show what the building has to say."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not quiet or record.levelno >= logging.WARNING:
                output.note(record.getMessage())

    logger = logging.getLogger("tribond.data")
    handler, level = Handler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _progress(*, quiet: bool) -> Callable[[Path, int, int, int], None]:
    terminal = output.console(stderr=True)
    said = time.monotonic()

    def tell(path: Path, number: int, files: int, frames: int) -> None:
        nonlocal said
        if not quiet and time.monotonic() - said > SILENCE:
            said = time.monotonic()
            text = f"{frames:,} structures so far, in file {number + 1} of {files}: {path}"
            terminal.print(output.printable(text), markup=False, soft_wrap=True)

    return tell


def _print_report(store: "Store") -> None:
    import json

    report: dict[str, Any] = json.loads((store.path / "report.json").read_text(encoding="utf-8"))
    terminal = output.console()
    terminal.print()
    terminal.print(
        f"{report['structures']:,} structures, {report['atoms']:,} atoms, {len(report['elements'])} elements, "
        f"{report['formulas']:,} compounds, {report['ids']:,} ids; bonds counted within "
        f"{', '.join(f'{cutoff:g}' for cutoff in store.cutoffs)} Å"
    )
    terminal.print("labels: " + ", ".join(f"{name} {count:,}" for name, count in report["labels"].items()))
    columns = ("structures", "eV/atom: median", "spread", "without elements")
    table = output.plain_table("level of theory", *columns, right=columns)
    for level in report["levels"]:
        known = level.get("energy_per_atom_eV")
        numbers = ("-",) * 3
        if known is not None:
            left = level["without_elements_eV"]["standard_deviation"]
            numbers = (f"{known['median']:.3f}", f"{known['standard_deviation']:.3f}", f"{left:.3f}")
        table.add_row(output.shown(level["name"]), f"{level['structures']:,}", *numbers)
    terminal.print(table)
    told = [verdict for verdict in report["units"] if verdict["ratio"] is not None]
    for verdict in told:
        terminal.print(verdict["text"], markup=False, soft_wrap=True)
    if len(told) < len(report["units"]):
        unknown = len(report["units"]) - len(told)
        terminal.print(
            f"units of {unknown} more cannot be told from energies: too few pairs of near structures (report.json has the counts)"
        )
    _print_findings(report, store.path)


def _print_findings(report: dict[str, Any], path: Path) -> None:
    terminal = output.console()
    again = report["duplicates"]
    if again["count"]:
        example = f" (first {again['examples'][0][1]} as {again['examples'][0][0]})"
        terminal.print(f"duplicates: {again['count']:,}{example}", markup=False, soft_wrap=True)
    if again["contradicting"]:
        one, two, difference = again["contradicting_examples"][0]
        output.note(
            f"{again['contradicting']:,} duplicates have different energies (first {two} and {one}: {difference:+g} eV)"
        )
    for what, found in report["outliers"].items():
        terminal.print(f"{what}: {found['count']:,} (first {found['examples'][0]})", markup=False, soft_wrap=True)
    for kind, count in report["skipped"].items():
        terminal.print(
            f"left out, {kind}: {count:,}; {path / 'skipped.jsonl'} lists them", markup=False, soft_wrap=True
        )


def _print_folds(store: "Store", folds: int) -> None:
    import numpy as np

    ways = ["composition"] + ([] if len(store) == 0 or store.column("id").min() < 0 else ["id"])
    for by in ways:
        counts = np.bincount(store.fold(folds, by), minlength=folds)
        output.console().print(f"split by {by} into {folds}: {', '.join(map(str, counts.tolist()))} structures")
