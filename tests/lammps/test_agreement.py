"""LAMMPS gives what tribond gives: every dialect, every kind of structure, on one to four MPI processes."""

from itertools import product

import numpy as np
import pytest

from tests.lammps.conftest import TIMEOUT, all_structures
from tribond.checkpoints.native import save_model
from tribond.integrations.lammps.deck import evaluation, in_lammps_frame, read_result, write_data
from tribond.integrations.lammps.find import run_lammps
from tribond.nn.config import PRESETS

RANKS = (1, 2, pytest.param(3, marks=pytest.mark.slow), 4)
ENERGY, FORCE, VIRIAL = 1e-9, 1e-9, 1e-7  # eV/atom, eV/Å, relative
STRUCTURES = {name: in_lammps_frame(build()) for name, build in all_structures().items()}
# MPI's processes wait in loops, which takes long where there are more of them than processors: three and four get the
# structures that domains matter for.
FOR_MANY = ("skewed_crystal", "one_atom_cell", "slab", "large_crystal", "cluster")


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
    cases = [it for it in product(PRESETS, STRUCTURES) if request.param <= 2 or it[1] in FOR_MANY]
    for dialect in PRESETS:
        potential = make_potential(dialect)
        save_model(folder / f"{dialect}.safetensors", potential.model, potential.metadata)
    for dialect, name in cases:
        case, atoms = f"{dialect}.{name}", STRUCTURES[name]
        elements = sorted(set(atoms.symbols))
        write_data(folder / f"{case}.data", atoms, elements)
        more = f"processors {request.param} 1 1" if name == "cluster" else ""
        script.append(evaluation(case, atoms, elements, f"{dialect}.safetensors", "precision double", more))
    (folder / "in.all").write_text("\n".join(script))
    printed = run_lammps(folder / "in.all", request.param, timeout=TIMEOUT)
    return {
        (dialect, name): read_result(f"{dialect}.{name}", printed, folder, STRUCTURES[name].get_volume())
        for dialect, name in cases
    }


@pytest.mark.parametrize("dialect", PRESETS)
def test_energy_forces_and_virial_agree(results, expected, dialect):
    names = [name for of_dialect, name in results if of_dialect == dialect]
    assert set(names) >= set(FOR_MANY)
    for name in names:
        _check(results[dialect, name], expected[dialect, name], STRUCTURES[name])


def _check(found, wanted, atoms):
    assert abs(found.energy - wanted.energy) <= ENERGY * len(atoms)
    np.testing.assert_allclose(found.energies, wanted.atomic_energies, rtol=0, atol=ENERGY)
    np.testing.assert_allclose(found.forces, wanted.forces, rtol=0, atol=FORCE)
    if wanted.stress is not None:
        scale = np.abs(wanted.stress).max()
        np.testing.assert_allclose(found.stress, wanted.stress, rtol=0, atol=VIRIAL * scale)


def test_virials_of_atoms_add_up(results):
    for (_, name), found in results.items():
        _check_sums(found, STRUCTURES[name].get_volume())


def _check_sums(found, volume):
    xx, yy, zz, xy, xz, yz = found.virials.sum(axis=0)
    total = found.stress * volume
    allowed = 1e-9 * max(np.abs(total).max(), 1e-3)
    np.testing.assert_allclose([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], total, rtol=0, atol=allowed)
    xx, yy, zz, xy, xz, yz, yx, zx, zy = found.centroid_virials.sum(axis=0)
    np.testing.assert_allclose([[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]], total, rtol=0, atol=allowed)
