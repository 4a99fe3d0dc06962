"""What `tribond predict` shows and writes: energies, or properties, as a table, as JSON and as extxyz."""

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tribond.cli import output
from tribond.cli.structure_files import Frame
from tribond.files import atomic_path, write_atomically, write_json

if TYPE_CHECKING:
    from ase import Atoms

    from tribond.models.ensemble import Ensemble
    from tribond.models.force_field import Prediction, Spread
    from tribond.models.property_model import PropertyModel, PropertyPrediction, Target
    from tribond.models.trained_model import TrainedModel

ENDINGS = {".json": "json", ".extxyz": "extxyz", ".xyz": "extxyz", ".csv": "csv"}  # csv: of properties alone
SPREADS = ["energy std (eV/atom)", "max force spread (eV/Å)"]  # of ensembles
AXES = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}
AnyPrediction: TypeAlias = "Prediction | PropertyPrediction"


@dataclass(frozen=True)
class Result:
    """What came of one structure."""

    label: str
    frame: Frame | None = None  # None if it could not be read
    prediction: "AnyPrediction | None" = None  # None if it failed
    error: str | None = None


def print_results(results: list[Result], trained: "TrainedModel | Ensemble") -> None:
    """One row a structure."""
    from tribond.models.force_field import GivesSpread
    from tribond.models.property_model import PropertyModel

    if isinstance(trained, PropertyModel):
        columns = [_column(target) for target in trained.targets]
        if trained.config.classification and trained.classes:
            columns = [trained.name, *(f"P({name})" for name in _class_names(trained))]
    else:
        spreads = SPREADS if isinstance(trained, GivesSpread) else []
        columns = ["energy (eV)", "energy (eV/atom)", "fmax (eV/Å)", *spreads, *(f"σ {axes}" for axes in AXES)]
    table = output.plain_table("structure", "formula", "atoms", *columns, right=["atoms", *columns])
    for result in results:
        if result.frame is None or result.prediction is None:
            table.add_row(output.shown(result.label), "[red]failed[/]")
            continue
        atoms = result.frame.atoms
        row = _cells(result.prediction, len(atoms))
        table.add_row(output.shown(result.label), atoms.get_chemical_formula(), str(len(atoms)), *row)
    terminal = output.console()
    terminal.print(table)
    if any(getattr(result.prediction, "stress", None) is not None for result in results):
        terminal.print("σ: stress in GPa, tension positive")


def write_results(results: list[Result], trained: "TrainedModel | Ensemble", path: Path) -> None:
    """All results as JSON, or the structures that went well as extxyz, by the ending of the file."""
    if ENDINGS[path.suffix.lower()] == "csv":
        write_atomically(path, _csv(results))
        return
    if ENDINGS[path.suffix.lower()] == "json":
        structures = [_record(result) for result in results]
        record = output.model_record(trained)
        write_json(path, {"tribond_version": output.version(), "model": record, "structures": structures})
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
    return about | _numbers(prediction)


def _images(results: list[Result]) -> "Iterator[Atoms]":
    """Copies of the structures that carry their predictions."""
    for result in results:
        if result.frame is None or result.prediction is None:
            continue
        atoms = result.frame.atoms.copy()
        atoms.info["source"] = result.label
        _attach(atoms, result.prediction)
        yield atoms


def _cells(prediction: "AnyPrediction", natoms: int) -> list[str]:
    """What the table shows of a prediction."""
    import numpy as np

    from tribond.models.force_field import Prediction
    from tribond.units import EV_PER_A3_TO_GPA

    if not isinstance(prediction, Prediction):
        numbers = [f"{number:.4f}" for number in np.atleast_1d(prediction.value)]
        return numbers if prediction.label is None else [prediction.label, *numbers]
    row = [f"{prediction.energy:.4f}", f"{prediction.energy / natoms:.4f}", f"{_fmax(prediction):.4f}"]
    if (spread := prediction.spread) is not None:
        row += [f"{spread.energy_std_per_atom:.4f}", f"{spread.max_force_spread:.4f}"]
    stress = prediction.stress
    return row if stress is None else row + [f"{stress[axes] * EV_PER_A3_TO_GPA:.3f}" for axes in AXES.values()]


