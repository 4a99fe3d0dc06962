"""Names of models, and `tribond.load`."""

import difflib
from pathlib import Path
from typing import Any

import torch

from tribond.checkpoints.catalogue import Entry, catalogue, entry_named, entry_with_checksum
from tribond.checkpoints.choices import Dialect, Weights
from tribond.checkpoints.download import Progress, cache_folder, fetch
from tribond.checkpoints.ensemble import is_ensemble, read_ensemble
from tribond.checkpoints.open_model import agreed_dialect, is_model, open_model
from tribond.errors import CheckpointError, ConfigError, DownloadError, ModelNotFoundError
from tribond.models.ensemble import Ensemble
from tribond.models.potential import Potential
from tribond.models.property_model import PropertyModel
from tribond.models.trained_model import resolve_device, resolve_dtype
from tribond.nn.m3gnet import M3GNet

BUILT_IN_FOLDER = Path(__file__).parent / "built_in"
DEFAULT = "tribond-mp-2"
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


def is_local(name: str) -> bool:
    """Whether there is a model of the user's own under this path, which goes before a published one of that name."""
    return bool(name) and is_model(_path(name))


def _path(name_or_path: str | Path) -> Path:
    try:
        return Path(name_or_path).expanduser()
    except RuntimeError:  # ~ of a user that there is not
        return Path(name_or_path)


def find(name_or_path: str | Path, *, progress: Progress | None = None) -> Path:
    """The file or folder of a model, given its name or its path; a published model is downloaded if need be.

    Args:
        name_or_path: a built-in name, a path, or the name of a published model; the first that fits.
        progress: of a download.

    Raises:
        ModelNotFoundError: if it is none of these; the message names what comes closest.
        DownloadError: if a published model is neither in the cache nor to be had.
    """
    return _locate(name_or_path, progress)[0]


def _locate(name_or_path: str | Path, progress: Progress | None = None) -> tuple[Path, Entry | None]:
    """The path, and the entry of the catalogue if it was found by its name."""
    name = ALIASES.get(str(name_or_path), str(name_or_path))
    if name in built_in_names():
        return BUILT_IN_FOLDER / f"{name}.safetensors", None
    path = _path(name_or_path)
    entry = entry_named(name)
    if is_local(name) or (name and path.is_dir() and entry is None):
        return path, None
    entry = published(name)
    folder = downloaded_folder(entry)
    try:
        files = fetch(entry.files, folder, progress=progress)
    except DownloadError as error:
        missing = [file.url for file in entry.files if not (folder / file.name).exists()]
        if len(missing) < 2:
            raise
        msg = f"{error}. {entry.name} is {len(missing)} files, all for that folder: {' '.join(missing)}"
        raise DownloadError(msg) from error
    return files[0].parent if len(files) > 1 else files[0], entry


