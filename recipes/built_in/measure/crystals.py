"""Volumes of relaxed crystals against PBE: elements (WIEN2k) and textbook compounds (Materials Project)."""

import json
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.collections import dcdft
from reading import read_packed

import tribond
from tribond.errors import TribondError
from tribond.properties.relax import relax

FMAX = 0.01  # eV/Å
STEPS = 300

# The best known crystal of its kind, by Materials Project id: their PBE(+U) volumes are the reference.
TEXTBOOK = {
    "rock salt": {
        "LiF": "mp-1138",
        "NaCl": "mp-22862",
        "KCl": "mp-23193",
        "KBr": "mp-23251",
        "RbI": "mp-22903",
        "MgO": "mp-1265",
        "CaO": "mp-2605",
        "BaO": "mp-1342",
        "PbTe": "mp-19717",
    },
    "zinc blende and wurtzite": {
        "GaAs": "mp-2534",
        "InP": "mp-20351",
        "AlP": "mp-1550",
        "ZnS": "mp-10695",
        "CdTe": "mp-406",
        "SiC": "mp-8062",
        "c-BN": "mp-1639",
        "GaN": "mp-804",
        "AlN": "mp-661",
        "ZnO": "mp-2133",
    },
    "cesium chloride and fluorite": {"CsCl": "mp-22865", "CaF2": "mp-2741", "Li2O": "mp-1960", "Mg2Si": "mp-1367"},
    "perovskite and spinel": {
        "SrTiO3": "mp-5229",
        "BaTiO3": "mp-5020",
        "KMgF3": "mp-3448",
        "CsPbI3": "mp-1069538",
        "MgAl2O4": "mp-3536",
    },
    "other oxides": {
        "Al2O3": "mp-1143",
        "TiO2 anatase": "mp-390",
        "HfO2": "mp-352",
        "Fe2O3": "mp-19770",
        "NaAlSi2O6": "mp-6124",
    },
    "carbides and nitrides": {
        "TiC": "mp-631",
        "ZrC": "mp-2795",
        "WC": "mp-1894",
        "TiN": "mp-492",
        "Si3N4": "mp-988",
    },
    "intermetallics": {
        "NiAl": "mp-1487",
        "Ni3Al": "mp-12552",
        "TiAl": "mp-1953",
        "Cu3Au": "mp-2258",
        "Nb3Sn": "mp-1326",
        "MgCu2": "mp-1038",
    },
    "layered": {
        "MoS2": "mp-2815",
        "graphite": "mp-48",
        "h-BN": "mp-984",
        "Bi2Te3": "mp-34202",
        "LiCoO2": "mp-22526",
    },
}


def measure_elements(model: str, data: Path) -> Any:
    """The 71 elemental crystals of ase.collections.dcdft, each relaxed from its WIEN2k PBE structure."""
    reference = json.loads((data / "prop_dcdft/dcdft.json").read_text())
    known = tribond.load_potential(model, device="cpu").config.elements
    crystals = {symbol: dcdft[symbol] for symbol in dcdft.names if symbol in known}
    volumes = {symbol: reference[symbol]["wien2k_volume"] for symbol in crystals}
    unknown = [symbol for symbol in dcdft.names if symbol not in known]
    return {"crystals": _relaxed_volumes(model, crystals, volumes), "unknown_elements": unknown}


def measure_textbook(model: str, data: Path) -> Any:
    """Compounds that every textbook has, each relaxed from its structure in the Materials Project."""
    wanted = {mp_id: (kind, name) for kind, group in TEXTBOOK.items() for name, mp_id in group.items()}
    catalogue = {
        atoms.info["id"]: atoms
        for atoms in read_packed(data / "teacher/crystals.extxyz.gz")
        if atoms.info["id"] in wanted
    }
    missing = wanted.keys() - catalogue.keys()
    if missing:
        msg = f"the catalogue has no {', '.join(sorted(missing))}"
        raise KeyError(msg)
    crystals = {wanted[mp_id][1]: atoms for mp_id, atoms in catalogue.items()}
    volumes = {name: atoms.get_volume() / len(atoms) for name, atoms in crystals.items()}
    found = _relaxed_volumes(model, crystals, volumes)
    for mp_id, (kind, name) in wanted.items():
        found[name] |= {"kind": kind, "id": mp_id}
    return {"crystals": found}


def _relaxed_volumes(model: str, crystals: dict[str, Atoms], volumes: dict[str, float]) -> dict[str, Any]:
    """Volume of every relaxed crystal, Å³/atom, next to the reference; None where there is no rest."""
    calculator = tribond.Calculator(tribond.load_potential(model, dtype="float64", device="cpu"))
    found: dict[str, Any] = {}
    for name, atoms in crystals.items():
        row: dict[str, Any] = {"reference_A3_per_atom": volumes[name]}
        try:
            relaxation = relax(atoms, calculator, fmax_eV_per_A=FMAX, steps=STEPS)
            row["volume_A3_per_atom"] = relaxation.final.get_volume() / len(atoms)
            row["converged"] = relaxation.converged
            row["difference_percent"] = 100 * (row["volume_A3_per_atom"] / volumes[name] - 1)
        except TribondError as error:
            row |= {"volume_A3_per_atom": None, "converged": False, "difference_percent": None, "error": str(error)}
        found[name] = row
    return found
