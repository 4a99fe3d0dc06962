"""What an evaluation leaves on disk: tables for people, numbers for programs, pictures."""

import csv
import gzip
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.stress import full_3x3_to_voigt_6_stress

from tribond.evaluation.calibration import Calibration, energy_calibration, force_calibration
from tribond.evaluation.calibration_plot import calibration_plot
from tribond.evaluation.metrics import (
    Errors,
    EvaluationReport,
    FrameResult,
    energy_differences,
    errors_of,
    force_differences,
    stress_differences,
)
from tribond.evaluation.plots import parity_plot, png
from tribond.files import write_atomically
from tribond.reading.names import unpacked

QUANTITIES = {  # field of the report -> name of the columns
    "energy": "energy_{}_meV_per_atom",
    "energy_shifted": "energy_shifted_{}_meV_per_atom",
    "forces": "forces_{}_meV_per_A",
    "stress": "stress_{}_GPa",
}


def write_reports(
    reports: Sequence[EvaluationReport],
    folder: Path,
    record: Mapping[str, Any],
    *,
    model: str = "model",
    predictions: bool = False,
) -> list[Path]:
    """Write everything about an evaluation into a folder; files of the same names are replaced, each at once.

    Args:
        reports: one a set of structures.
        folder: made if it is not there.
        record: what else belongs into summary.json: the model, the settings.
        model: its name, for the plots.
        predictions: write all structures with labels and predictions too, as predictions_NAME.extxyz.gz.

    Returns:
        summary.json (everything), summary.csv (one row a set), elements.csv (one row an element of a set), frames.csv
        (one row a structure), parity_NAME.png, of ensembles calibration_NAME.png, and the predictions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = dict(record) | {"reports": [_record(report) for report in reports]}
    files = {
        "summary.json": (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(),
        "summary.csv": _csv([_summary_row(report) for report in reports]),
        "elements.csv": _csv([row for report in reports for row in _element_rows(report)]),
        "frames.csv": _csv([_frame_row(report.name, result) for report in reports for result in report.results]),
    }
    for report, stem in zip(reports, _stems(reports), strict=True):
        if report.energy or report.forces or report.stress:
            files[f"parity_{stem}.png"] = png(parity_plot(report, model))
        if found := calibrations(report):
            heading = f"{Path(report.name).name}: {report.frames} structures"
            files[f"calibration_{stem}.png"] = png(calibration_plot(found, heading))
        if predictions:
            files[f"predictions_{stem}.extxyz.gz"] = _extxyz(report.results)
    for name, data in files.items():
        write_atomically(folder / name, data)
    return [folder / name for name in files]


def calibrations(report: EvaluationReport) -> dict[str, Calibration]:
    """Of an ensemble, how its spread compares with its errors, by quantity; nothing of a single model."""
    found = {"energy": energy_calibration(report.results), "forces": force_calibration(report.results)}
    return {name: calibration for name, calibration in found.items() if calibration is not None}


def _stems(reports: Sequence[EvaluationReport]) -> list[str]:
    """A name for the files of every report, none twice: mptrj.extxyz.gz gives mptrj."""
    stems: list[str] = []
    for report in reports:
        stem = plain = re.sub(r"[^\w.+-]+", "_", unpacked(Path(report.name)).stem) or "data"
        count = 1
        while stem in stems:
            count += 1
            stem = f"{plain}-{count}"
        stems.append(stem)
    return stems


def _record(report: EvaluationReport) -> dict[str, Any]:
    """The report as JSON, with units in the names and without the single structures."""
    numbers = {name.format("errors"): _plain(getattr(report, field)) for field, name in QUANTITIES.items()}
    elements = {
        element.symbol: {
            "atoms": element.atoms,
            "frames": element.frames,
            "forces_errors_meV_per_A": _plain(element.forces),
            "energy_shift_eV": element.energy_shift,
        }
        for element in report.elements
    }
    counts = {"name": report.name, "frames": report.frames, "atoms": report.atoms, "skipped": dict(report.skipped)}
    found = {name: calibration.to_dict() for name, calibration in calibrations(report).items()}
    return counts | numbers | ({"calibration": found} if found else {}) | {"elements": elements}


def _plain(errors: Errors | None) -> dict[str, float] | None:
    return None if errors is None else asdict(errors)


def _summary_row(report: EvaluationReport) -> dict[str, Any]:
    row: dict[str, Any] = {"name": report.name, "frames": report.frames, "atoms": report.atoms}
    row["skipped"] = sum(report.skipped.values())
    for field, name in QUANTITIES.items():
        row |= _pair(name, getattr(report, field))
    if any(result.prediction.spread is not None for result in report.results):
        found = calibrations(report)
        for quantity in ("energy", "forces"):
            calibration = found.get(quantity)
            row[f"{quantity}_miscalibration_area"] = None if calibration is None else calibration.area
            row[f"{quantity}_spread_scale"] = None if calibration is None else calibration.scale
    return row


def _element_rows(report: EvaluationReport) -> list[dict[str, Any]]:
    return [
        {"name": report.name, "element": element.symbol, "atoms": element.atoms, "frames": element.frames}
        | _pair(QUANTITIES["forces"], element.forces)
        | {"energy_shift_eV": element.energy_shift}
        for element in report.elements
    ]


def _frame_row(name: str, result: FrameResult) -> dict[str, Any]:
    frame, prediction = result.frame, result.prediction
    energy = energy_differences([result])
    spread = {}
    if prediction.spread is not None:
        spread["energy_std_meV_per_atom"] = 1000 * prediction.spread.energy_std_per_atom
        spread["max_force_spread_meV_per_A"] = 1000 * prediction.spread.max_force_spread
    return {
        "name": name,
        "frame": frame.origin,
        "formula": frame.atoms.get_chemical_formula(),
        "atoms": len(frame.atoms),
        "energy_eV": frame.energy,
        "predicted_energy_eV": prediction.energy,
        "energy_error_meV_per_atom": energy[0] if len(energy) else None,
        **_pair(QUANTITIES["forces"], errors_of(force_differences([result]))),
        **_pair(QUANTITIES["stress"], errors_of(stress_differences([result]))),
        **spread,
    }


def _pair(name: str, errors: Errors | None) -> dict[str, float | None]:
    return {
        name.format("MAE"): None if errors is None else errors.mae,
        name.format("RMSE"): None if errors is None else errors.rmse,
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode()


def _extxyz(results: Sequence[FrameResult]) -> bytes:
    """Structures with predictions as calculator results, and the labels as reference_energy, ..._forces, ..._stress."""
    images = []
    for result in results:
        frame, prediction = result.frame, result.prediction
        bare = frame.atoms  # without what else the caller's structure may carry
        atoms = Atoms(numbers=bare.numbers, positions=bare.positions, cell=bare.cell, pbc=bare.pbc)
        atoms.info["origin"] = frame.origin
        if frame.energy is not None:
            atoms.info["reference_energy"] = frame.energy
        if frame.stress is not None:
            atoms.info["reference_stress"] = frame.stress
        if frame.forces is not None:
            atoms.arrays["reference_forces"] = frame.forces
        stress = {} if prediction.stress is None else {"stress": full_3x3_to_voigt_6_stress(prediction.stress)}
        if prediction.spread is not None:
            atoms.info["energy_std_eV_per_atom"] = prediction.spread.energy_std_per_atom
            atoms.arrays["forces_std"] = prediction.spread.forces_std
        atoms.calc = SinglePointCalculator(atoms, energy=prediction.energy, forces=prediction.forces, **stress)
        images.append(atoms)
    text = io.StringIO()
    if images:
        write(text, images, format="extxyz")
    return gzip.compress(text.getvalue().encode(), mtime=0)
