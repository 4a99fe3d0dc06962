"""Every published checkpoint gives what its home code computes, for all structures that the home code supports.

The checkpoints and the values of their home codes are not in the repository: the tests look for the folder that
TRIBOND_REFERENCE names, or for ../shared/reference.
"""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import tribond
from benchmarks.parity import Differences, checkpoint, compare, expected, folders, structures
from tribond.checkpoints.native import save_model
from tribond.checkpoints.registry import load_network
from tribond.errors import UnknownElementError

ROOT = Path(__file__).parents[2]
REFERENCE = Path(os.environ.get("TRIBOND_REFERENCE", ROOT.parent / "shared" / "reference"))
FOLDERS = [folder.name for folder in folders(REFERENCE)]

pytestmark = pytest.mark.skipif(not FOLDERS, reason=f"no reference checkpoints in {REFERENCE.name}")
every_checkpoint = pytest.mark.parametrize("name", FOLDERS or ["none"])

# Largest differences: energy eV/atom, forces eV/Å, stress eV/Å³.
FLOAT64 = (1e-6, 1e-5, 1e-6)
TOLERANCES = {
    "tensorflow-MP-2021.2.8-EFS": (2e-5, 2e-4, 1e-5),  # its home computes in float32
    "matgl-M3GNet-MP-2018.6.1-Eform": (1e-5, 0.0, 0.0),  # so does this one, a property
    # Scales of 500 to 1000 eV on random weights, and a home that keeps positions of molecules in float32.
    "mattersim-random": (1e-6, 2e-5, 1e-6),
}


@cache
def differences(name: str) -> Differences:
    return compare(REFERENCE / name)


@every_checkpoint
def test_energy_forces_and_stress_are_those_of_the_home_code(name):
    found = differences(name)
    energy, forces, stress = TOLERANCES.get(name, FLOAT64)
    assert found.structures > 0
    assert found.energy <= energy
    if found.forces is not None:
        assert found.forces <= forces
        assert found.stress <= stress


@every_checkpoint
def test_no_structure_that_the_home_code_knows_is_missing(name):
    _, values = expected(REFERENCE / name)
    assert set(differences(name).by_structure) == set(values)


def test_the_misplaced_angles_of_matgl_are_not_reproduced():
    """MatGL < 3 sums angles onto other bonds than they belong to; what is compared with is the same code put right."""
    wrong = compare(REFERENCE / "matgl-M3GNet-MatPES-r2SCAN-v2025.1-PES", right_triplets=False)
    assert wrong.energy > 1e-4
    assert wrong.forces > 1e-3


@pytest.mark.parametrize("name", [name for name in FOLDERS if "-Eform" not in name] or ["none"])
def test_an_atom_alone_has_an_energy_and_no_force(name):
    """Asked for in m3gnet#38, #40, #63 and matgl#78: the home codes crash."""
    potential = tribond.load(checkpoint(REFERENCE / name), device="cpu", dtype="float64")
    for structure in ("edge_isolated_Fe_nopbc", "edge_diatomic_Na2_beyond3body", "edge_diatomic_O2_nopbc"):
        atoms = structures(REFERENCE)[structure]
        try:
            prediction = potential.predict(atoms)[0]
        except UnknownElementError:
            continue
        assert np.isfinite(prediction.energy)
        assert np.isfinite(prediction.forces).all()
        if len(atoms) == 1:
            assert not prediction.forces.any()


@every_checkpoint
def test_the_converted_file_gives_the_same_bit_by_bit(name, tmp_path):
    source = checkpoint(REFERENCE / name)
    model, metadata = load_network(source)
    save_model(tmp_path / "converted.safetensors", model, metadata)
    before, after = (tribond.load(path, device="cpu") for path in (source, tmp_path / "converted.safetensors"))
    assert after.config == before.config
    assert after.metadata == before.metadata
    for tensor, other in zip(before.model.state_dict().values(), after.model.state_dict().values(), strict=True):
        assert torch.equal(tensor, other)


@pytest.mark.parametrize("name", [name for name in FOLDERS if "random" not in name] or ["none"])
def test_a_published_file_is_known_by_its_checksum(name):
    metadata = tribond.load(checkpoint(REFERENCE / name), device="cpu").metadata
    last = "property" if "-Eform" in name else "units"
    for key in ("name", "origin", "level_of_theory", "training_data", "licence", "errors", "sha256", last):
        assert metadata[key], key


def test_the_lithium_potential_knows_lithium_alone():
    """Its table has 94 rows, and its file does not say that one of them was trained."""
    potential = tribond.load(checkpoint(REFERENCE / "m3gnet-pytorch-Li"), device="cpu")
    assert potential.elements == ("Li",)


def test_the_formation_energy_has_its_name_and_unit():
    model = tribond.load(REFERENCE / "matgl-M3GNet-MP-2018.6.1-Eform", device="cpu")
    prediction = model.predict(structures(REFERENCE)["mptrj00_AuBiCl6Cs2"])[0]
    assert isinstance(prediction.value, float)
    assert (prediction.name, prediction.unit) == ("formation energy", "eV/atom")
