"""What an evaluation of properties leaves on disk."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tribond.evaluation.plots import png
from tribond.evaluation.property_metrics import ClassErrors, PropertyResults, TargetErrors, property_errors
from tribond.evaluation.property_plots import property_plot
from tribond.files import write_atomically
from tribond.models.property_model import PropertyModel


def write_property_report(
    results: PropertyResults, model: PropertyModel, folder: Path, record: Mapping[str, Any], *, title: str
) -> list[TargetErrors | ClassErrors]:
    """Write summary.json, predictions.csv (one row a structure) and parity.png or roc.png; each at once.

    Args:
        results: labels and predictions.
        model: what predicted.
        folder: made if it is not there.
        record: what else belongs into summary.json.
        title: of the picture.

    Returns:
        The errors of every target that has labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    errors = property_errors(results, model)
    content = dict(record) | {"structures": len(results.table), "targets": [asdict(it) for it in errors]}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / "summary.json", text.encode())
    write_atomically(folder / "predictions.csv", _csv(prediction_rows(results, model)))
    if errors:
        name = "roc.png" if model.config.classification else "parity.png"
        write_atomically(folder / name, png(property_plot(results, errors, model, title)))
    return errors


def prediction_rows(results: PropertyResults, model: PropertyModel) -> list[dict[str, Any]]:
    """One row a structure: its name, formula, labels and predictions."""
    rows = []
    for number, name in enumerate(results.table.names):
        row: dict[str, Any] = {"row": name, "formula": results.table.structures[number].get_chemical_formula()}
        labels, predicted = results.table.values[number], results.predictions[number]
        if model.config.classification:
            known = labels[0] == labels[0]
            row["label"] = (model.classes or range(99))[int(labels[0])] if known else None
            row |= {
                f"probability of {target.name}": float(p) for target, p in zip(model.targets, predicted, strict=True)
            }
        else:
            for target, label, value in zip(model.targets, labels, predicted, strict=True):
                unit = f" ({target.unit})" if target.unit else ""
                row[f"{target.name}{unit}"] = None if label != label else float(label)  # noqa: PLR0124 - NaN
                row[f"predicted {target.name}{unit}"] = float(value)
        rows.append(row)
    return rows


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode()
