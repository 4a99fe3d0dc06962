"""Training several potentials that differ in their seed alone: the members of an ensemble."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tribond.checkpoints.ensemble import NAME, write_ensemble
from tribond.errors import ConfigError
from tribond.training.config import TrainingConfig
from tribond.training.devices import launch_of
from tribond.training.going_on import only_training_in
from tribond.training.run import TrainingResult, train

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnsembleResult:
    """What the training of an ensemble leaves."""

    output: Path  # the folder with everything
    ensemble_file: Path
    members: tuple[TrainingResult, ...]  # all with the same validation data


def member_config(config: TrainingConfig, member: int) -> TrainingConfig:
    """The training file of one member, counted from 0: first weights and order of batches differ, data and split do not."""
    return config.model_copy(
        update={
            "name": f"{config.name}-{member}",
            "seed": config.seed + member,
            "output": str(Path(config.output) / f"member-{member}"),
        }
    )


def train_ensemble(
    config: TrainingConfig,
    folder: Path,
    members: int,
    *,
    restart: bool = False,
    progress: bool = True,
    on_member: Callable[[int, TrainingResult], object] | None = None,
) -> EnsembleResult:
    """Train the members of an ensemble one after the other, or go on with a training that was interrupted.

    Each is a training of its own in OUTPUT/member-0, OUTPUT/member-1, ... with the seeds `seed`, `seed` + 1, ...; when all are
    there, OUTPUT/ensemble.json names them. Called again with more members, those that are there are kept.

    Args:
        config: the training file.
        folder: what file names in it are relative to.
        members: how many, two or more.
        restart: train all anew.
        progress: show bars, if there is a terminal.
        on_member: called with the number and the result of every member that is there.

    Raises:
        ConfigError: for a training of something else than a potential, fewer than two members, several devices or processes, or an output
            folder with the training of one model; and as `train`, also for its other errors.
    """
    if type(config) is not TrainingConfig:  # kinds of training that build on it have another `train`
        raise ConfigError(f"ensembles are of potentials; {config.name} is another kind of training")
    if members < 2:
        raise ConfigError(f"an ensemble needs two members or more, not {members}")
    if config.devices != 1 or config.nodes != 1 or launch_of(config.devices, config.nodes).several:
        raise ConfigError(
            "members of an ensemble are trained on one device each: set devices to 1, and start one process"
        )
    output = folder / Path(config.output).expanduser()
    if (output / "checkpoints").exists() or (output / "model.safetensors").exists():
        raise ConfigError(f"{output} holds the training of a single model; choose another output for the ensemble")
    with only_training_in(output):
        if restart:
            (output / NAME).unlink(missing_ok=True)
        results = []
        for member in range(members):
            logger.info("member %d of %d, seed %d", member, members, config.seed + member)
            results.append(train(member_config(config, member), folder, restart=restart, progress=progress))
            if on_member is not None:
                on_member(member, results[-1])
        write_ensemble(output / NAME, [result.model_file for result in results], {"name": config.name})
    return EnsembleResult(output, output / NAME, tuple(results))
