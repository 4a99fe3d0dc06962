"""The data that potentials are measured on."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms


def read_packed(file: Path) -> list[Atoms]:
    """All structures of a gzipped extended XYZ file, unpacked in memory first: many times faster."""
    return ase.io.read(io.StringIO(gzip.decompress(file.read_bytes()).decode()), index=":", format="extxyz")


def read_records(file: Path) -> list[dict[str, Any]]:
    """Records of a gzipped JSON file, their pymatgen structures as ASE's under "atoms"."""
    records = json.loads(gzip.decompress(file.read_bytes()))
    for record in records:
        sites = record["structure"]["sites"]
        record["atoms"] = Atoms(
            [site["species"][0]["element"] for site in sites],
            scaled_positions=[site["abc"] for site in sites],
            cell=record["structure"]["lattice"]["matrix"],
            pbc=True,
        )
    return records
