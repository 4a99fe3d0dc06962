"""pymatgen's structures and molecules as JSON and YAML. The dictionaries say it all: pymatgen is not needed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from ase import Atoms

from tribond.errors import StructureError
from tribond.reading.content import Found, Options
from tribond.reading.elements import of_labels
from tribond.reading.occupancy import Occupied, refuse_partial

DEEPEST = 20  # a structure lies not deeper in the lists and dictionaries of a file


def looks_like_pymatgen(head: bytes) -> bool:
    """Whether a JSON or YAML file holds pymatgen's dictionaries."""
    start = head.lstrip()[:1]
    is_json = start in (b"{", b"[") and b'"sites"' in head and b'"species"' in head
    is_yaml = b"pymatgen.core" in head and (b"@module:" in head or b"'@module':" in head) and start not in (b"{", b"[")
    return is_json or is_yaml or (start in (b"{", b"[") and b'"pymatgen.' in head)


def read_pymatgen(text: str, options: Options) -> tuple[list[Found], list[str]]:
    """All structures and molecules in the file; an error in the place of disordered ones and of species that are no elements.

    Raises:
        StructureError: for damaged files.
    """
    del options
    try:
        content = json.loads(text) if text.lstrip()[:1] in ("{", "[") else _from_yaml(text)
    except (ValueError, RecursionError) as error:
        msg = f"this JSON or YAML file is damaged ({str(error).splitlines()[0][:100]})"
        raise StructureError(msg) from error
    found = list(_structures(content, 0))
    if not found:
        msg = "this JSON or YAML file holds no structure of pymatgen (no 'sites')"
        raise StructureError(msg)
    return [_found(structure) for structure in found], []


def _from_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"not YAML: {error}"
        raise ValueError(msg) from error


def _structures(content: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """Dictionaries with sites, wherever they are: entries of databases wrap structures."""
    if depth > DEEPEST:
        return
    if isinstance(content, Mapping):
        if isinstance(content.get("sites"), list):
            yield content
            return
        for value in content.values():
            yield from _structures(value, depth + 1)
    elif isinstance(content, list):
        for value in content:
            yield from _structures(value, depth + 1)


def _found(structure: Mapping[str, Any]) -> Found:
    try:
        return atoms_of(structure)
    except StructureError as error:
        return error


def atoms_of(structure: Mapping[str, Any]) -> Atoms:
    """The structure that a dictionary of pymatgen describes.

    Raises:
        StructureError: if it is incomplete, disordered, or has species that are no elements.
    """
    lattice = structure.get("lattice")
    try:
        cell = None if lattice is None else np.array(lattice["matrix"], dtype=np.float64).reshape(3, 3)
        pbc = False if lattice is None else lattice.get("pbc", (True, True, True))
        names, fractions, places = [], [], []
        for site in structure["sites"]:
            species = site["species"]
            names.append([str(part["element"]) for part in species])
            fractions.append([float(part.get("occu", 1.0)) for part in species])
            if cell is not None and "abc" in site:
                places.append(np.array(site["abc"], dtype=np.float64) @ cell)
            else:
                places.append(np.array(site["xyz"], dtype=np.float64))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"this structure of pymatgen is incomplete: {type(error).__name__}: {error}"
        raise StructureError(msg) from error
    labels = [part[0] if part else "X" for part in names]
    shared = [
        Occupied(", ".join(part), part[0], sum(occu), place)
        for part, occu, place in zip(names, fractions, places, strict=True)
        if len(part) != 1
    ]
    if shared:
        msg = f"sites are shared by several species ({shared[0].label}); make an ordered structure of it first"
        raise StructureError(msg)
    sites = [
        Occupied(label, label, occu[0], place) for label, occu, place in zip(labels, fractions, places, strict=True)
    ]
    refuse_partial(sites)
    return Atoms(of_labels(labels), positions=np.array(places).reshape(-1, 3), cell=cell, pbc=pbc)
