"""Dispersion: the library's own numbers, derivatives, batches, and what cannot be computed."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.lattice.hexagonal import Graphite
from ase.units import Bohr, Hartree, kcal, mol

from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond.errors import ConfigError, StructureError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.integrations.ase import Calculator
from tribond.integrations.describe import weights_sha256
from tribond.models.dispersion import with_dispersion, without_dispersion
from tribond.models.potential import Potential
from tribond.terms.d3 import Dispersion
from tribond.terms.known import term_named, terms_of

interface = pytest.importorskip("dftd3.interface")
PBE = Dispersion("pbe")


def graph(*structures: Atoms) -> AtomGraph:
    return AtomGraph.batch([atom_graph(atoms, 5.0, 4.0) for atoms in structures])


def energy(*structures: Atoms, term: Dispersion = PBE) -> float:
    """Of all together, eV."""
    return float(term.contribution(graph(*structures)).energy.sum())


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


@pytest.fixture(scope="module")
def plain() -> Potential:
    return Potential(random_model(small_config()))


@pytest.fixture(scope="module")
def dispersed(plain) -> Potential:
    return with_dispersion(plain, "PBE")


# ------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("name", ["crystal", "skewed_crystal", "left_handed_crystal", "methanol", "slab"])
def test_it_is_what_the_library_gives(name):
    atoms = STRUCTURES[name]()
    lattice = {"lattice": atoms.cell.array / Bohr, "periodic": atoms.pbc} if atoms.pbc.any() else {}
    model = interface.DispersionModel(atoms.numbers, atoms.positions / Bohr, **lattice)
    expected = model.get_dispersion(interface.RationalDampingParam(method="pbe"), grad=True)
    found = PBE.contribution(graph(atoms))
    assert found.energy.item() == pytest.approx(float(expected["energy"]) * Hartree, abs=1e-12)
    np.testing.assert_allclose(found.forces, -expected["gradient"] * Hartree / Bohr, atol=1e-13)
    assert found.energy.item() < -1e-2


def test_two_benzenes_attract_each_other_as_known():
    """A few kcal/mol in the sandwich at 3.9 Å, more for B3LYP, which lacks more of it."""
    one = molecule("C6H6")
    two = one.copy()
    two.positions[:, 2] += 3.9
    for functional, expected in (("pbe", -3.115), ("b3lyp", -4.426)):  # kcal/mol; torch-dftd gives the same
        term = Dispersion(functional)
        bound = (energy(one + two, term=term) - 2 * energy(one, term=term)) / (kcal / mol)
        assert bound == pytest.approx(expected, abs=0.001)


def test_layers_of_graphite_are_held_together_as_known():
    """D3(BJ) brings 68 meV an atom for PBE, which alone repels here: together some 50, as RPA and experiment have it."""
    near = Graphite("C", latticeconstant={"a": 2.462, "c": 6.707})
    far = Graphite("C", latticeconstant={"a": 2.462, "c": 60.0})
    binding = (energy(far) - energy(near)) / len(near)
    assert binding == pytest.approx(0.0678, abs=0.0001)  # eV an atom


@pytest.mark.parametrize("name", ["skewed_crystal", "methanol", "slab", "wire"])
def test_forces_are_minus_the_slope_of_the_energy(name):
    """A step small enough that no atom crosses the library's cutoff of neighbours, where the energy jumps by 1e-8 eV."""
    atoms, step = STRUCTURES[name](), 2e-5
    forces = PBE.contribution(graph(atoms)).forces.numpy()
    for axis in range(3):
        moved = [atoms.copy(), atoms.copy()]
        for it, sign in zip(moved, (1, -1), strict=True):
            it.positions[1, axis] += sign * step
        slope = (energy(moved[0]) - energy(moved[1])) / (2 * step)
        assert forces[1, axis] == pytest.approx(-slope, abs=2e-6)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-10)


def test_the_virial_is_the_slope_of_the_energy_with_strain():
    atoms, step = STRUCTURES["skewed_crystal"](), 1e-6
    virial = PBE.contribution(graph(atoms)).virial[0].numpy()
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2)):
        strain = np.zeros((3, 3))
        strain[a, b] += step / 2
        strain[b, a] += step / 2
        slope = (energy(strained(atoms, strain)) - energy(strained(atoms, -strain))) / (2 * step)
        assert virial[a, b] == pytest.approx(slope, abs=1e-4 * np.abs(virial).max())


def test_atomic_energies_add_up_and_a_supercell_has_the_same(dispersed):
    atoms = STRUCTURES["crystal"]()
    one, eight = PBE.contribution(graph(atoms)), PBE.contribution(graph(atoms * (2, 2, 2)))
    assert float(one.atomic_energies.sum()) == pytest.approx(one.energy.item(), abs=1e-10)
    np.testing.assert_allclose(eight.atomic_energies.reshape(8, 2), one.atomic_energies.expand(8, 2), atol=1e-6)


def test_batches_give_what_single_systems_give():
    structures = [build() for build in STRUCTURES.values()]
    together = PBE.contribution(graph(*structures))
    alone = [PBE.contribution(graph(atoms)) for atoms in structures]
    for name in ("energy", "atomic_energies", "forces", "virial"):
        torch.testing.assert_close(
            getattr(together, name), torch.cat([getattr(it, name) for it in alone]), rtol=0, atol=0
        )


@pytest.mark.parametrize("name", ["isolated_atom", "no_atoms"])
def test_one_atom_alone_and_none_have_nothing(name):
    found = PBE.contribution(graph(STRUCTURES[name]()))
    assert found.energy.item() == 0
    assert not found.forces.any()
    assert not found.virial.any()


