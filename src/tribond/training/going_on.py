"""The folder of a training: one training at a time, and a checkpoint that is whole or said not to be."""

import json
import logging
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tribond.errors import CheckpointError, ConfigError
from tribond.files import write_atomically
from tribond.training.config import TrainingConfig
from tribond.training.lightning_internals import read_checkpoint
from tribond.training.rank import is_first_process

logger = logging.getLogger(__name__)

# Settings that do not change what comes out (but for rounding): a training may go on with others.
FREE = ("output", "metadata", "checkpoint_every_minutes", "accelerator", "devices", "nodes", "workers", "logger")

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


def checkpoint_to_go_on_from(output: Path, config: TrainingConfig) -> Path | None:
    """The last checkpoint in the folder, if there is one and it belongs to these settings.

    Raises:
        ConfigError: if the folder holds another training.
        CheckpointError: if what is needed to go on is damaged.
    """
    last = output / "checkpoints" / "last.ckpt"
    if last.is_file():
        before = settings_before(output, type(config))
        changed = _differences(before.model_dump(mode="json"), config.model_dump(mode="json"))
        if changed:
            msg = (
                f"{output} holds a training with other settings ({', '.join(changed)}); "
                "choose another output, or start anew with --restart"
            )
            raise ConfigError(msg)
        check_whole(last)
        logger.info("going on from %s", last)
        return last
    if (output / "model.safetensors").is_file():
        msg = f"{output} holds a model, but no checkpoint to go on from; choose another output, or use --restart"
        raise ConfigError(msg)
    return None


def clear(output: Path, config: TrainingConfig) -> None:
    """Make the folder, remove what an old training left there, and remember the settings of the new one."""
    # Checkpoints first: whatever happens in between, settings and checkpoint never belong to two trainings.
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    shutil.rmtree(output / "logs", ignore_errors=True)
    for name in ("model.safetensors", "environment.json", "learning_curves.png"):
        (output / name).unlink(missing_ok=True)
    (output / "checkpoints").mkdir(parents=True)
    settings = json.dumps(config.model_dump(mode="json"), indent=2)
    write_atomically(output / "config.json", f"{settings}\n".encode())


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Names of the settings that differ and matter."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in before.keys() | now.keys() if name or key not in FREE]
        return [
            difference
            for key in sorted(keys)
            for difference in _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [name]
