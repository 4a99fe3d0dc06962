"""What verbs with long calculations share: one folder an input, messages, stopping, and the exit status.

A verb says how an input is loaded and what is done with it; `run_jobs` does the rest:

    run_jobs(files, structures(index, reading), work, verb="eos", output_folder=output, quiet=quiet)
"""

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

from tribond.cli import output
from tribond.cli.structure_files import BadFrame, Frame, read_frames
from tribond.errors import ConfigError
from tribond.reading.names import split_index, unpacked

if TYPE_CHECKING:
    from tribond.reading.content import Options

Payload = TypeVar("Payload")


@dataclass(frozen=True)
class Task(Generic[Payload]):
    """One input of a verb.

    Attributes:
        label: how messages call it.
        stem: name of its folder beside those of other inputs.
        payload: what was loaded.
    """

    label: str
    stem: str
    payload: Payload


@dataclass(frozen=True)
class BadTask:
    """One input that cannot be used; the others can."""

    label: str
    error: Exception


def structures(index: str | None, reading: "Options") -> Callable[[str], list[Task[Frame] | BadTask]]:
    """How verbs load structures: one task a frame, the last one where nothing is said."""

    def load(name: str) -> list[Task[Frame] | BadTask]:
        tasks: list[Task[Frame] | BadTask] = []
        for frame in read_frames(name, index, reading):
            if isinstance(frame, BadFrame):
                tasks.append(BadTask(frame.label, frame.error))
                continue
            stem = unpacked(frame.path).stem
            tasks.append(Task(frame.label, stem if frame.number is None else f"{stem}_{frame.number}", frame))
        return tasks

    return load


def run_jobs(
    names: Sequence[str],
    load: Callable[[str], Sequence[Task[Payload] | BadTask]],
    work: Callable[[Task[Payload], Path], object],
    *,
    verb: str,
    output_folder: Path | None,
    quiet: bool,
) -> None:
    """Do the work of a verb for each input, one failing not stopping the others.

    Args:
        names: of the inputs.
        load: turns a name into tasks.
        work: does one task and writes into its folder; it may raise.
        verb: its name, for folders: X_eos beside X.cif where no output folder is given.
        output_folder: of a single input itself; of several, one folder below it for each.
        quiet: nothing but notes and errors.

    Raises:
        typer.Exit: 1 if some failed, 2 if all failed for their settings, 130 or 143 if interrupted.
    """
    statuses: list[int] = []
    taken: set[Path] = set()
    with _messages(quiet=quiet):
        tasks: list[tuple[str, Task[Payload] | BadTask]] = []
        for name in names:
            status = _attempt(name, partial(_load, name, load, tasks))
            if status:
                statuses.append(status)
        alone = len(tasks) + len(statuses) == 1
        for name, task in tasks:
            if isinstance(task, BadTask):
                output.report(task.error, task.label)
                statuses.append(output.FAILED)
                continue
            folder = _folder(name, task, verb, output_folder, alone=alone, taken=taken)
            try:
                statuses.append(_attempt(task.label, partial(work, task, folder)))
            except KeyboardInterrupt as interruption:
                output.note(f"interrupted; the same command goes on, everything so far is in {folder}")
                raise typer.Exit(128 + getattr(interruption, "signal", signal.SIGINT)) from interruption
    if any(statuses):
        raise typer.Exit(output.USAGE if set(statuses) == {output.USAGE} else output.FAILED)


def _load(
    name: str,
    load: Callable[[str], Sequence[Task[Payload] | BadTask]],
    tasks: list[tuple[str, Task[Payload] | BadTask]],
) -> None:
    tasks += [(name, task) for task in load(name)]


def _attempt(label: str, action: Callable[[], object]) -> int:
    """The exit status of one action, whose error is told."""
    try:
        action()
    except ImportError:
        raise  # an extra is missing: the same for all inputs
    except Exception as error:  # noqa: BLE001, not silenced: it is printed, and the exit status says so
        output.report(error, label)
        return output.USAGE if isinstance(error, ConfigError) else output.FAILED
    return 0


def _folder(
    name: str, task: Task[Payload], verb: str, output_folder: Path | None, *, alone: bool, taken: set[Path]
) -> Path:
    """Where the results of a task go; inputs of the same name get their own folder's name in front, then a number."""
    path, _ = split_index(name)
    if output_folder is not None and alone:
        return output_folder
    parent = path.parent if output_folder is None else output_folder
    ending = f"_{verb}" if output_folder is None else ""
    candidates = [task.stem, f"{path.resolve().parent.name}_{task.stem}"]
    candidates += [f"{task.stem}-{number}" for number in range(2, len(taken) + 3)]
    chosen = next(parent / f"{it}{ending}" for it in candidates if (parent / f"{it}{ending}").resolve() not in taken)
    taken.add(chosen.resolve())
    return chosen


@contextmanager
def _messages(*, quiet: bool) -> Iterator[None]:
    """Show what tribond's functions have to say as notes; warnings always."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            output.note(record.getMessage())

    logger = logging.getLogger("tribond")
    handler, level = Handler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def load_calculator(model: str, device: str | None, dtype: str) -> Any:
    """The ASE calculator of the model named on the command line."""
    import tribond

    return tribond.Calculator(output.load_force_field(model, device, dtype))
