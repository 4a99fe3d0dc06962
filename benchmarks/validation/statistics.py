"""Errors of the potentials against the references, on the crystals that all of them were tried on."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = Mapping[str, Mapping[str, Any]]  # results of one potential and section, by the crystal's name


def common(results: Mapping[str, Rows]) -> list[str]:
    """Names of the crystals that every potential has been tried on."""
    return sorted(set.intersection(*(set(rows) for rows in results.values()))) if results else []


def failed(row: Mapping[str, Any]) -> bool:
    """Whether there is no number, for whatever reason; moduli of a mechanically unstable crystal are none."""
    return "error" in row or "crash" in row or row.get("mechanically_stable") is False


def reason(row: Mapping[str, Any]) -> str:
    """Why there is no number, in two or three words, for counting."""
    if "crash" in row:
        return f"crashed ({row['crash']['kind']})"
    if "error" not in row:
        return "unstable"
    sentence = row["error"]["sentence"]
    for part, words in (
        ("does not know", "element unknown"),
        ("is no minimum of the energy", "no minimum"),
        ("have no neighbour in the model's reach", "beyond the cutoff"),
        ("did not come to rest", "not relaxed"),
        ("do not come to rest", "strained cell not relaxed"),
        ("runs away", "ran away"),
        ("ran away", "ran away"),
        ("of vacuum", "refused: vacuum"),
        ("lowest at the last volume", "lower minimum elsewhere"),
        ("not convex", "E(V) not convex"),
        ("do not follow", "E(V) not smooth"),
        ("has no minimum between", "no minimum in E(V)"),
    ):
        if part in sentence:
            return words
    return str(row["error"]["kind"])


def failures(rows: Rows, names: list[str]) -> Counter[str]:
    """Reasons and how often."""
    return Counter(reason(rows[name]) for name in names if failed(rows[name]))


def differences(rows: Rows, names: list[str], quantity: str, *, relative: bool = False) -> NDArray[np.float64]:
    """The potential's number minus the reference, in its unit or in per cent; infinite where there is no number."""
    found = []
    for name in names:
        row = rows[name]
        if failed(row):
            found.append(np.inf)
            continue
        reference = row["reference"][quantity]
        difference = row[quantity] - reference
        found.append(100 * difference / reference if relative else difference)
    return np.array(found)


def with_numbers(results: Mapping[str, Rows], names: list[str]) -> list[str]:
    """Of the names, those for which every potential has a number: means are taken over these."""
    return [name for name in names if not any(failed(rows[name]) for rows in results.values())]
