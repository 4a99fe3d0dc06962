"""`tribond relax`: relax structures from files, watch it live, write what came out."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import many, options, output
from tribond.cli.relax_many import MANY, RELAXED, TABLE, Call, default_folder, relax_many
from tribond.cli.relax_notes import note_lonely_atoms, note_open_axes, note_replaced
from tribond.cli.relax_report import Outcome, print_outcomes
from tribond.cli.relax_work import endings, follow, follow_several, watched, write_results
from tribond.cli.structure_files import BadFrame, Frame, OutputNames, read_frames
from tribond.reading.names import split_index

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from tribond.reading.content import Options


class Optimizer(StrEnum):
    """The optimizers of tribond.properties.relax, known without importing ASE."""

    LBFGS = "LBFGS"
    BFGS = "BFGS"
    FIRE = "FIRE"
    FIRE2 = "FIRE2"


def relax(
    files: options.Structures,
    output_folder: Annotated[
        Path | None,
        options.output("DIR", "Folder for all results. [default: beside each input]"),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(metavar="INDEX", help="Frames to relax of each file: 0, -1, :, -5:, ::10. [default: the last]"),
    ] = None,
    fix_cell: Annotated[
        bool, typer.Option("--fix-cell", help="Relax the atoms only. (Molecules always keep their cell.)")
    ] = False,
    cell_axes: Annotated[
        str | None,
        typer.Option(
            "--cell-axes",
            metavar="AXES",
            help="Axes of the cell that may change, such as ab for a layer in a periodic box. [default: the periodic ones]",
        ),
    ] = None,
    pressure: Annotated[
        float, typer.Option("--pressure-GPa", metavar="GPA", help="Pressure from outside; compression is positive.")
    ] = 0.0,
    fmax: Annotated[
        float,
        typer.Option(
            min=1e-8,
            metavar="EV_PER_A",
            help="Converged when no force on an atom, nor the cell's (virial / number of atoms), is larger; eV/Å.",
        ),
    ] = 0.005,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Give up after so many steps.")] = 500,
    optimizer: Annotated[
        Optimizer, typer.Option(case_sensitive=False, help="ASE's optimizer; LBFGS is fast, FIRE patient.")
    ] = Optimizer.LBFGS,
    fix_symmetry: Annotated[
        bool, typer.Option("--fix-symmetry", help="Keep the space group, found to within 0.02 Å.")
    ] = False,
    model: options.Model = "default",
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    device: options.Device = None,
    dtype: Annotated[
        options.Precision, typer.Option(help="float64 converges smoothly, float32 is faster.")
    ] = options.Precision.FLOAT64,
    starts: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Starts: the structure as given and N - 1 rattled copies; the lowest wins."
        ),
    ] = 1,
    rattle: Annotated[
        float | None,
        typer.Option("--rattle-A", min=1e-6, metavar="A", help="How far copies are rattled, Å. [default: 0.1]"),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Four files a structure, one structure after the other, however many.")
    ] = False,
    jobs: many.Jobs = None,
    time_limit: many.TimeLimit = 3600.0,
    table: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Of the table of many, .csv or .parquet. [default: {TABLE}]")
    ] = None,
    structures: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Of the file of many structures, .extxyz or .db. [default: {RELAXED}]"),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Of many: begin anew, removing what an earlier run left in the folder.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Relax structures: atoms and cell. FILE may be a folder, a pattern in quotes, a tar or zip archive.

    Each input X.cif gives four files, which replace older ones with a note: the structure X_relaxed.cif in the input's format,
    the way there X_relaxation.traj, a summary X_relaxation.json and a plot X_relaxation.png.

    More than 32 structures, and those of archives, are relaxed by a pool of processes into one folder: a table, one file of
    structures, and results.db, which grows while they are computed. The same command goes on where it was stopped or killed.

    Structures go to the nearest minimum of the energy, or of the enthalpy under pressure. Crystals relax atoms and cell,
    layers (pbc T T F) atoms and area, wires atoms and length, molecules their atoms. --fix-cell keeps the cell, as a slab
    that stands for the surface of a crystal needs; with fixed atoms layers and wires keep it by themselves.

    Exit status: 0 all converged, 1 some failed or did not converge, 2 wrong usage.
    """
    _check_usage(pressure, cell_axes, starts, rattle, fix_cell=fix_cell, fix_symmetry=fix_symmetry)
    if output_folder is not None:
        options.check_folder(output_folder)
    from tribond.reading.collections import files_of

    reading = options.reading(format, elements)
    settings = {
        "fmax_eV_per_A": fmax,
        "steps": steps,
        "optimizer": optimizer.value,
        "relax_cell": not fix_cell,
        "pressure_GPa": pressure,
        "fix_symmetry": fix_symmetry,
        "cell_axes": cell_axes,
    }
    for_many = {"--jobs": jobs, "--table": table, "--structures": structures, "--restart": restart or None}
    said = [name for name, value in for_many.items() if value is not None]
    table, structures = table or TABLE, structures or RELAXED
    many.check_name(table, many.TABLES, "--table")
    many.check_name(structures, many.STRUCTURES, "--structures")
    folder = output_folder or default_folder(files)
    with files_of(files, [folder]) as found:
        collected = many.collect(found, index, reading) if many.may_exceed(found, index, MANY) or said else None
        if each or collected is None or not (said or not found.beside or len(collected.frames) > MANY):
            _check_each(said, beside=found.beside or output_folder is not None, each=each)
            many.print_notes(found.notes)
            calculator, model_record = _load(model, device, dtype)
            outcomes = _relax_each(
                found.names,
                index,
                reading,
                calculator,
                settings,
                starts,
                rattle,
                output_folder,
                model_record,
                quiet=quiet,
            )
            for name, error in found.bad:
                output.report(error, name)
                outcomes.append(Outcome(name))
            if not quiet:
                print_outcomes(outcomes)
            if not all(outcome.converged for outcome in outcomes):
                raise typer.Exit(output.FAILED)
            return
        if starts > 1:
            raise typer.BadParameter("of many structures takes --each", param_hint="--starts")
        relax_many(
            collected,
            Call(
                settings,
                model,
                device,
                dtype,
                folder,
                table,
                structures,
                jobs,
                time_limit,
                restart,
                quiet,
            ),
        )