def test_bonds_of_the_graph_do_not_matter():
    atoms = STRUCTURES["crystal"]()
    short, long = atom_graph(atoms, 2.0, 1.0), atom_graph(atoms, 6.0, 4.0)
    assert PBE.contribution(short).energy == PBE.contribution(long).energy


# ------------------------------------------------------------------------------------ with a potential


def test_a_potential_with_it_is_the_sum(plain, dispersed):
    structures = [build() for build in STRUCTURES.values()]
    more = PBE.contribution(graph(*structures))
    start = 0
    for atoms, a, b, e in zip(
        structures, plain.predict(structures), dispersed.predict(structures), more.energy.tolist(), strict=True
    ):
        part = slice(start, start := start + len(atoms))
        assert b.energy - a.energy == pytest.approx(e, abs=1e-9)
        np.testing.assert_allclose(b.forces - a.forces, more.forces[part], atol=1e-12)
        np.testing.assert_allclose(b.atomic_energies - a.atomic_energies, more.atomic_energies[part], atol=1e-9)
        assert (a.stress is None) == (b.stress is None)


def test_stress_and_hessian_are_derivatives_of_the_sum(dispersed):
    atoms, step = STRUCTURES["skewed_crystal"](), 1e-6
    (prediction,) = dispersed.predict(atoms, with_hessian=True)
    strain = np.zeros((3, 3))
    strain[0, 0] = step
    forth, back = dispersed.predict([strained(atoms, strain), strained(atoms, -strain)])
    slope = (forth.energy - back.energy) / (2 * step) / atoms.get_volume()
    assert prediction.stress[0, 0] == pytest.approx(slope, rel=1e-4)
    moved = [atoms.copy(), atoms.copy()]
    for it, sign in zip(moved, (1, -1), strict=True):
        it.positions[0, 1] += sign * 1e-4
    forth, back = dispersed.predict(moved)
    np.testing.assert_allclose(prediction.hessian[0, 1], -(forth.forces - back.forces) / 2e-4, rtol=1e-4, atol=2e-4)


def test_the_calculator_has_it_at_every_step(plain, dispersed):
    """The list of neighbours is kept from step to step, and D3 looks at where the atoms are now."""
    a, b = bulk("Cu", cubic=True), bulk("Cu", cubic=True)
    a.calc, b.calc = Calculator(plain), Calculator(dispersed)
    for step in range(3):
        for atoms in (a, b):
            atoms.rattle(0.02, seed=step)
        assert b.get_potential_energy() - a.get_potential_energy() == pytest.approx(energy(a), abs=1e-9)
        np.testing.assert_allclose(
            b.get_stress(voigt=False) - a.get_stress(voigt=False),
            PBE.contribution(graph(a)).virial[0] / a.get_volume(),
            atol=1e-12,
        )


def test_steps_that_are_recorded_would_be_of_the_network_alone(plain, dispersed, monkeypatch):
    monkeypatch.setattr("tribond.models.potential.can_record", lambda model: True)
    assert plain.recorder(1.0) is not None
    assert dispersed.recorder(1.0) is None


def test_it_stays_on_copies_and_can_be_taken_off(plain, dispersed):
    atoms = STRUCTURES["methanol"]()
    single = dispersed.to(dtype="float32")
    assert [term.name for term in single.terms] == ["d3bj:pbe"]
    assert single.predict(atoms)[0].energy == pytest.approx(dispersed.predict(atoms)[0].energy, abs=1e-4)
    assert without_dispersion(dispersed).predict(atoms)[0].energy == plain.predict(atoms)[0].energy
    assert weights_sha256(dispersed) != weights_sha256(plain) == weights_sha256(without_dispersion(dispersed))


def test_twice_is_refused(dispersed):
    with pytest.raises(ConfigError, match="has d3bj:pbe already"):
        with_dispersion(dispersed)


# ------------------------------------------------------------------------------------ what cannot be


def test_an_unknown_functional_is_named(plain):
    with pytest.raises(ConfigError, match="no parameters for the functional 'nonsense'"):
        with_dispersion(plain, "nonsense")


@pytest.mark.parametrize("name", ["d3", "d3bj", "d3bj:", "zbl", "d3zero:pbe", 3, None])
def test_other_terms_are_refused(name):
    with pytest.raises(ConfigError, match="no term that can be added"):
        term_named(name)


@pytest.mark.parametrize("names", ["d3bj:pbe", {"a": 1}])
def test_metadata_that_make_no_sense_are_refused(names):
    with pytest.raises(ConfigError, match="must be a list of names"):
        terms_of({"energy_terms": names})


def test_dispersion_is_added_once():
    with pytest.raises(ConfigError, match="once"):
        terms_of({"energy_terms": ["d3bj:pbe", "d3bj:pbesol"]})


def test_elements_that_d3_does_not_know_are_named():
    """The library gives zero for them."""
    with pytest.raises(StructureError, match="no numbers for Rf"):
        PBE.contribution(graph(Atoms(["Rf", "H"], positions=[[0, 0, 0], [0, 0, 2.0]])))


def test_without_the_library_it_is_said_what_to_install(plain, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dftd3", None)
    monkeypatch.setitem(__import__("sys").modules, "dftd3.interface", None)
    dispersed = Potential(plain.model, {"energy_terms": ["d3bj:revpbe"]})  # can be looked at
    with pytest.raises(ConfigError, match="pip install 'tribond\\[d3\\]'"):
        dispersed.predict(STRUCTURES["methanol"]())
