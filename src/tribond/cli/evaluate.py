"""`tribond evaluate`: how far a potential is from reference data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.evaluate_tables import print_reports
from tribond.errors import DataError

if TYPE_CHECKING:
    from tribond.data.frames import Frame
    from tribond.evaluation.metrics import EvaluationReport
    from tribond.models.ensemble import Ensemble
    from tribond.models.potential import Potential
    from tribond.reading.content import Options

CANNOT_BE_USED = "cannot be used"  # of frames that are left out
KINDS = ("energy", "forces", "stress")


class StressUnit(StrEnum):
    """Units of stress in files, as tribond.data.frames names them."""

    EV_PER_A3 = "eV/A^3"
    GPA = "GPa"
    KBAR = "kbar"


def evaluate(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name of a model, such as default, or path of a model file.")
    ],
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="Files with structures, energies, forces and stresses in any format ASE reads, .gz too.",
        ),
    ],
    output_folder: Annotated[Path, options.output("DIR", "Folder for tables and plots.")] = Path("evaluation"),
    frames: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Structures of each file, chosen at random. [default: all]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another number, another choice of --frames.")] = 0,
    labels: Annotated[
        str, typer.Option(metavar="NAMES", help="What to compare, with commas in between.")
    ] = "energy,forces,stress",
    stress_unit: Annotated[
        StressUnit,
        typer.Option(
            help="Of the stress in the files; tension is positive, but for kbar, VASP's, where it is negative."
        ),
    ] = StressUnit.EV_PER_A3,
    energy_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Energies have this name in the files.")
    ] = None,
    forces_key: Annotated[str | None, typer.Option(metavar="NAME", help="Forces have this name.")] = None,
    stress_key: Annotated[str | None, typer.Option(metavar="NAME", help="Stresses have this name.")] = None,
    virial_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Virials (eV) have this name; stress = -virial / volume.")
    ] = None,
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    max_force: Annotated[
        float | None,
        typer.Option(min=0, metavar="EV_PER_A", help="Leave out structures with a force component beyond, eV/Å."),
    ] = None,
    max_stress: Annotated[
        float | None,
        typer.Option(min=0, metavar="GPA", help="Leave out structures with a stress component beyond, GPa."),
    ] = None,
    structure: Annotated[
        str, typer.Option(metavar="NAME", help="For models of properties: the column of tables with structures.")
    ] = "structure",
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="For models of properties: the column of its target; once for each of several targets."
        ),
    ] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Write all structures with labels and predictions, as extxyz.")
    ] = False,
    device: options.Device = None,
    dtype: options.Dtype = options.Precision.FLOAT32,
    quiet: options.Quiet = False,
) -> None:
    """Measure a model against reference data.

    Prints and writes MAE and RMSE of energy (meV/atom), forces (meV/Å, over components) and stress (GPa, over the 9
    components), of each file and each element. The energy is also compared after a shift of the elements' energies that
    fits each file best: it tells an error of the model from another zero of energy.

    The folder gets summary.json, summary.csv, elements.csv, frames.csv and a parity plot of each file; they replace
    older ones. Of an ensemble it is also told how its spread compares with its errors, with a calibration plot.

    A model of properties is compared with those in tables (.csv, .parquet, .json) or in the info of structures, under the
    keys that it was trained with: MAE, RMSE and R², or accuracy and AUC of classes.

    Exit status: 0 all fine, 1 some file failed, 2 wrong usage.
    """
    wanted = _parse_labels(labels)
    options.check_folder(output_folder)
    if stress_key is not None and virial_key is not None:
        raise typer.BadParameter("it names the same label as --stress-key; leave one out", param_hint="--virial-key")
    reading = options.reading(format, elements)
    from tribond.models.property_model import PropertyModel

    potential = output.load_model(model, device, dtype)
    from tribond.cli.evaluate_property import evaluate_properties, refuse_options

    refuse_options(context, of_properties=isinstance(potential, PropertyModel))
    if isinstance(potential, PropertyModel):
        evaluate_properties(
            potential, data, output_folder, structure=structure, given=key or [], reading=reading, quiet=quiet
        )
        return
    settings = {
        "frames": frames,
        "seed": seed,
        "labels": wanted,
        "stress_unit": stress_unit.value,
        "energy_key": energy_key,
        "forces_key": forces_key,
        "stress_key": stress_key,
        "virial_key": virial_key,
        "max_force_eV_per_A": max_force,
        "max_stress_GPa": max_stress,
    }
    files, failed = _expand(data)
    reports: list[EvaluationReport] = []
    for file in files:
        with output.failures_reported("") as errors:
            reports.append(_evaluate_file(file, potential, settings, reading, quiet=quiet))
        failed += len(errors)
    if reports:
        from tribond.evaluation.files import write_reports

        name = str(potential.metadata.get("name", "model"))
        record = {
            "tribond_version": output.version(),
            "model": output.model_record(potential),
            "settings": settings,
            "failed": failed,
        }
        with output.quiet_libraries():
            written = write_reports(reports, output_folder, record, model=name, predictions=predictions)
        if not quiet:
            print_reports(reports)
            terminal = output.console()
            terminal.print(f"wrote {output_folder}: {', '.join(path.name for path in written)}", markup=False)
    if failed:
        raise typer.Exit(output.FAILED)


# `tribond` finds the verb here without importing this file for its help.
app = options.verb(evaluate)


def _parse_labels(names: str) -> list[str]:
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    wrong = [name for name in chosen if name not in KINDS]
    if wrong or not chosen:
        raise typer.BadParameter(
            f"{', '.join(wrong) or 'nothing'} is none of {', '.join(KINDS)}", param_hint="--labels"
        )
    return chosen


def _expand(patterns: list[str]) -> tuple[list[str], int]:
    """The files, and how many patterns match nothing."""
    from tribond.data.frames import expand

    files: list[str] = []
    failed = 0
    for pattern in patterns:
        try:
            files += expand(pattern)
        except DataError as error:
            output.report(error)
            failed += 1
    return files, failed


def _evaluate_file(
    file: str, potential: "Potential | Ensemble", settings: dict[str, Any], reading: "Options", *, quiet: bool
) -> "EvaluationReport":
    from tribond.data.frames import read_one
    from tribond.data.labels import LabelKeys
    from tribond.evaluation.evaluate import evaluate_frames
    from tribond.evaluation.units import unit_notes

    keys = LabelKeys(*(settings[f"{name}_key"] for name in ("energy", "forces", "stress", "virial")))

    with _progress(Path(file).name, quiet=quiet) as (start, advance):
        with output.quiet_libraries():
            bad: list[DataError] = []
            frames, notes = read_one(
                file, set(settings["labels"]), settings["stress_unit"], keys, reading, on_bad=bad.append
            )
        for error in bad:
            output.note(f"{error}; it is left out")
        for text in notes:
            output.note(f"{file}: {text}")
        kept = _filter(frames, settings["max_force_eV_per_A"], settings["max_stress_GPa"])
        beyond = len(frames) - len(kept)
        chosen = _choose(kept, settings["frames"], settings["seed"])
        start(len(chosen))
        report = evaluate_frames(potential, chosen, name=file, on_progress=advance)
        if bad:
            report = replace(report, skipped={**report.skipped, CANNOT_BE_USED: len(bad)})
    if beyond and not quiet:
        output.note(f"{file}: {beyond} of {len(frames)} structures are beyond --max-force or --max-stress")
    for reason, count in report.skipped.items():
        if not quiet and reason != CANNOT_BE_USED:  # those are named one by one
            output.note(f"{file}: {count} of {len(chosen)} structures left out ({reason})")
    for text in unit_notes(report.results):
        output.note(f"{file}: {text}")
    if not report.frames:
        raise DataError(f"{file}: no structure is left to evaluate")
    return report


def _filter(frames: "list[Frame]", max_force: float | None, max_stress: float | None) -> "list[Frame]":
    import numpy as np

    from tribond.units import EV_PER_A3_TO_GPA

    def within(values: Any, limit: float | None, factor: float = 1.0) -> bool:
        return limit is None or values is None or factor * float(np.abs(values).max(initial=0.0)) <= limit

    return [f for f in frames if within(f.forces, max_force) and within(f.stress, max_stress, EV_PER_A3_TO_GPA)]


def _choose(frames: "list[Frame]", count: int | None, seed: int) -> "list[Frame]":
    """Some frames at random, in the order of the file."""
    import numpy as np

    if count is None or count >= len(frames):
        return frames
    return [frames[index] for index in sorted(np.random.default_rng(seed).permutation(len(frames))[:count])]


@contextmanager
def _progress(title: str, *, quiet: bool) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar on the terminal; nothing where standard error is not a terminal.

    Yields:
        What to call with the total once it is known, and with the number of frames done.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = output.console(stderr=True)
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = quiet or not terminal.is_terminal
    with Progress(*columns, console=terminal, transient=True, disable=hidden) as progress:
        task = progress.add_task(f"reading {output.shown(title)}", total=None)
        yield (
            lambda total: progress.update(task, description=output.shown(title), total=total),
            lambda count: progress.advance(task, count),
        )
