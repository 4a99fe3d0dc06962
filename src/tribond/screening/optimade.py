"""Structures of OPTIMADE's answers: https://www.optimade.org, entries of the endpoint /structures as JSON."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from tribond.errors import StructureError
from tribond.reading.content import Found


def read_optimade(path: Path) -> Iterator[tuple[str, Found]]:
    """Id and structure of all entries in a file; an error in the place of those that are none.

    Args:
        path: an answer with `data`, a list of entries, or one entry a line (OPTIMADE's JSON Lines).

    Raises:
        StructureError: if it is neither.
    """
    with path.open(encoding="utf-8") as lines:
        first = lines.readline()
        try:
            start = json.loads(first)
        except ValueError:
            start = None
        if isinstance(start, dict) and "data" not in start:  # one object a line, the first may describe the rest
            yield from _entries([start])
            for number, line in enumerate(lines, 2):
                if line.strip():
                    try:
                        yield from _entries([json.loads(line)])
                    except ValueError as error:
                        yield f"line {number}", StructureError(f"this line is no JSON: {error}")
            return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise StructureError(f"this is no JSON: {str(error)[:100]}") from error
    data = content.get("data") if isinstance(content, dict) else content
    entries = [data] if isinstance(data, dict) else data
    if not isinstance(entries, list):
        raise StructureError("this is no answer of OPTIMADE: it has no `data`")
    yield from _entries(entries)


def _entries(entries: list[Any]) -> Iterator[tuple[str, Found]]:
    for entry in entries:
        if not isinstance(entry, Mapping) or entry.get("type", "structures") != "structures" or "x-optimade" in entry:
            continue  # the head of JSON Lines, providers, references
        name = str(entry.get("id", "no id"))
        try:
            yield name, _atoms(entry.get("attributes", entry))
        except StructureError as error:
            yield name, error


def _atoms(attributes: Mapping[str, Any]) -> Atoms:
    try:
        species = {it["name"]: it for it in attributes["species"]} if attributes.get("species") else {}
        symbols = [_symbol(species.get(name), name) for name in attributes["species_at_sites"]]
        positions = np.array(attributes["cartesian_site_positions"], dtype=np.float64).reshape(-1, 3)
        vectors = attributes.get("lattice_vectors")
        cell = None if vectors is None else np.array([[x or 0.0 for x in it] for it in vectors], dtype=np.float64)
        periodic = attributes.get("dimension_types") or ([0, 0, 0] if cell is None else [1, 1, 1])
        return Atoms(symbols, positions=positions, cell=cell, pbc=[bool(it) for it in periodic])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, StructureError):
            raise
        raise StructureError(f"this structure of OPTIMADE is incomplete: {type(error).__name__}: {error}") from error


def _symbol(species: Mapping[str, Any] | None, name: str) -> str:
    if species is None:
        return name
    symbols = list(species["chemical_symbols"])
    if len(symbols) != 1 or symbols[0] in {"vacancy", "X"} or float(species.get("concentration", [1.0])[0]) < 1 - 1e-6:
        shown = ", ".join(symbols)
        raise StructureError(f"the sites {name} are shared or not full ({shown}); an ordered structure is needed")
    return str(symbols[0])
