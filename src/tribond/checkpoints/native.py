"""tribond's own model file: one safetensors file that carries its config and provenance as JSON in the header.

Nothing in it can execute. The JSON is, under the key "tribond":

    {"checksum": "crc32:01234567", "format_version": 2, "config": {M3GNetConfig fields},
     "metadata": {name, licence, training data, ...}}

Where something is added to the network's energy, the metadata name it under "energy_terms", and the version is 3: who
does not know of terms must not compute the network alone without a word.

The checksum is the CRC-32 of the whole file with zeros in the place of its digits. Files of earlier versions have none.
"""

import json
import re
import unicodedata
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from tribond.backends.known import difference
from tribond.checkpoints.ordinary import check_ordinary
from tribond.errors import CheckpointError, ConfigError
from tribond.files import write_atomically
from tribond.models.trained_model import resolve_dtype
from tribond.nn.config import M3GNetConfig
from tribond.nn.m3gnet import M3GNet, state_shapes
from tribond.terms.known import KEY as TERMS
from tribond.terms.known import terms_of

FORMAT_VERSION = 3
WITHOUT_TERMS = 2  # what files are written as that add nothing to the network's energy: earlier versions read them, too
HEADER_KEY = "tribond"
CHECKSUM = re.compile(rb'\\"checksum\\": \\"crc32:([0-9a-f]{8})\\"')  # in the header, where our JSON is a string
# What a weight may be stored as, and how large it may be: beyond that, energies are no numbers any more.
STORED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LARGEST = 1e30


def _hidden_layer_of_the_state(header: dict[str, Any]) -> dict[str, Any]:
    """1 -> 2: the MLP of (6) had one hidden layer, as wide as the state; its widths are a setting now."""
    width = header["config"].get("state_features", 64)
    return header | {"config": header["config"] | {"state_hidden": [width]}}


# One function a step: UPGRADES[n] turns the header of version n into that of version n + 1.
UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _hidden_layer_of_the_state,
    2: lambda header: header,  # 2 -> 3: metadata may name terms, which readers of version 2 would silently leave out
}


def save_model(path: Path | str, model: M3GNet, metadata: Mapping[str, Any]) -> None:
    """Write a model file: whole or not at all, never half.

    Args:
        path: the file, by convention *.safetensors.
        model: its weights are stored in the precision they have.
        metadata: provenance, anything JSON can hold; "name" is what `repr` and `tribond info` show.

    Raises:
        CheckpointError: if the model is not what its config describes: the file would compute something else.
    """
    if (found := difference(model)) is not None:
        msg = f"{path} was not written: a model file holds weights and settings alone, and in this model {found}"
        raise CheckpointError(msg)
    _check_terms(path, model.config, metadata)
    header = {
        "checksum": "crc32:00000000",
        "format_version": FORMAT_VERSION if metadata.get(TERMS) else WITHOUT_TERMS,
        "config": model.config.to_dict(),
        "metadata": dict(metadata),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    content = save(tensors, metadata={HEADER_KEY: json.dumps(header)})
    at = _checksum_place(content)
    write_atomically(Path(path), content[:at] + f"{zlib.crc32(content):08x}".encode() + content[at + 8 :])


def _check_terms(path: Path | str, config: M3GNetConfig, metadata: Mapping[str, Any]) -> None:
    try:
        terms = terms_of(metadata)
    except ConfigError as error:
        msg = f"{path}: {error}"
        raise CheckpointError(msg) from error
    if terms and config.readout != "extensive":
        msg = f"{path}: {terms[0].name} is added to energies, and this is a model of a property; leave {TERMS} out of its metadata"
        raise CheckpointError(msg)


def _checksum_place(content: bytes) -> int:
    """Where the digits of the checksum are; -1 without one. It stands first in our JSON."""
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    found = CHECKSUM.search(header)
    return -1 if found is None else 8 + found.start(1)


def _verify(path: Path | str) -> None:
    """Compare the checksum of a file that has one.

    Raises:
        CheckpointError: if it is another one.
    """
    content = Path(path).read_bytes()
    at = _checksum_place(content)
    found = zlib.crc32(content[at + 8 :], zlib.crc32(b"0" * 8, zlib.crc32(content[:at])))
    if at < 0 or f"{found:08x}".encode() != content[at : at + 8]:
        msg = f"{path} is damaged: its checksum is another one; download or copy it again"
        raise CheckpointError(msg)


def read_header(path: Path | str) -> dict[str, Any]:
    """Config and metadata of a model file, without its weights, upgraded to the present format.

    Raises:
        CheckpointError: if the file is damaged, of another kind, or written by a newer tribond.
    """
    check_ordinary(Path(path))
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER_KEY])
        is_text = _is_text(header)
    except (SafetensorError, OSError) as error:
        msg = f"{path} is not a readable model file ({error}); tribond reads whole .safetensors files of its own"
        raise CheckpointError(msg) from error
    except (KeyError, ValueError, RecursionError) as error:  # no JSON, or nested, or numbers, beyond all measure
        msg = f"{path} is a safetensors file, but not one that tribond wrote"
        raise CheckpointError(msg) from error
    if not is_text:
        msg = f"{path} has a header with characters that are no text; download or copy it again"
        raise CheckpointError(msg)
    wanted = {"format_version": int, "config": dict, "metadata": dict}
    if not isinstance(header, dict) or not all(isinstance(header.get(key), kind) for key, kind in wanted.items()):
        msg = f"{path} has a header that makes no sense; download or copy it again"
        raise CheckpointError(msg)
    version = header["format_version"]
    if isinstance(version, bool) or version < 1:
        msg = f"{path} has format version {version}, which never existed; download or copy it again"
        raise CheckpointError(msg)
    if version > FORMAT_VERSION:
        msg = f"{path} has format version {version}; this tribond reads up to {FORMAT_VERSION}: upgrade tribond"
        raise CheckpointError(msg)
    for step in range(version, FORMAT_VERSION):
        header = UPGRADES[step](header)
    return header


