"""Any model file or folder, tribond's own or another code's, as a network with its provenance."""

import hashlib
from pathlib import Path
from typing import Any, cast, get_args

import torch

from tribond.checkpoints import m3gnet_pytorch, matgl, matgl_files, mattersim, native, tensorflow
from tribond.checkpoints.catalogue import Entry, entry_with_checksum
from tribond.checkpoints.choices import Dialect, Weights, check_choices
from tribond.checkpoints.ensemble import is_ensemble
from tribond.checkpoints.foreign import PICKLED, foreign_model
from tribond.checkpoints.ordinary import check_ordinary
from tribond.checkpoints.torch_file import read_torch_file
from tribond.checkpoints.transfer import with_elements
from tribond.errors import CheckpointError, ConfigError
from tribond.nn.m3gnet import M3GNet

KNOWN = (
    "tribond's own .safetensors; a folder of TensorFlow's m3gnet (m3gnet.json, .index, .data-*) or of MatGL (model.json, "
    "model.pt, state.pt); a .pth file of MatterSim or M3GNet-Pytorch"
)
UNITS = {"energy": "eV", "length": "Å", "forces": "eV/Å", "stress": "eV/Å³, tension positive"}


def open_model(
    path: Path, dtype: torch.dtype | None = None, *, dialect: Dialect | None = None, weights: Weights = "raw"
) -> tuple[M3GNet, dict[str, Any]]:
    """The model in a file or folder, and what is known of where it comes from.

    Args:
        path: one of `KNOWN`; of a folder, any file in it will do.
        dtype: precision; None takes that of the file.
        dialect: for MatGL's folders that do not tell by which version they were written.
        weights: for files of MatterSim and M3GNet-Pytorch, "raw" or "ema".

    Raises:
        CheckpointError: if the file is damaged, of no known kind, or holds what tribond does not compute.
        ConfigError: for a dialect or a choice of weights with a file that offers no such choice.
    """
    check_choices(dialect, weights)
    if is_ensemble(path):
        msg = (
            f"{path} is an ensemble, and this takes a single model: name one of its members, which `tribond info` lists"
        )
        raise ConfigError(msg)
    folder = path if path.is_dir() else path.parent
    if matgl_files.recognise(folder) and (path.is_dir() or path.name in matgl_files.FILES):
        _refuse(path, weights=weights != "raw")
        files = matgl_files.files(folder)
        _check_files(files)
        entry = entry_with_checksum(_checksum(files[0])) if files[0].is_file() else None
        told = agreed_dialect(entry, dialect)
        return _known(matgl.load(folder, dtype, told), folder, files)
    if tensorflow.recognise(folder) and (path.is_dir() or tensorflow.belongs(path.name)):
        _refuse(path, weights=weights != "raw", dialect=dialect is not None)
        files = tensorflow.files(folder)
        _check_files(files)
        return _known(tensorflow.load(folder, dtype), folder, files)
    if path.is_dir():
        alone = [file for file in sorted(path.iterdir()) if file.suffix in {".pth", ".safetensors"}]
        if len(alone) == 1:
            return open_model(alone[0], dtype, dialect=dialect, weights=weights)
        msg = f"the folder {path} holds no model that tribond reads, or several. It reads {KNOWN}"
        raise CheckpointError(msg)
    check_ordinary(path)
    what = None if path.suffix == ".safetensors" else foreign_model(path)
    if what is not None:
        msg = f"{path} is {what}, which tribond does not read. It reads {KNOWN}"
        raise CheckpointError(msg)
    if path.suffix.lower() in PICKLED:
        _refuse(path, dialect=dialect is not None)
        content = read_torch_file(path)
        for code in (mattersim, m3gnet_pytorch):
            if code.recognise(content):
                model, metadata = _known(code.load(path, content, dtype, weights), path, [path])
                return model, metadata | {"weights": weights}
        what = (
            f"a dictionary with {', '.join(map(str, content))}" if isinstance(content, dict) else type(content).__name__
        )
        msg = f"{path} holds {what[:200]}, which is no model that tribond reads. It reads {KNOWN}"
        raise CheckpointError(msg)
    _refuse(path, weights=weights != "raw", dialect=dialect is not None)
    return native.load_model(path, dtype)


def _check_files(files: list[Path]) -> None:
    for file in files:
        check_ordinary(file)


def agreed_dialect(entry: Entry | None, dialect: Dialect | None) -> Dialect | None:
    """The dialect that a model of the catalogue has, or else the one that was said.

    Raises:
        CheckpointError: if the two differ.
    """
    if entry is None or entry.format not in get_args(Dialect):
        return dialect
    if dialect not in {None, entry.format}:
        msg = f"{entry.name} is of the dialect {entry.format}, not {dialect}"
        raise CheckpointError(msg)
    return cast("Dialect", entry.format)


def is_model(path: Path) -> bool:
    """Whether there is something that `open_model` may read: a file, or a folder in a format that it knows."""
    if path.is_dir():
        return is_ensemble(path) or matgl_files.recognise(path) or tensorflow.recognise(path)
    return path.exists()  # pipes, too: `open_model` has words for them


def _refuse(path: Path, *, weights: bool = False, dialect: bool = False) -> None:
    if weights:
        msg = f"{path} holds one set of weights; the choice of weights is for files of MatterSim and M3GNet-Pytorch"
        raise ConfigError(msg)
    if dialect:
        msg = f"{path} leaves no doubt about its dialect; the choice is for folders of MatGL"
        raise ConfigError(msg)


def _known(model: M3GNet, path: Path, files: list[Path]) -> tuple[M3GNet, dict[str, Any]]:
    """An imported model with its metadata: what the catalogue says, if it is a published one, and the checksums."""
    checksums = {file.name: _checksum(file) for file in files}
    entry = entry_with_checksum(next(iter(checksums.values())))
    metadata: dict[str, Any] = {"name": path.stem if path.is_file() else path.resolve().name}
    if entry is not None:
        metadata = entry.metadata()
        if entry.only_elements:
            model = with_elements(model, entry.only_elements)
    if model.config.readout == "extensive":
        metadata["units"] = UNITS
    return model, metadata | {"sha256": checksums}


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
