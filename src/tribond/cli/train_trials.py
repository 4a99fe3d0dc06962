"""`tribond train` with --dry-run or --find-learning-rate: what is told before anything is trained."""

from pathlib import Path
from typing import TYPE_CHECKING

from tribond.cli import output
from tribond.cli.live import duration

if TYPE_CHECKING:
    from tribond.training.config import TrainingConfig

GIB = 2**30


def tell_trial(settings: "TrainingConfig", folder: Path, *, members: int | None, quiet: bool) -> None:
    """Tell time and memory of a training of so many members; None: a learning rate instead."""
    if members is None:
        tell_learning_rate(settings, folder, quiet=quiet)
    else:
        tell_estimate(settings, folder, members=members, quiet=quiet)


def tell_estimate(settings: "TrainingConfig", folder: Path, *, members: int = 1, quiet: bool) -> None:
    """Measure some steps, and print how long the training will take and how much memory.

    Args:
        settings: the training file.
        folder: what file names in it are relative to.
        members: of an ensemble, trained one after the other.
        quiet: only the last two lines.
    """
    import torch

    from tribond.training.estimate import estimate

    found = estimate(settings, folder, progress=not quiet)
    terminal = output.console()

    def say(text: str) -> None:
        terminal.print(text, markup=False, soft_wrap=True)

    if not quiet:
        say(
            f"{found.train_structures} structures to train and {found.validation_structures} to validate, ready after "
            f"{found.reading_seconds:.1f} s; {found.weights} weights"
        )
        for stage in found.stages:
            name = f"stage {stage.name}: " if len(found.stages) > 1 else ""
            say(
                f"{name}{stage.steps} steps of {stage.seconds_per_step:.3g} ± {stage.spread:.2g} s "
                f"({stage.measured} measured): {duration(stage.steps * stage.seconds_per_step)}"
            )
        part = "" if found.validation_measured == 1 else f" ({100 * found.validation_measured:.0f} % of one measured)"
        total = found.validations * found.seconds_per_validation
        say(
            f"{output.count(found.validations, 'validation')} of {found.seconds_per_validation:.3g} s{part}: "
            f"{duration(total)}"
        )
    where = "the GPU" if found.gpu_memory_bytes is not None else output.count(torch.get_num_threads(), "thread")
    several = "" if members == 1 else f", {members} members of {duration(found.seconds)}"
    say(f"the whole training{several}: {duration(members * found.seconds)} (h:mm:ss) on one device, {where}")
    on_gpu = "" if found.gpu_memory_bytes is None else f"; {found.gpu_memory_bytes / GIB:.2f} GiB on the GPU"
    say(
        f"memory: {found.memory_bytes / GIB:.2f} GiB at most, {found.memory_before_bytes / GIB:.2f} GiB of it before "
        f"the first step{on_gpu}"
    )
    if settings.devices != 1 or settings.nodes != 1:
        output.note("one device was measured; several share every batch, and exchange gradients after it")


def tell_learning_rate(settings: "TrainingConfig", folder: Path, *, quiet: bool) -> None:
    """Try growing learning rates, and print the one to begin with.

    Args:
        settings: the training file.
        folder: what file names in it are relative to.
        quiet: only the suggestion.
    """
    from tribond.training.learning_rate import find_learning_rate

    found = find_learning_rate(settings, folder, progress=not quiet)
    terminal = output.console()
    if not quiet:
        for file in (found.table, found.figure):
            terminal.print(f"wrote {file}", markup=False, soft_wrap=True)
    now = settings.optimizer.learning_rate
    terminal.print(f"suggested learning_rate: {found.suggestion:g} (the training file has {now:g})", markup=False)
