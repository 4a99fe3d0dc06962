"""How far tribond is from the home code of every published checkpoint: largest differences, as one table.

    python benchmarks/parity.py REFERENCE_FOLDER [--write]     # --write puts the table into docs/parity.md

The folder has structures.extxyz and one subfolder a checkpoint: its files in their own format, and expected.json with
what its home code computes for the structures by name (energy in eV, forces in eV/Å, stress in eV/Å³ with ASE's sign;
for a property model `energy` is the property). Where there is expected_right_triplets.json, that is what is compared
with: MatGL < 3 puts angles on the wrong bonds, and this is the same code with the bonds put right.

tribond computes in float64, unless --dtype says otherwise.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read

import tribond

PAGE = Path(__file__).parent.parent / "docs" / "parity.md"

# Home codes that divide by the signed volume: in a left-handed cell their stress has the wrong sign.
SIGNED_VOLUME = ("tensorflow", "mattersim", "m3gnet-pytorch")
LEFT_HANDED = {"edge_lefthanded_Si8"}
# A bond as long as the cutoff to the last digit, whose plain j_l leaves the cutoff with a kink: its stress is either of
# two values, as rounding has it.
TIES = {"edge_pair_at_cutoff_5.0"}


@dataclass(frozen=True)
class Differences:
    """Largest differences from the home code over all structures that it has values for."""

    folder: str
    name: str
    home: str
    structures: int
    energy: float  # eV/atom; of property models the property, in its unit
    forces: float | None  # eV/Å; None for property models
    stress: float | None  # eV/Å³
    largest_force: float  # eV/Å, in the home code's values
    by_structure: dict[str, tuple[float, float, float]] = field(default_factory=dict)


def folders(reference: Path) -> list[Path]:
    """The subfolders with a checkpoint."""
    return sorted(path.parent for path in reference.glob("*/expected.json"))


def checkpoint(folder: Path) -> Path:
    """What `tribond.load` is given."""
    return next(iter(folder.glob("*.pth")), folder)


def expected(folder: Path, *, right_triplets: bool = True) -> tuple[str, dict[str, dict[str, Any]]]:
    """Name and version of the home code, and its values by the name of the structure."""
    right = folder / "expected_right_triplets.json"
    path = right if right_triplets and right.is_file() else folder / "expected.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    values = {name: value for name, value in content["results"].items() if "energy" in value}
    return content["version"], values


def structures(reference: Path) -> dict[str, Atoms]:
    """All structures by name."""
    images = read(reference / "structures.extxyz", ":")
    return {atoms.info["name"]: atoms for atoms in images}


def compare(folder: Path, *, right_triplets: bool = True, device: str = "cpu", dtype: str = "float64") -> Differences:
    """One checkpoint with its home code."""
    home, values = expected(folder, right_triplets=right_triplets)
    atoms = {name: it for name, it in structures(folder.parent).items() if name in values}
    model = tribond.load(checkpoint(folder), device=device, dtype=dtype)
    ours = dict(zip(atoms, model.predict(atoms.values()), strict=True))
    if isinstance(model, tribond.PropertyModel):
        differences = {name: (abs(ours[name].value - values[name]["energy"]), 0.0, 0.0) for name in atoms}
    else:
        signed = folder.name.startswith(SIGNED_VOLUME)
        differences = {
            name: _difference(ours[name], values[name], len(atoms[name]), name, signed=signed) for name in atoms
        }
    is_potential = isinstance(model, tribond.Potential)
    return Differences(
        folder=folder.name,
        name=str(model.metadata["name"]),
        home=home,
        structures=len(atoms),
        energy=max(it[0] for it in differences.values()),
        forces=max(it[1] for it in differences.values()) if is_potential else None,
        stress=max(it[2] for it in differences.values()) if is_potential else None,
        largest_force=max(float(np.abs(values[name]["forces"]).max()) for name in atoms),
        by_structure=differences,
    )


def _difference(
    ours: tribond.Prediction, theirs: dict[str, Any], natoms: int, name: str, *, signed: bool
) -> tuple[float, float, float]:
    energy = abs(ours.energy - theirs["energy"]) / natoms
    forces = float(np.abs(ours.forces - np.array(theirs["forces"])).max())
    stress = 0.0
    if ours.stress is not None and theirs.get("stress") is not None and name not in TIES:
        sign = -1 if signed and name in LEFT_HANDED else 1
        stress = float(np.abs(ours.stress - sign * np.array(theirs["stress"])).max())
    return energy, forces, stress


def table(reference: Path, device: str, dtype: str) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| checkpoint | home code | structures | energy, eV/atom | forces, eV/Å | stress, eV/Å³ |"
    yield "|---|---|---:|---:|---:|---:|"
    for folder in folders(reference):
        found = compare(folder, device=device, dtype=dtype)
        numbers = [f"{value:.1e}" if value is not None else "" for value in (found.energy, found.forces, found.stress)]
        yield f"| {found.folder} | {found.home} | {found.structures} | {' | '.join(numbers)} |"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path, metavar="REFERENCE_FOLDER")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float64", choices=("float64", "float32"))
    parser.add_argument("--write", action="store_true", help="put the table into docs/parity.md")
    given = parser.parse_args()
    lines = []
    for line in table(given.reference, given.device, given.dtype):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        before, start, rest = PAGE.read_text(encoding="utf-8").partition("<!-- table -->\n")
        _, end, after = rest.partition("<!-- end of table -->\n")
        PAGE.write_text(before + start + "\n".join(lines) + "\n" + end + after, encoding="utf-8")
        print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
