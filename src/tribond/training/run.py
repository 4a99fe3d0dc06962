"""From a training file to a model file: `tribond train`."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from tribond.checkpoints.native import load_model, save_model, write_atomically
from tribond.checkpoints.registry import find
from tribond.data.frames import Frame
from tribond.data.reference_energies import composition_matrix
from tribond.errors import ConfigError
from tribond.nn.config import M3GNetConfig, preset
from tribond.nn.m3gnet import M3GNet
from tribond.training.config import ModelConfig, TrainingConfig
from tribond.training.data import (
    TrainingData,
    read_training_frames,
    reference_energies_of_sources,
    without_unknown_elements,
)
from tribond.training.loss import Loss
from tribond.training.module import PotentialTraining

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves."""

    model_file: Path  # the weights of the best validation, averaged
    validation: list[Frame]  # what was held out
    finished: bool  # False if it was interrupted; train again to go on


def train(config: TrainingConfig, folder: Path, *, restart: bool = False, progress: bool = True) -> TrainingResult:
    """Train a potential, or go on with a training that was interrupted.

    The output folder gets `model.safetensors` (best validation), `checkpoints/` (to go on), `logs/` (CSV and
    TensorBoard) and `config.json`. Training again with the same config goes on from the last checkpoint, to the same
    result as if it had never stopped.

    Args:
        config: the training file.
        folder: what file names in it are relative to.
        restart: begin anew even if there is a checkpoint.
        progress: show a progress bar.

    Raises:
        ConfigError: if the output folder holds a training with other settings.
        DataError: if the data cannot be used.
    """
    output = folder / Path(config.output).expanduser()
    checkpoint = _prepare_output(output, config, restart=restart)
    seed_everything(config.seed, verbose=False)
    frames = read_training_frames(config.data, folder)
    model, metadata = _make_model(config.model, frames.train, folder)
    frames = without_unknown_elements(frames, config.data, model.config)
    references = reference_energies_of_sources(frames.train, config.data, model.config)
    _set_energy_scale(model, references, frames.train)
    data = TrainingData(frames, config, model.config, references)
    loss = Loss(**config.loss.model_dump())
    module = PotentialTraining(model, loss, config.optimizer, config.steps, compiled=config.compile_step)

    best = ModelCheckpoint(
        output / "checkpoints", "best", monitor="val/loss" if frames.validation else None, enable_version_counter=False
    )
    trainer = Trainer(
        max_steps=config.steps,
        max_epochs=-1,
        accelerator=config.accelerator,
        devices=config.devices,
        callbacks=_callbacks(config, output, best, validates=bool(frames.validation), progress=progress),
        logger=[CSVLogger(output, "logs", version="csv"), TensorBoardLogger(output, "logs", version="tensorboard")],
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=config.optimizer.gradient_clip,
        inference_mode=False,  # validation needs forces, and they are gradients
        use_distributed_sampler=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=20,
    )
    trainer.fit(module, data, ckpt_path=str(checkpoint) if checkpoint else None, weights_only=True)
    if best.best_model_path:
        weights = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
        module.load_state_dict(weights)
    metadata |= {"name": config.name, "steps": trainer.global_step} | config.metadata
    metadata["reference_energies"] = {
        source.name: dict(zip(model.config.elements, np.round(values, 6).tolist(), strict=True))
        for source, values in zip(config.data.train, references, strict=True)
    }
    model_file = output / "model.safetensors"
    save_model(model_file, model, metadata)
    return TrainingResult(model_file, frames.validation, finished=not trainer.interrupted)


def _prepare_output(output: Path, config: TrainingConfig, *, restart: bool) -> Path | None:
    """Make the folder, remember the settings, and find the checkpoint to go on from."""
    record = output / "config.json"
    last = output / "checkpoints" / "last.ckpt"
    settings = config.model_dump(mode="json")
    if last.is_file() and not restart:
        if json.loads(record.read_text()) != settings:
            msg = f"{output} holds a training with other settings; choose another output or start anew with --restart"
            raise ConfigError(msg)
        logger.info("going on from %s", last)
        return last
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(record, json.dumps(settings, indent=2).encode())
    return None


def _make_model(config: ModelConfig, frames: list[Frame], folder: Path) -> tuple[M3GNet, dict[str, Any]]:
    if config.start_from is not None:
        local = folder / config.start_from
        model, metadata = load_model(local if local.is_file() else find(config.start_from), torch.float32)
        return model, {"started_from": metadata.get("name", config.start_from)}
    settings = dict(config.settings)
    if config.elements == "data":
        settings["elements"] = tuple(sorted({symbol for frame in frames for symbol in frame.atoms.symbols}))
    elif config.elements is not None:
        settings["elements"] = tuple(config.elements)
    return M3GNet(preset(config.preset, **settings)), {}


def _set_energy_scale(model: M3GNet, references: np.ndarray, frames: list[Frame]) -> None:
    """Let the network's numbers be of order one: its unit is the spread of energies per atom about the references."""
    model_config: M3GNetConfig = model.config
    labelled = [frame for frame in frames if frame.energy is not None]
    residuals = [0.0]
    if labelled:
        composition = composition_matrix(labelled, model_config.atomic_numbers)
        expected = (composition * references[[frame.source for frame in labelled]]).sum(axis=1)
        residuals = [
            (frame.energy - value) / len(frame.atoms)
            for frame, value in zip(labelled, expected, strict=True)
            if frame.energy is not None
        ]
    scale = max(float(np.std(residuals)), 0.05)
    model.reference_energy.set(scale=[scale] * len(model_config.elements), reference=references[0].tolist())


def _callbacks(
    config: TrainingConfig, output: Path, best: ModelCheckpoint, *, validates: bool, progress: bool
) -> list[Callback]:
    from datetime import timedelta

    callbacks: list[Callback] = [LearningRateMonitor("step"), best]
    callbacks.append(
        ModelCheckpoint(
            output / "checkpoints",
            "last",
            train_time_interval=timedelta(minutes=config.checkpoint_every_minutes),
            enable_version_counter=False,
        )
    )
    if config.optimizer.ema_decay:
        # The averages are what is validated and kept; buffers are constants and must not be averaged.
        callbacks.append(EMAWeightAveraging(decay=config.optimizer.ema_decay, use_buffers=False))
    if config.patience is not None and validates:
        callbacks.append(EarlyStopping("val/loss", patience=config.patience))
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    return callbacks
