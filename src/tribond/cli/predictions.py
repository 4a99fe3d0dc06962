"""What `tribond predict` shows and writes: energies, or properties, as a table, as JSON and as extxyz."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tribond.cli import output
from tribond.cli.structure_files import Frame
from tribond.files import atomic_path

if TYPE_CHECKING:
    from ase import Atoms

    from tribond.potential import Prediction
    from tribond.property_model import PropertyModel, PropertyPrediction
    from tribond.trained_model import TrainedModel

ENDINGS = {".json": "json", ".extxyz": "extxyz", ".xyz": "extxyz"}
AXES = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}
AnyPrediction: TypeAlias = "Prediction | PropertyPrediction"


@dataclass(frozen=True)
class Result:
    """What came of one structure."""

    label: str
    frame: Frame | None = None  # None if it could not be read
    prediction: Any = None  # Prediction or PropertyPrediction; None if it failed
    error: str | None = None


def print_results(results: list[Result], trained: "TrainedModel") -> None:
    """One row a structure."""
    from rich.markup import escape

    cells: Callable[[Any, int], list[str]]
    if trained.config.readout == "extensive":
        columns, cells = (
            ["energy (eV)", "energy (eV/atom)", "fmax (eV/Å)", *(f"σ {axes}" for axes in AXES)],
            _energy_cells,
        )
    else:
        columns, cells = [_title(trained)], _property_cells
    table = output.plain_table("structure", "formula", "atoms", *columns, right=["atoms", *columns])
    for result in results:
        if result.frame is None or result.prediction is None:
            table.add_row(escape(result.label), "[red]failed[/]")
            continue
        atoms = result.frame.atoms
        row = cells(result.prediction, len(atoms))
        table.add_row(escape(result.label), atoms.get_chemical_formula(), str(len(atoms)), *row)
    terminal = output.console()
    terminal.print(table)
    if any(getattr(result.prediction, "stress", None) is not None for result in results):
        terminal.print("σ: stress in GPa, tension positive")


def write_results(results: list[Result], trained: "TrainedModel", path: Path) -> None:
    """All results as JSON, or the structures that went well as extxyz, by the ending of the file."""
    if ENDINGS[path.suffix.lower()] == "json":
        structures = [_record(result) for result in results]
        record = output.model_record(trained)
        output.write_json(path, {"tribond_version": output.version(), "model": record, "structures": structures})
        return
    from ase.io import write

    images = list(_images(results))
    if not images:
        output.note(f"nothing to write to {path}: every structure failed")
        return
    with atomic_path(path) as temporary, output.quiet_libraries():
        write(str(temporary), images, format="extxyz")


def _record(result: Result) -> dict[str, Any]:
    frame, prediction = result.frame, result.prediction
    if frame is None or prediction is None:
        return {"input": result.label, "error": result.error}
    about = {
        "input": str(frame.path),
        "frame": frame.number,
        "formula": frame.atoms.get_chemical_formula(),
        "num_atoms": len(frame.atoms),
    }
    return about | (_energy_record(prediction) if hasattr(prediction, "energy") else _property_record(prediction))


def _images(results: list[Result]) -> "Iterator[Atoms]":
    """Copies of the structures that carry their predictions."""
    for result in results:
        if result.frame is None or result.prediction is None:
            continue
        atoms = result.frame.atoms.copy()
        atoms.info["source"] = result.label
        if hasattr(result.prediction, "energy"):
            _attach_energy(atoms, result.prediction)
        else:
            atoms.info[_key(result.prediction)] = result.prediction.value
        yield atoms


# ------------------------------------------------------------------------------------ of potentials


def _energy_cells(prediction: "Prediction", natoms: int) -> list[str]:
    from tribond.units import EV_PER_A3_TO_GPA

    row = [f"{prediction.energy:.4f}", f"{prediction.energy / natoms:.4f}", f"{_fmax(prediction):.4f}"]
    stress = prediction.stress
    return row if stress is None else row + [f"{stress[axes] * EV_PER_A3_TO_GPA:.3f}" for axes in AXES.values()]


def _energy_record(prediction: "Prediction") -> dict[str, Any]:
    return {
        "energy_eV": prediction.energy,
        "energy_eV_per_atom": prediction.energy / len(prediction.forces),
        "fmax_eV_per_A": _fmax(prediction),
        "stress_eV_per_A3": None if prediction.stress is None else prediction.stress.tolist(),
        "forces_eV_per_A": prediction.forces.tolist(),
        "atomic_energies_eV": prediction.atomic_energies.tolist(),
    }


def _attach_energy(atoms: "Atoms", prediction: "Prediction") -> None:
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.stress import full_3x3_to_voigt_6_stress

    stress = {} if prediction.stress is None else {"stress": full_3x3_to_voigt_6_stress(prediction.stress)}
    atoms.calc = SinglePointCalculator(atoms, energy=prediction.energy, forces=prediction.forces, **stress)


def _fmax(prediction: "Prediction") -> float:
    import numpy as np

    return float(np.linalg.norm(prediction.forces, axis=1).max())


# ---------------------------------------------------------------------------------- of property models


def _title(trained: "TrainedModel") -> str:
    model: PropertyModel = trained  # type: ignore[assignment]
    return f"{model.name} ({model.unit})" if model.unit else model.name


def _property_cells(prediction: "PropertyPrediction", _natoms: int) -> list[str]:
    import numpy as np

    return ["  ".join(f"{number:.4f}" for number in np.atleast_1d(prediction.value))]


def _property_record(prediction: "PropertyPrediction") -> dict[str, Any]:
    import numpy as np

    return {
        "property": prediction.name,
        "unit": prediction.unit,
        "value": prediction.value if isinstance(prediction.value, float) else np.asarray(prediction.value).tolist(),
    }


def _key(prediction: "PropertyPrediction") -> str:
    """The name of the property as extxyz can hold it."""
    return prediction.name.replace(" ", "_")