def _numbers(prediction: "AnyPrediction") -> dict[str, Any]:
    """What JSON has of a prediction."""
    import numpy as np

    from tribond.models.force_field import Prediction

    if not isinstance(prediction, Prediction):
        value = prediction.value
        plain = value if isinstance(value, float) else np.asarray(value).tolist()
        found: dict[str, Any] = {"property": prediction.name, "unit": prediction.unit, "value": plain}
        if not isinstance(value, float) and prediction.targets:
            found["targets"] = [{"name": target.name, "unit": target.unit} for target in prediction.targets]
        return found if prediction.label is None else found | {"class": prediction.label}
    atomic = prediction.atomic_energies
    found = {
        "energy_eV": prediction.energy,
        "energy_eV_per_atom": prediction.energy / len(prediction.forces),
        "fmax_eV_per_A": _fmax(prediction),
        "stress_eV_per_A3": None if prediction.stress is None else prediction.stress.tolist(),
        "forces_eV_per_A": prediction.forces.tolist(),
        # NaN, which JSON has not, where dispersion is not shared out among the atoms of a large structure.
        "atomic_energies_eV": [energy if math.isfinite(energy) else None for energy in atomic.tolist()],
    }
    if (spread := prediction.spread) is not None:
        found |= {
            "energy_std_eV": spread.energy_std,
            "energy_std_eV_per_atom": spread.energy_std_per_atom,
            "max_force_spread_eV_per_A": spread.max_force_spread,
            "forces_std_eV_per_A": spread.forces_std.tolist(),
            "stress_std_eV_per_A3": None if spread.stress_std is None else spread.stress_std.tolist(),
        }
    return found


def _attach(atoms: "Atoms", prediction: "AnyPrediction") -> None:
    """Give a structure its prediction: energies as ASE's results, a property as a note of its name."""
    import numpy as np
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.stress import full_3x3_to_voigt_6_stress

    from tribond.models.force_field import Prediction

    if not isinstance(prediction, Prediction):
        for target, value in zip(prediction.targets, np.atleast_1d(prediction.value).tolist(), strict=True):
            atoms.info["predicted_" + re.sub(r"\W+", "_", target.name)] = value
        if prediction.label is not None:
            atoms.info["predicted_class"] = prediction.label
        return
    stress = {} if prediction.stress is None else {"stress": full_3x3_to_voigt_6_stress(prediction.stress)}
    atoms.calc = SinglePointCalculator(atoms, energy=prediction.energy, forces=prediction.forces, **stress)
    if prediction.spread is not None:
        attach_spread(atoms, prediction.spread)


def attach_spread(atoms: "Atoms", spread: "Spread") -> None:
    """Put a spread beside a structure, under names that stand in extended XYZ, and no reader takes for labels."""
    atoms.info["energy_std_eV_per_atom"] = spread.energy_std_per_atom
    atoms.info["max_force_spread_eV_per_A"] = spread.max_force_spread
    atoms.arrays["forces_std"] = spread.forces_std


def _column(target: "Target") -> str:
    return f"{target.name} ({target.unit})" if target.unit else target.name


def _class_names(trained: "PropertyModel") -> tuple[str, ...]:
    """Of two classes the probability is that of the second."""
    return trained.classes[1:] if trained.config.num_targets == 1 else trained.classes


def _csv(results: list[Result]) -> bytes:
    """One row a structure; those that failed have the reason."""
    import numpy as np

    from tribond.models.property_model import PropertyPrediction

    rows: list[dict[str, Any]] = []
    for result in results:
        row: dict[str, Any] = {"structure": result.label}
        if result.frame is not None and isinstance(result.prediction, PropertyPrediction):
            row["formula"] = result.frame.atoms.get_chemical_formula()
            values = np.atleast_1d(result.prediction.value).tolist()
            row |= {_column(it): value for it, value in zip(result.prediction.targets, values, strict=True)}
            row |= {} if result.prediction.label is None else {"class": result.prediction.label}
        row["error"] = result.error
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row if name != "error"))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=[*names, "error"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _fmax(prediction: "Prediction") -> float:
    import numpy as np

    return float(np.linalg.norm(prediction.forces, axis=1).max())
