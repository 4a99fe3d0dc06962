"""The folder of a training: one training at a time, and a checkpoint that is whole or said not to be."""

import logging
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tribond.errors import CheckpointError, ConfigError
from tribond.training.config import TrainingConfig
from tribond.training.lightning_internals import is_first_process, read_checkpoint

logger = logging.getLogger(__name__)

# What Lightning needs to go on.
PARTS: dict[str, type] = {
    "global_step": int,
    "state_dict": dict,
    "callbacks": dict,
    "loops": dict,
    "optimizer_states": list,
}


@contextmanager
def only_training_in(output: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; the system lifts the lock when the process ends, however it ends.

    Raises:
        ConfigError: if there is one already.
    """
    if not is_first_process():  # the others belong to it
        yield
        return
    output.mkdir(parents=True, exist_ok=True)
    lock = FileLock(output / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"another training is writing to {output} right now; wait for it, stop it, or choose another output"
        raise ConfigError(msg) from error
    except (NotImplementedError, OSError) as error:
        logger.warning("%s cannot be locked (%s): see to it that no second training writes there", output, error)
    try:
        yield
    finally:
        lock.release()


def settings_before(output: Path, kind: type[TrainingConfig] = TrainingConfig) -> TrainingConfig:
    """The settings that the training in a folder was begun with.

    Args:
        output: the folder.
        kind: of training.

    Raises:
        CheckpointError: if their file is missing or damaged.
    """
    file = output / "config.json"
    try:
        return kind.read(file)  # JSON is YAML
    except (ConfigError, OSError) as error:
        msg = f"{file}, the settings of the training to go on with, is missing or damaged; begin anew with --restart"
        raise CheckpointError(msg) from error


def check_whole(checkpoint: Path) -> None:
    """Refuse a checkpoint that a full disk, a copy or a flipped bit has damaged.

    Raises:
        CheckpointError: naming the file.
    """
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            wrong = archive.testzip()  # compares the checksums of all parts
        if wrong is None:
            content: Any = read_checkpoint(checkpoint)
            wrong = next((name for name, kind in PARTS.items() if not isinstance(content.get(name), kind)), None)
    except Exception as error:  # noqa: BLE001 - nonsense makes zipfile and PyTorch raise whatever
        wrong = (str(error) or type(error).__name__).splitlines()[0][:100]
    if wrong is not None:
        msg = f"{checkpoint}, the checkpoint to go on from, is damaged ({wrong}); begin anew with --restart"
        raise CheckpointError(msg)
