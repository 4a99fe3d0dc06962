"""The mean of the weights of several validations: often better than each of them."""

import logging
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save_file

from tribond.errors import TribondError
from tribond.files import atomic_path
from tribond.nn.m3gnet import M3GNet
from tribond.training.callbacks import MovingAverage

logger = logging.getLogger(__name__)


class KeepValidations(Callback):
    """Keeps the averaged weights of some validations, one file each.

    Args:
        average: has the weights.
        folder: for the files.
        number: how many to keep.
        which: the last of them, or the best.
    """

    def __init__(self, average: MovingAverage, folder: Path, number: int, which: Literal["last", "best"]) -> None:
        self.average = average
        self.folder = folder
        self.number = number
        self.which = which
        self.kept: list[tuple[int, float]] = []  # steps and losses, in order of steps

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep this one if it is among those wanted."""
        loss, step = float(trainer.callback_metrics["val/loss"]), trainer.global_step
        if trainer.is_global_zero:
            # Only now: the last checkpoint, to which an interrupted training goes back, has this list.
            self._remove_others()
        if loss != loss or step in [step for step, _ in self.kept]:  # noqa: PLR0124 - NaN
            return
        kept = [*self.kept, (step, loss)]
        if len(kept) > self.number:
            worst = max(kept, key=lambda entry: entry[1]) if self.which == "best" else kept[0]
            kept.remove(worst)
        self.kept = kept
        if trainer.is_global_zero and kept[-1][0] == step:
            with atomic_path(self._file(step)) as temporary:
                tensors = {name: value.contiguous() for name, value in self.average.model().state_dict().items()}
                save_file(tensors, temporary)

    def average_into(self, model: M3GNet) -> list[int]:
        """Give a model the mean of the weights that were kept.

        Returns:
            The steps they are of; none, if there are too few for a mean, and the model stays as it is.

        Raises:
            TribondError: if a file is gone.
        """
        if len(self.kept) < 2:
            logger.info("fewer than two validations: there is nothing to average")
            return []
        self._remove_others()
        steps = [step for step, _ in self.kept]
        missing = [self._file(step) for step in steps if not self._file(step).is_file()]
        if missing:
            msg = f"there is no {missing[0]} to average; it was removed; start anew with --restart"
            raise TribondError(msg)
        models = [load_file(self._file(step)) for step in steps]
        mean = dict(models[0])  # constants are the same in all
        for name, _ in model.named_parameters():
            mean[name] = torch.stack([state[name].double() for state in models]).mean(0).to(models[0][name].dtype)
        model.load_state_dict(mean)
        return steps

    def state_dict(self) -> dict[str, Any]:
        """What must be known to go on."""
        return {"kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        self.kept = [(int(step), float(loss)) for step, loss in state_dict["kept"]]

    def _file(self, step: int) -> Path:
        return self.folder / f"validated-{step}.safetensors"

    def _remove_others(self) -> None:
        wanted = {self._file(step) for step, _ in self.kept}
        for file in self.folder.glob("validated-*.safetensors"):
            if file not in wanted:
                file.unlink(missing_ok=True)
