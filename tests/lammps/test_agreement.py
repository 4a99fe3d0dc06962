"""LAMMPS gives what tribond gives: every dialect, every kind of structure, on one to four MPI processes."""

from itertools import product

import numpy as np
import pytest

from tests.lammps.conftest import TIMEOUT, all_structures
from tribond.checkpoints.native import save_model
from tribond.integrations.lammps.deck import evaluation, in_lammps_frame, read_result, write_data
from tribond.integrations.lammps.find import run_lammps
from tribond.nn.config import PRESETS

RANKS = (1, 2, 3, 4)
ENERGY, FORCE, VIRIAL = 1e-9, 1e-9, 1e-7  # eV/atom, eV/Å, relative
STRUCTURES = {name: in_lammps_frame(build()) for name, build in all_structures().items()}


@pytest.fixture(scope="module")
def expected(make_potential):
    """Predictions by dialect and structure."""
    found = {}
    for dialect in PRESETS:
        potential = make_potential(dialect)
        found |= {(dialect, name): potential.predict(atoms)[0] for name, atoms in STRUCTURES.items()}
    return found


@pytest.fixture(scope="module", params=RANKS)
def results(request, plugin, make_potential, tmp_path_factory):
    """Of all dialects and structures, from one run of LAMMPS with so many ranks."""
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    script = [f"plugin load {plugin}"]
    for dialect in PRESETS:
        potential = make_potential(dialect)
        save_model(folder / f"{dialect}.safetensors", potential.model, potential.metadata)
    for dialect, (name, atoms) in product(PRESETS, STRUCTURES.items()):
        case, elements = f"{dialect}.{name}", sorted(set(atoms.symbols))
        write_data(folder / f"{case}.data", atoms, elements)
        more = f"processors {request.param} 1 1" if name == "cluster" else ""
        script.append(evaluation(case, atoms, elements, f"{dialect}.safetensors", "precision double", more))
    (folder / "in.all").write_text("\n".join(script))
    printed = run_lammps(folder / "in.all", request.param, timeout=TIMEOUT)
    return {
        (dialect, name): read_result(f"{dialect}.{name}", printed, folder, atoms.get_volume())
        for dialect, (name, atoms) in product(PRESETS, STRUCTURES.items())
    }


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("dialect", PRESETS)
def test_energy_forces_and_virial_agree(results, expected, dialect, name):
    found, wanted, atoms = results[dialect, name], expected[dialect, name], STRUCTURES[name]
    assert abs(found.energy - wanted.energy) <= ENERGY * len(atoms)
    np.testing.assert_allclose(found.energies, wanted.atomic_energies, rtol=0, atol=ENERGY)
    np.testing.assert_allclose(found.forces, wanted.forces, rtol=0, atol=FORCE)
    if wanted.stress is not None:
        scale = np.abs(wanted.stress).max()
        np.testing.assert_allclose(found.stress, wanted.stress, rtol=0, atol=VIRIAL * scale)


@pytest.mark.parametrize("name", STRUCTURES)
def test_virials_of_atoms_add_up(results, name):
    found = results["paper", name]
    xx, yy, zz, xy, xz, yz = found.virials.sum(axis=0)
    total = found.stress * STRUCTURES[name].get_volume()
    allowed = 1e-9 * max(np.abs(total).max(), 1e-3)
    np.testing.assert_allclose([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], total, rtol=0, atol=allowed)
    xx, yy, zz, xy, xz, yz, yx, zx, zy = found.centroid_virials.sum(axis=0)
    np.testing.assert_allclose([[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]], total, rtol=0, atol=allowed)