def _relax_each(
    files: list[str],
    index: str | None,
    reading: "Options",
    calculator: "Calculator",
    settings: dict[str, Any],
    starts: int,
    rattle: float | None,
    output_folder: Path | None,
    model_record: dict[str, Any],
    *,
    quiet: bool,
) -> list[Outcome]:
    """One structure after the other, each with its four files."""
    names = OutputNames([split_index(name)[0] for name in files], output_folder)
    free_cell = settings["relax_cell"] and settings["cell_axes"] is None
    outcomes = []
    for number, name in enumerate(files, start=1):
        frames: list[Frame | BadFrame] = []
        with output.failures_reported(name):
            frames = read_frames(name, index, reading)
        if not frames:
            outcomes.append(Outcome(name))
        for frame in frames:
            outcome = Outcome(frame.label)
            if isinstance(frame, BadFrame):
                output.report(frame.error, frame.label)
                outcomes.append(outcome)
                continue
            with output.failures_reported(frame.label):
                if free_cell and not quiet:
                    note_open_axes(frame, model_record["cutoff_A"])
                count = f"{number}/{len(files)} " if len(files) > 1 else ""
                targets = names.choose(frame, endings(frame))
                note_replaced(targets, settings, model_record)
                with watched(count + frame.label, quiet=quiet) as on_step:
                    outcome = _relaxed(
                        frame, calculator, settings, (starts, rattle or 0.1), targets, on_step, model_record
                    )
                if not quiet:
                    note_lonely_atoms(outcome, model_record["cutoff_A"])
            outcomes.append(outcome)
    return outcomes


def _check_each(said: list[str], *, beside: bool, each: bool) -> None:
    """Refuse what four files a structure cannot do."""
    if each and not beside:
        msg = "files of folders and archives get no others beside them; choose a folder with --output"
        raise typer.BadParameter(msg, param_hint="--each")
    if each and said:
        raise typer.BadParameter(f"it does not go with {said[0]}, which is for many at once", param_hint="--each")


def _check_usage(
    pressure: float, cell_axes: str | None, starts: int, rattle: float | None, *, fix_cell: bool, fix_symmetry: bool
) -> None:
    """Refuse options that contradict each other."""
    if pressure and fix_cell:
        raise typer.BadParameter("a pressure has no effect with --fix-cell", param_hint="--pressure-GPa")
    if cell_axes is not None and (fix_cell or not set(cell_axes) <= set("abc") or not cell_axes):
        wrong = (
            "it has no effect with --fix-cell" if fix_cell else f"{cell_axes!r} must be some of a, b and c, such as ab"
        )
        raise typer.BadParameter(wrong, param_hint="--cell-axes")
    if starts > 1 and fix_symmetry:
        raise typer.BadParameter("rattled copies have no symmetry to keep (--fix-symmetry)", param_hint="--starts")
    if rattle is not None and starts == 1:
        raise typer.BadParameter("it has no effect on the one start, which is as given", param_hint="--rattle-A")


def _relaxed(
    frame: Frame,
    calculator: "Calculator",
    settings: dict[str, Any],
    starts: tuple[int, float],
    targets: list[Path],
    on_step: Any,
    model_record: dict[str, Any],
) -> Outcome:
    """One structure, relaxed and written."""
    count, rattle_A = starts
    if count == 1:
        relaxation = follow(frame, calculator, settings, targets[1], on_step)
        return Outcome(frame.label, relaxation, write_results(frame, relaxation, model_record, targets))
    found = follow_several(frame, calculator, settings, count, rattle_A, targets[1], on_step)
    best = found.best.relaxation
    if best is None:
        raise AssertionError("relax_from_several raises where no start came to an end")
    return Outcome(frame.label, best, write_results(frame, best, model_record, targets, found), found)


def _load(model: str, device: str | None, dtype: str) -> tuple["Calculator", dict[str, Any]]:
    """The calculator, and what the summary says about the model."""
    import tribond

    potential = output.load_force_field(model, device, dtype)
    return tribond.Calculator(potential), output.model_record(potential)