def _is_text(value: Any) -> bool:
    """Whether all strings in a header can be written and steer no terminal: no lone surrogates, no control characters."""
    if isinstance(value, dict):
        return all(_is_text(key) and _is_text(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_text, value))
    return not isinstance(value, str) or all(
        unicodedata.category(letter) not in {"Cc", "Cs"} or letter in "\n\r\t" for letter in value
    )


def _check_numbers(path: Path | str, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in STORED:
            msg = f"{path}: {name} is stored as {tensor.dtype}, and weights are floating-point numbers of 16 to 64 bits"
            raise CheckpointError(msg)
        if tensor.numel() and not bool((tensor.double().abs() <= LARGEST).all()):
            msg = f"{path}: {name} holds numbers that are not finite or larger than {LARGEST:g}; download or copy it again"
            raise CheckpointError(msg)


def _check_radii(path: Path | str, tensors: Mapping[str, torch.Tensor], config: M3GNetConfig) -> None:
    """Radii of the repulsion are the file's, not the config's: they must be lengths, and bonds must reach as far."""
    radii = tensors.get("repulsion.radius")
    if radii is None:
        return
    radii = radii.double()
    if not bool(((radii > 0) & (2 * config.repulsion_outer * radii <= config.cutoff)).all()):
        msg = f"{path} has a number in repulsion.radius that is no radius, or too large for its cutoff"
        raise CheckpointError(msg)


def load_model(path: Path | str, dtype: torch.dtype | None = None) -> tuple[M3GNet, dict[str, Any]]:
    """Model and metadata of a model file.

    Args:
        path: the file.
        dtype: precision of the model; None takes that of the file.

    Raises:
        CheckpointError: if the file cannot be read, or its tensors are not exactly those that its config asks for.
    """
    header = read_header(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    stored = tensors["atom_embedding.weight"].dtype if "atom_embedding.weight" in tensors else torch.float32
    try:
        config = M3GNetConfig.from_dict(header["config"])
        precision = resolve_dtype(dtype or stored)
    except (ConfigError, TypeError) as error:
        msg = f"{path} has settings that make no sense: {error}"
        raise CheckpointError(msg) from error
    wanted = state_shapes(config)
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        msg = f"{path}: these tensors are missing, left over or of another shape than the config asks: {wrong}"
        raise CheckpointError(msg)
    if "checksum" in header:
        _verify(path)
    _check_numbers(path, tensors)
    _check_radii(path, tensors, config)
    model = M3GNet(config, precision)
    model.load_state_dict(tensors)
    _check_terms(path, config, header["metadata"])
    return model, header["metadata"]
