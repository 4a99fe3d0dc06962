"""`tribond train`: from a training file to a model file, its errors and its plots."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tribond.cli import options, output
from tribond.cli.evaluate_tables import print_reports
from tribond.cli.train_trials import tell_trial

if TYPE_CHECKING:
    from tribond.evaluation.metrics import EvaluationReport
    from tribond.models.ensemble import Ensemble
    from tribond.models.potential import Potential
    from tribond.training.config import TrainingConfig
    from tribond.training.run import TrainingResult


def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="Training file (YAML); docs/training.md explains every setting.")
    ],
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew; removes the old training from the output folder.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", "--estimate", help="Only tell how long it will take and how much memory; trains nothing."
        ),
    ] = False,
    find_rate: Annotated[
        bool,
        typer.Option("--find-learning-rate", help="Only try growing learning rates, and suggest one; changes nothing."),
    ] = False,
    ensemble: Annotated[
        int | None,
        typer.Option(
            "--ensemble",
            min=2,
            metavar="N",
            help="Train N models that differ in their seed, one after the other, as an ensemble (docs/uncertainty.md).",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors.")] = False,
) -> None:
    """Train or fine-tune a potential, or a model of properties (docs/properties_training.md).

    The output folder named in the training file gets model.safetensors (the best validation so far), logs, learning
    curves, what it was run with (environment.json), checkpoints to go on from, and at the end the errors on the
    validation data with parity plots.

    Ctrl-C saves and stops; the same command goes on, to the same result as if it had never stopped.

    Exit status: 0 all fine, 1 bad data or the training diverged, 2 bad settings, 130 interrupted.
    """
    from tribond.training.property_config import PropertyTrainingConfig, read_training_file
    from tribond.training.rank import is_first_process

    if dry_run + find_rate + restart > 1:
        msg = "--dry-run, --find-learning-rate and --restart exclude each other"
        raise typer.BadParameter(msg)
    settings = read_training_file(config)
    if dry_run or find_rate:
        _check_trial(find_rate, ensemble, of_properties=isinstance(settings, PropertyTrainingConfig))
    first = is_first_process()  # of several processes one speaks
    quiet = quiet or not first
    folder = config.resolve().parent
    target = folder / Path(settings.output).expanduser()
    with _messages(logging.ERROR if not first else logging.WARNING if quiet else logging.INFO):
        from tribond.cli.train_property import train_properties
        from tribond.training.run import train as train_model

        if dry_run or find_rate:
            try:
                tell_trial(settings, folder, members=None if find_rate else ensemble or 1, quiet=quiet)
            except KeyboardInterrupt as interruption:
                raise typer.Exit(128 + getattr(interruption, "signal", signal.SIGINT)) from interruption
            return
        if not quiet:
            output.note(f"everything about {settings.name} goes to {target}")
        if ensemble is not None:
            from tribond.cli.train_ensemble import train_members

            train_members(config, settings, ensemble, restart=restart, quiet=quiet)
            return
        result = None
        try:
            if isinstance(settings, PropertyTrainingConfig):
                train_properties(settings, folder, restart=restart, quiet=quiet)
            else:
                result = train_model(settings, folder, restart=restart, progress=not quiet)
        except KeyboardInterrupt as interruption:
            number = getattr(interruption, "signal", signal.SIGINT)
            goes_on = (target / "checkpoints" / "last.ckpt").is_file()
            hope = f"go on with: tribond train {config}" if goes_on else "before the first step: nothing to go on from"
            if first:
                output.note(f"interrupted; {hope}")
            raise typer.Exit(128 + number) from interruption
        if result is not None:
            report_training(settings, result, quiet=quiet)


# `tribond` finds the verb here without importing this file for its help.
app = options.verb(train)


def _check_trial(find_rate: bool, ensemble: int | None, *, of_properties: bool) -> None:
    """See that --dry-run or --find-learning-rate makes sense.

    Raises:
        typer.BadParameter: if it does not.
    """
    if find_rate and ensemble is not None:
        msg = "--find-learning-rate is for one model; leave out --ensemble: the members share the learning rate"
        raise typer.BadParameter(msg)
    if of_properties:
        msg = "--dry-run and --find-learning-rate are for potentials, not for models of properties"
        raise typer.BadParameter(msg)


@contextmanager
def _messages(level: int) -> Iterator[None]:
    """Show what the training has to say, on standard error and above a progress bar."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            from tqdm import tqdm

            head = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
            tqdm.write(head + output.printable(record.getMessage()), file=sys.stderr)

    logger = logging.getLogger("tribond")
    handler, before = Handler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def report_training(settings: "TrainingConfig", result: "TrainingResult", *, quiet: bool) -> None:
    """Errors on the validation data, as tables and plots; of a fine-tuned model also those it had before."""
    from tribond.checkpoints.registry import load_potential
    from tribond.evaluation.files import write_reports

    terminal = output.console()
    if not quiet:
        for file in (result.model_file, result.output / "learning_curves.png"):
            terminal.print(f"wrote {file}", markup=False, soft_wrap=True)
    if not result.validation:
        if not quiet:
            output.note("there is no validation data: the model is that of the last step")
        return
    potential = load_potential(result.model_file, device="cpu" if settings.accelerator == "cpu" else None)
    reports = evaluate_validation(potential, settings, result)
    record = {"tribond_version": output.version(), "model": output.model_record(potential)}
    folder = result.output / "validation"
    with output.quiet_libraries():
        write_reports(reports, folder, record, model=settings.name)
    if not quiet:
        print_reports(reports)
        terminal.print(f"wrote {folder}: summary.json, tables, parity plots", markup=False, soft_wrap=True)
    if result.before is not None:
        before = evaluate_validation(result.before.to(device=potential.device), settings, result)
        with output.quiet_libraries():
            write_reports(before, result.output / "validation_before", record | {"model": "before fine-tuning"})
        _compare(before, reports, quiet=quiet)


def evaluate_validation(
    potential: "Potential | Ensemble", settings: "TrainingConfig", result: "TrainingResult"
) -> "list[EvaluationReport]":
    """One report a source."""
    from tribond.evaluation.evaluate import evaluate_frames

    reports = []
    for number, source in enumerate(settings.data.train):
        frames = result.validation.take(result.validation.sources == number)
        if len(frames):
            reports.append(evaluate_frames(potential, frames, name=source.name))
    return reports


def _compare(before: "list[EvaluationReport]", after: "list[EvaluationReport]", *, quiet: bool) -> None:
    """What fine-tuning has changed; a warning where it made things worse."""
    columns = ("before", "after")
    table = output.plain_table("data", "MAE", *columns, right=columns)
    worse = []
    for old, new in zip(before, after, strict=True):
        for label, one, other, digits in (
            ("energy (meV/atom)", old.energy, new.energy, 2),
            ("forces (meV/Å)", old.forces, new.forces, 2),
            ("stress (GPa)", old.stress, new.stress, 4),
        ):
            if one is None or other is None:
                continue
            table.add_row(output.shown(new.name), label, f"{one.mae:.{digits}f}", f"{other.mae:.{digits}f}")
            if other.mae > one.mae:
                worse.append(f"{label.partition(' ')[0]} of {new.name}")
    if not quiet:
        terminal = output.console()
        terminal.print()
        terminal.print(table)
    if worse:
        output.note(f"fine-tuning made worse: {', '.join(worse)}")
