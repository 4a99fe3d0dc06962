"""Names of models, and `tribond.load`."""

from pathlib import Path

import torch

from tribond.checkpoints.native import load_model
from tribond.errors import ModelNotFoundError
from tribond.potential import Potential
from tribond.trained_model import resolve_device, resolve_dtype

BUILT_IN_FOLDER = Path(__file__).parent / "built_in"
DEFAULT = "tribond-mp-1"
ALIASES = {"default": DEFAULT}


def built_in_names() -> list[str]:
    """Models that ship with the package."""
    return sorted(path.stem for path in BUILT_IN_FOLDER.glob("*.safetensors"))


def find(name_or_path: str | Path) -> Path:
    """The file of a model, given its name or its path.

    Raises:
        ModelNotFoundError: if it is neither; the message lists the names there are.
    """
    name = ALIASES.get(str(name_or_path), str(name_or_path))
    if name in built_in_names():
        return BUILT_IN_FOLDER / f"{name}.safetensors"
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    names = [alias for alias, name in ALIASES.items() if name in built_in_names()] + built_in_names()
    known = (
        f"names are: {', '.join(names)}" if names else "and the models that come with tribond are missing: reinstall it"
    )
    msg = f"no model is called {str(name_or_path)!r} and no such file exists; {known}"
    raise ModelNotFoundError(msg)


def load(
    name_or_path: str | Path = "default",
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
) -> Potential:
    """Load a potential by name or from a file.

    Args:
        name_or_path: "default" is the built-in universal potential; or the path of a model file.
        device: where to run: "cpu", "cuda", "cuda:1"; None means CUDA if PyTorch sees a GPU for it, else the CPU.
        dtype: "float32" (fast; molecular dynamics) or "float64" (relaxation, phonons, elasticity); None keeps the
            file's, float32 for the built-in one.

    Raises:
        ModelNotFoundError: if there is no such name or file.
        CheckpointError: if the file cannot be used.
        ConfigError: if device or dtype cannot be had.
    """
    path = find(name_or_path)
    precision = None if dtype is None else resolve_dtype(dtype)
    target = resolve_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model, metadata = load_model(path, precision)
    return Potential(model.to(target), metadata)
