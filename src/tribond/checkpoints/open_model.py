"""Any model file or folder, tribond's own or another code's, as a network with its provenance."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from tribond.checkpoints import m3gnet_pytorch, matgl, mattersim, native, tensorflow
from tribond.checkpoints.catalogue import entry_with_checksum
from tribond.checkpoints.matgl_era import Dialect
from tribond.checkpoints.one_hot import Weights
from tribond.checkpoints.torch_file import read_torch_file
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
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or path.suffix != ".safetensors":
        if matgl.recognise(folder) and (path.is_dir() or path.name in matgl.FILES):
            _refuse(path, weights=weights != "raw")
            return matgl.load(folder, dtype, dialect), _provenance(folder, matgl.files(folder))
        if tensorflow.recognise(folder) and (path.is_dir() or path.name.startswith(tensorflow.PREFIX)):
            _refuse(path, weights=weights != "raw", dialect=dialect is not None)
            return tensorflow.load(folder, dtype), _provenance(folder, tensorflow.files(folder))
    if path.is_dir():
        msg = f"the folder {path} holds no model that tribond reads. It reads {KNOWN}"
        raise CheckpointError(msg)
    if path.suffix.lower() in {".pt", ".pth", ".ckpt", ".bin"}:
        _refuse(path, dialect=dialect is not None)
        content = read_torch_file(path)
        for code in (mattersim, m3gnet_pytorch):
            if code.recognise(content):
                model = code.load(path, content, dtype, weights)
                return model, _provenance(path, [path]) | {"weights": weights}
        keys = (
            f"a dictionary with {', '.join(map(str, content))}" if isinstance(content, dict) else type(content).__name__
        )
        msg = f"{path} holds {keys[:200]}, which is no model that tribond reads. It reads {KNOWN}"
        raise CheckpointError(msg)
    _refuse(path, weights=weights != "raw", dialect=dialect is not None)
    return native.load_model(path, dtype)


def _refuse(path: Path, *, weights: bool = False, dialect: bool = False) -> None:
    if weights:
        msg = f"{path} holds one set of weights; the choice of weights is for files of MatterSim and M3GNet-Pytorch"
        raise ConfigError(msg)
    if dialect:
        msg = f"{path} leaves no doubt about its dialect; the choice is for folders of MatGL"
        raise ConfigError(msg)


def _provenance(path: Path, files: list[Path]) -> dict[str, Any]:
    """Metadata of an imported model: what the catalogue says, if it is a published one, and the checksums."""
    checksums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    entry = entry_with_checksum(next(iter(checksums.values())))
    known = {"name": path.stem if path.is_file() else path.resolve().name} if entry is None else entry.metadata()
    return known | {"units": UNITS, "sha256": checksums}
