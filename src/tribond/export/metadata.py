"""What a package says about itself: written when it is made, and read without running it."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tribond
from tribond.errors import ExportError

if TYPE_CHECKING:
    from tribond.models.potential import Potential

FORMAT = 1  # of the metadata and of the contract; a reader refuses a higher one
INPUTS = ("positions", "atomic_numbers", "owned", "edge_index", "shift_vectors", "angle_edges")
OUTPUTS = ("energy", "atomic_energies", "forces", "virial")
UNITS = "energy eV, length Å, forces eV/Å, virial eV (dE/dε)"
PROVENANCE = ("level_of_theory", "licence", "training_data")  # of the model's own metadata, in a package too
FILE = "_metadata.json"  # how the name of the entry ends that AOTInductor keeps metadata in


@dataclass(frozen=True)
class PackageMetadata:
    """What is known of a package without running it."""

    name: str  # of the model
    elements: tuple[str, ...]  # chemical symbols that it knows
    cutoff: float  # Å, bonds must be shorter
    threebody_cutoff: float  # Å, so must bonds of angles
    reach: float  # Å, how far from an atom another one may be and still change its energy
    offset: float  # eV, in `energy` but in no atomic energy
    dtype: str  # precision of the network
    device: str  # cpu or cuda
    tribond_version: str  # that made it
    torch_version: str
    instruction_set: str  # vector instructions of the processor that it was made for
    provenance: dict[str, str]  # level of theory, licence and the like, as far as the model's file says


def reach(potential: "Potential") -> float:
    """How far atoms see, Å: ghosts of a domain decomposition must extend as far from the atoms of the domain.

    In a block an atom hears of its neighbours. Where messages go to the neighbour j, it also hears of the angles at i,
    whose both bonds are shorter than the three-body cutoff.
    """
    config = potential.config
    angle = 2 * config.threebody_cutoff if config.message_target == "neighbour" else 0.0
    return config.num_blocks * max(config.cutoff, angle)


def described(potential: "Potential") -> dict[str, str]:
    """The metadata of a new package as text, for AOTInductor, in C++ too: keys and values are strings."""
    import torch

    config = potential.config
    facts = {
        "format": FORMAT,
        "name": potential.metadata.get("name", "unnamed"),
        "elements": " ".join(config.elements),
        "cutoff_A": config.cutoff,
        "threebody_cutoff_A": config.threebody_cutoff,
        "reach_A": reach(potential),
        "offset_eV": potential.model.reference_energy.offset.item(),
        "dtype": str(potential.dtype).removeprefix("torch."),
        "units": UNITS,
        "inputs": " ".join(INPUTS),
        "outputs": " ".join(OUTPUTS),
        "tribond_version": tribond.__version__,
        "torch_version": torch.__version__,
    }
    facts |= {key: potential.metadata[key] for key in PROVENANCE if key in potential.metadata}
    return {key: "; ".join(map(str, it)) if isinstance(it, list) else str(it) for key, it in facts.items()}


def read_metadata(path: str | Path) -> PackageMetadata:
    """What a package says about itself; nothing in it is run.

    Raises:
        FileNotFoundError: if there is no such file.
        ExportError: if it is damaged or no package of tribond, or of a newer format.
    """
    raw = _read(Path(path))
    try:
        if int(raw["format"]) > FORMAT:
            msg = f"{path} was made by tribond {raw['tribond_version']}, which is newer than this one; update tribond"
            raise ExportError(msg)
        return PackageMetadata(
            name=raw["name"],
            elements=tuple(raw["elements"].split()),
            cutoff=float(raw["cutoff_A"]),
            threebody_cutoff=float(raw["threebody_cutoff_A"]),
            reach=float(raw["reach_A"]),
            offset=float(raw["offset_eV"]),
            dtype=raw["dtype"],
            device=raw["AOTI_DEVICE_KEY"],
            tribond_version=raw["tribond_version"],
            torch_version=raw["torch_version"],
            instruction_set=raw.get("AOTI_CPU_ISA", ""),
            provenance={key: raw[key] for key in PROVENANCE if key in raw},
        )
    except KeyError as error:
        msg = f"{path} is a package of PyTorch's, but not one that `tribond export` made: it has no {error.args[0]!r}"
        raise ExportError(msg) from error


def _read(path: Path) -> dict[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in sorted(archive.namelist()) if name.endswith(FILE)), None)
            content: Any = json.loads(archive.read(name)) if name else None
    except (zipfile.BadZipFile, ValueError) as error:
        msg = f"{path} is no package of `tribond export`, or it is damaged: {error}"
        raise ExportError(msg) from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        msg = f"{path} is no package of `tribond export`: it holds no metadata"
        raise ExportError(msg)
    return content
