"""`tribond train --ensemble`: several members, their errors, and those of their mean with the calibration of their spread."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tribond.cli import output
from tribond.cli.evaluate_tables import print_reports

if TYPE_CHECKING:
    from tribond.training.config import TrainingConfig


def train_members(config: Path, settings: "TrainingConfig", members: int, *, restart: bool, quiet: bool) -> None:
    """Train all members and report.

    Args:
        config: the training file.
        settings: what stands in it.
        members: how many.
        restart: begin anew.
        quiet: print nothing but warnings and errors.

    Raises:
        typer.Exit: 130 or 143 if interrupted.
    """
    from tribond.checkpoints.registry import load_force_field
    from tribond.cli.train import evaluate_validation, report_training
    from tribond.evaluation.files import write_reports
    from tribond.training.ensemble import train_ensemble

    terminal = output.console()
    try:
        result = train_ensemble(
            settings,
            config.resolve().parent,
            members,
            restart=restart,
            progress=not quiet,
            on_member=lambda _, trained: report_training(settings, trained, quiet=quiet),
        )
    except KeyboardInterrupt as interruption:
        output.note(f"interrupted; go on with: tribond train {config} --ensemble {members}")
        raise typer.Exit(128 + getattr(interruption, "signal", signal.SIGINT)) from interruption
    if not quiet:
        terminal.print(f"wrote {result.ensemble_file}: {members} members", markup=False, soft_wrap=True)
    first = result.members[0]
    if not first.validation:
        return
    ensemble = load_force_field(result.ensemble_file, device="cpu" if settings.accelerator == "cpu" else None)
    reports = evaluate_validation(ensemble, settings, first)
    record = {"tribond_version": output.version(), "model": output.model_record(ensemble)}
    folder = result.output / "validation"
    with output.quiet_libraries():
        write_reports(reports, folder, record, model=settings.name)
    if not quiet:
        terminal.print("\n[bold]the ensemble[/]")
        print_reports(reports)
        terminal.print(f"wrote {folder}: summary.json, tables, parity and calibration plots", markup=False)