def published(name: str) -> Entry:
    """The published model of a name.

    Raises:
        ModelNotFoundError: if there is none; the message names what comes closest.
    """
    entry = entry_named(name)
    if entry is not None:
        return entry
    names = [*ALIASES, *built_in_names(), *catalogue()]
    close = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    close = close or [known for known in names if name and name.lower() in known.lower()][:4]
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    here = [alias for alias, model in ALIASES.items() if model in built_in_names()] + built_in_names()
    known = ", ".join(here) if here else "missing (reinstall tribond)"
    msg = (
        f"no model is called {name!r} and no such file exists; {hint}names are: {known}; "
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
    path, entry = _locate(name_or_path)
    if entry is None:
        return open_model(path, dtype, dialect=dialect, weights=weights)
    told = agreed_dialect(entry, dialect)
    try:
        model, metadata = open_model(path, dtype, dialect=told, weights=weights)
        _check_identity(entry, model, metadata)
    except CheckpointError as error:
        if dialect is not None:  # that may be what is wrong, and not the files
            raise
        msg = f"{error}. These files are not those of {entry.name}: delete {downloaded_folder(entry)} to get them anew"
        raise CheckpointError(msg) from error
    return model, metadata | entry.metadata()


def _check_identity(entry: Entry, model: M3GNet, metadata: dict[str, Any]) -> None:
    """Raise CheckpointError if files without a published checksum are plainly those of another model."""
    other = entry_with_checksum(next(iter(metadata["sha256"].values()))) if "sha256" in metadata else None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    kind = "potential" if model.config.readout == "extensive" else "property"
    facts = (
        ("kind", kind, entry.kind),
        ("number of elements", len(model.config.elements), entry.num_elements),
        ("number of parameters", parameters, entry.parameters or parameters),
        ("checksum", other and other.name, other and entry.name),
    )
    for what, found, wanted in facts:
        if found != wanted:
            msg = f"the {what} of the model is {found}, that of {entry.name} is {wanted}"
            raise CheckpointError(msg)


def load(
    name_or_path: str | Path = "default",
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    dialect: Dialect | None = None,
    weights: Weights = "raw",
) -> Potential | PropertyModel | Ensemble:
    """Load a model by name or from a file.

    Args:
        name_or_path: "default" is the built-in universal potential; or the name of a published model (`tribond models`
            lists them), which is downloaded once; or a path: tribond's own file, a folder in the format of TensorFlow's
            m3gnet or of MatGL, a .pth file of MatterSim or M3GNet-Pytorch, or the ensemble.json of an ensemble or the
            folder that holds it.
        device: where to run: "cpu", "cuda", "cuda:1"; None means CUDA if PyTorch sees a GPU for it, else the CPU.
        dtype: "float32" (fast; molecular dynamics) or "float64" (relaxation, phonons, elasticity); None keeps the
            file's, float32 for all published ones, float64 for ensembles of files of both.
        dialect: "matgl_dgl" or "matgl_pyg" for folders of MatGL that do not tell by which version they were written.
        weights: "raw" for those that the home code computes with; "ema" for their moving average, which files of
            MatterSim and M3GNet-Pytorch hold too.

    Returns:
        A `Potential` (energy, forces, stress), an `Ensemble` of several, or a `PropertyModel` (one property), as the file
        has it. Where it must be a potential, and for type checkers, there are `load_potential` and `load_force_field`.

    Raises:
        ModelNotFoundError: if there is no such name or file.
        DownloadError: if a published model cannot be downloaded; the message says where to put its files by hand.
        CheckpointError: if the file cannot be used, or tells another dialect than was said.
        ConfigError: if device or dtype cannot be had, or for a choice that the file does not offer.
    """
    precision = None if dtype is None else resolve_dtype(dtype)
    target = resolve_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if (ensemble := _ensemble_called(name_or_path)) is not None:
        return _load_ensemble(ensemble, target, precision, dialect, weights)
    model, metadata = load_network(name_or_path, precision, dialect=dialect, weights=weights)
    kind = Potential if model.config.readout == "extensive" else PropertyModel
    return kind(model.to(target), metadata)


def load_potential(
    name_or_path: str | Path = "default",
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    dialect: Dialect | None = None,
    weights: Weights = "raw",
) -> Potential:
    """`load`, where only a potential will do.

    Raises:
        ConfigError: if the model predicts one property, and as of `load`.
    """
    model = load(name_or_path, device=device, dtype=dtype, dialect=dialect, weights=weights)
    if isinstance(model, Potential):
        return model
    if isinstance(model, Ensemble):
        msg = f"{name_or_path} is an ensemble, and this takes one potential: name one of its members, which `tribond info` lists"
        raise ConfigError(msg)
    msg = f"{name_or_path} predicts one property ({model.name}) and has no energy and forces; this needs a potential"
    raise ConfigError(msg)


def load_force_field(
    name_or_path: str | Path = "default",
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    dialect: Dialect | None = None,
    weights: Weights = "raw",
) -> Potential | Ensemble:
    """`load`, where a potential or an ensemble of potentials will do.

    Raises:
        ConfigError: if the model predicts one property, and as of `load`.
    """
    if _ensemble_called(name_or_path) is None:
        return load_potential(name_or_path, device=device, dtype=dtype, dialect=dialect, weights=weights)
    found = load(name_or_path, device=device, dtype=dtype, dialect=dialect, weights=weights)
    if not isinstance(found, Ensemble):
        raise TypeError(type(found).__name__)  # cannot be
    return found


def _ensemble_called(name_or_path: str | Path) -> Path | None:
    """The path of an ensemble, if this is one; names of models that ship with tribond go first, as in `find`."""
    name = str(name_or_path)
    if not name or ALIASES.get(name, name) in built_in_names():
        return None
    path = _path(name_or_path)
    return path if is_ensemble(path) else None


def _load_ensemble(
    path: Path, device: torch.device, dtype: torch.dtype | None, dialect: Dialect | None, weights: Weights
) -> Ensemble:
    file = read_ensemble(path)
    members = [load_potential(it, device=device, dtype=dtype, dialect=dialect, weights=weights) for it in file.members]
    if len({member.dtype for member in members}) > 1:  # of files of different precisions
        members = [member.to(dtype="float64") for member in members]
    try:
        return Ensemble(members, file.metadata)
    except ConfigError as error:
        msg = f"{file.path}: {error}"
        raise CheckpointError(msg) from error
