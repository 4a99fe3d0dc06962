"""What was measured, as tables in Markdown with one column a potential."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BEYOND = 8.0  # per cent of the volume of an elemental crystal
TEXTBOOK_BEYOND = 3.0


def markdown(folders: list[Path]) -> str:
    """Tables of the sections that every one of the potentials has, or some of them."""
    measured = {
        folder.name: {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")} for folder in folders
    }
    parts = [
        _table("errors: energy meV/atom / forces meV/Å / stress GPa", measured, "frames", _frames),
        _table("elemental crystals", measured, "elements", _elements),
        _table("textbook compounds", measured, "textbook", _textbook),
        _table("bulk moduli", measured, "moduli", _moduli),
        _table("WBM", measured, "wbm", _wbm),
        _table("dimers", measured, "dimers", _dimers),
        _table("NVE drift over 50 ps, meV/atom", measured, "conservation", _conservation),
        _table("melts at 2000 K", measured, "melts", _melts),
        _table("20 ps at 300 K", measured, "solids", _solids),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(title: str, measured: dict[str, dict[str, Any]], section: str, rows: Callable[[Any], dict[str, str]]) -> str:
    columns = {name: rows(found[section]) for name, found in measured.items() if section in found}
    if not columns:
        return ""
    labels = list(dict.fromkeys(label for column in columns.values() for label in column))
    lines = [f"| {title} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    lines += [f"| {label} | {' | '.join(column.get(label, '–') for column in columns.values())} |" for label in labels]
    return "\n".join(lines)


def _frames(found: Any) -> dict[str, str]:
    return {
        f"{name} ({row['frames']})": f"{row['energy_meV_per_atom']:.0f} / {row['forces_meV_per_A']:.0f} / {row['stress_GPa']:.2f}"
        for name, row in found["files"].items()
    }


def _differences(found: Any) -> dict[str, float]:
    """Crystals without an end count as infinitely far."""
    return {
        name: np.inf if row["difference_percent"] is None else row["difference_percent"]
        for name, row in found["crystals"].items()
    }


def _worst(differences: dict[str, float], beyond: float) -> str:
    far = sorted((name for name in differences if abs(differences[name]) > beyond), key=lambda n: -abs(differences[n]))
    return ", ".join(f"{name} {differences[name]:+.0f}" for name in far) or "none"


def _volumes(found: Any, beyond: float) -> dict[str, str]:
    differences = _differences(found)
    sizes = np.abs(list(differences.values()))
    return {
        "crystals": str(len(sizes)),
        "volume, median error": f"{np.median(sizes):.1f} %",
        "volume, mean error": f"{sizes.mean():.1f} %",
        f"beyond {beyond:.0f} %": str(int((sizes > beyond).sum())),
        "which": _worst(differences, beyond),
    }


def _elements(found: Any) -> dict[str, str]:
    return _volumes(found, BEYOND)


def _textbook(found: Any) -> dict[str, str]:
    return _volumes(found, TEXTBOOK_BEYOND)


def _moduli(found: Any) -> dict[str, str]:
    rows = [row for row in found["crystals"] if "bulk_modulus_GPa" in row]
    errors = np.array([row["bulk_modulus_GPa"] - row["reference_GPa"] for row in rows])
    return {
        "crystals": f"{len(rows)} of {len(found['crystals'])}",
        "mean error": f"{np.abs(errors).mean():.1f} GPa",
        "median error": f"{np.median(np.abs(errors)):.1f} GPa",
        "bias": f"{errors.mean():+.1f} GPa",
    }


def _wbm(found: Any) -> dict[str, str]:
    rows = [row for row in found["crystals"] if "error" not in row]
    rmsds = [row["rmsd"] for row in rows if row["rmsd"] is not None]
    return {
        "relaxed": f"{sum(row['converged'] for row in rows)} of {len(found['crystals'])}",
        "energy": f"{np.mean([abs(row['energy_error_meV_per_atom']) for row in rows]):.0f} meV/atom",
        "volume": f"{np.mean([abs(row['volume_error_percent']) for row in rows]):.1f} %",
        "RMSD (matched)": f"{np.mean(rmsds):.3f} ({len(rmsds)})",
    }


def _dimers(found: Any) -> dict[str, str]:
    return {
        "pairs": str(found["pairs"]),
        "attract within the wall": str(len(found["attractive_within_wall"])),
        "holes": str(len(found["holes"])),
        "bound by more than 12 eV": str(len(found["bound_by_more_than_12_eV"])),
    }


def _conservation(found: Any) -> dict[str, str]:
    return {name: f"{row['drift_meV_per_atom']:+.3f} ({row['temperature_K']:.0f} K)" for name, row in found.items()}


def _melts(found: Any) -> dict[str, str]:
    return {
        name: f"closest {', '.join(f'{pair} {r:.2f}' for pair, r in row['closest_A'].items())} Å; "
        + (f"fused: {', '.join(row['fused'])}" if row["fused"] else "none fused")
        for name, row in found.items()
    }


def _solids(found: Any) -> dict[str, str]:
    return {
        name: f"{row['broken']} of {row['bonds']} bonds broken, {row['formed']} formed" for name, row in found.items()
    }
