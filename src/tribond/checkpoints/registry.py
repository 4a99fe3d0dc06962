"""Names of models, and `tribond.load`."""

import difflib
from pathlib import Path
from typing import Any

import torch

from tribond.checkpoints.catalogue import Entry, catalogue, entry_named
from tribond.checkpoints.download import Progress, cache_folder, fetch
from tribond.checkpoints.matgl_era import Dialect
from tribond.checkpoints.one_hot import Weights
from tribond.checkpoints.open_model import open_model
from tribond.errors import ConfigError, ModelNotFoundError
from tribond.nn.m3gnet import M3GNet
from tribond.potential import Potential
from tribond.property_model import PropertyModel
from tribond.trained_model import resolve_device, resolve_dtype

BUILT_IN_FOLDER = Path(__file__).parent / "built_in"
DEFAULT = "tribond-mp-1"
ALIASES = {"default": DEFAULT}


def built_in_names() -> list[str]:
    """Models that ship with the package."""
    return sorted(path.stem for path in BUILT_IN_FOLDER.glob("*.safetensors"))


def downloaded_folder(entry: Entry) -> Path:
    """Where the files of a published model are kept, whether they are there or not."""
    return cache_folder() / "models" / entry.name


def is_downloaded(entry: Entry) -> bool:
    """Whether the files of a published model are there."""
    return all((downloaded_folder(entry) / file.name).is_file() for file in entry.files)


def find(name_or_path: str | Path, *, progress: Progress | None = None) -> Path:
    """The file or folder of a model, given its name or its path; a published model is downloaded if need be.

    Args:
        name_or_path: a built-in name, a path, or the name of a published model; the first that fits.
        progress: of a download.

    Raises:
        ModelNotFoundError: if it is none of these; the message names what comes closest.
        DownloadError: if a published model is neither in the cache nor to be had.
    """
    name = ALIASES.get(str(name_or_path), str(name_or_path))
    if name in built_in_names():
        return BUILT_IN_FOLDER / f"{name}.safetensors"
    path = Path(name_or_path).expanduser()
    if name and path.exists():
        return path
    entry = published(name)
    files = fetch(entry.files, downloaded_folder(entry), progress=progress)
    return files[0].parent if len(files) > 1 else files[0]


def published(name: str) -> Entry:
    """The published model of a name.

    Raises:
        ModelNotFoundError: if there is none; the message names what comes closest.
    """
    entry = entry_named(name)
    if entry is not None:
        return entry
    close = difflib.get_close_matches(name, [*ALIASES, *built_in_names(), *catalogue()], n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    here = [alias for alias, model in ALIASES.items() if model in built_in_names()] + built_in_names()
    names = ", ".join(here) if here else "missing (reinstall tribond)"
    msg = (
        f"no model is called {name!r} and no such file exists; {hint}The names are: {names}; "
        f"and {len(catalogue())} published ones, which `tribond models` lists"
    )
    raise ModelNotFoundError(msg)


def load_network(
    name_or_path: str | Path,
    dtype: torch.dtype | None = None,
    *,
    dialect: Dialect | None = None,
    weights: Weights = "raw",
) -> tuple[M3GNet, dict[str, Any]]:
    """The bare network of a model, to train it or to write it to a file, and its metadata; errors as of `load`."""
    path = find(name_or_path)
    model, metadata = open_model(path, dtype, dialect=dialect, weights=weights)
    entry = entry_named(str(name_or_path)) if not Path(name_or_path).expanduser().exists() else None
    # A file without a published checksum is known by the name that it was asked for.
    return model, metadata if entry is None else metadata | entry.metadata()


def load(
    name_or_path: str | Path = "default",
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    dialect: Dialect | None = None,
    weights: Weights = "raw",
) -> Potential | PropertyModel:
    """Load a model by name or from a file.

    Args:
        name_or_path: "default" is the built-in universal potential; or the name of a published model (`tribond models`
            lists them), which is downloaded once; or a path: tribond's own file, a folder in the format of TensorFlow's
            m3gnet or of MatGL, or a .pth file of MatterSim or M3GNet-Pytorch.
        device: where to run: "cpu", "cuda", "cuda:1"; None means CUDA if PyTorch sees a GPU for it, else the CPU.
        dtype: "float32" (fast; molecular dynamics) or "float64" (relaxation, phonons, elasticity); None keeps the
            file's, float32 for all published ones.
        dialect: "matgl_dgl" or "matgl_pyg" for folders of MatGL that do not tell by which version they were written.
        weights: "raw" for those that the home code computes with; "ema" for their moving average, which files of
            MatterSim and M3GNet-Pytorch hold too.

    Returns:
        A `Potential` (energy, forces, stress) or a `PropertyModel` (one property), as the file has it.

    Raises:
        ModelNotFoundError: if there is no such name or file.
        DownloadError: if a published model cannot be downloaded; the message says where to put its files by hand.
        CheckpointError: if the file cannot be used.
        ConfigError: if device or dtype cannot be had.
    """
    precision = None if dtype is None else resolve_dtype(dtype)
    target = resolve_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model, metadata = load_network(name_or_path, precision, dialect=dialect, weights=weights)
    kind = Potential if model.config.readout == "extensive" else PropertyModel
    return kind(model.to(target), metadata)


def load_potential(name_or_path: str | Path = "default", **settings: Any) -> Potential:
    """`load`, for those who need energy and forces.

    Raises:
        ConfigError: if the model predicts a property.
    """
    model = load(name_or_path, **settings)
    if isinstance(model, Potential):
        return model
    msg = f"{name_or_path} predicts one property ({model.name}) and has no energy and forces; this needs a potential"
    raise ConfigError(msg)
