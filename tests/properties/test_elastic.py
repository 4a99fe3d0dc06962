import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.spacegroup import crystal
from scipy.spatial.transform import Rotation

from tribond.errors import ConfigError, StructureError
from tribond.properties.elastic import elasticity
from tribond.properties.elastic_moduli import moduli, sphere, youngs_modulus
from tribond.properties.phonopy_bridge import force_constants_of_cell
from tribond.properties.relax import relax
from tribond.properties.relaxation import RelaxationError
from tribond.properties.strains import needed_strains, point_group, strained_cell
from tribond.units import EV_PER_A3_TO_GPA

pytest.importorskip("phonopy")


def lennard_jones():
    return LennardJones(sigma=1.0, epsilon=1.0, rc=4.0, smooth=True)


@pytest.fixture(scope="module")
def argon():
    return elasticity(bulk("Ar", "fcc", a=1.55), lennard_jones(), fmax_eV_per_A=1e-6)


def test_a_pair_potential_obeys_cauchy(argon):
    """C12 = C44 at rest, whatever the pair potential: 1 % of the strain squared is all that differs."""
    C = argon.tensor
    assert C[0, 1] == pytest.approx(C[3, 3], rel=2e-3)
    assert C[0, 0] > C[0, 1] > 0


def test_the_bulk_modulus_is_that_of_the_volume(argon):
    """-V dp/dV by hand."""
    volume = argon.structure.get_volume()

    def pressure(scale):
        atoms = argon.structure.copy()
        atoms.set_cell(atoms.cell.array * scale ** (1 / 3), scale_atoms=True)
        atoms.calc = lennard_jones()
        return -np.trace(atoms.get_stress(voigt=False)) / 3

    slope = (pressure(1.001) - pressure(0.999)) / (0.002 * volume)
    assert argon.moduli.bulk_modulus_GPa == pytest.approx(-volume * slope * EV_PER_A3_TO_GPA, rel=2e-3)


def test_a_cubic_crystal_has_three_constants_and_needs_two_strains(argon):
    C = argon.tensor
    assert argon.strains == 2
    expected = np.zeros((6, 6))
    expected[:3, :3] = C[0, 1]
    np.fill_diagonal(expected, [C[0, 0]] * 3 + [C[3, 3]] * 3)
    assert pytest.approx(expected, abs=1e-6 * C[0, 0]) == C
    assert argon.moduli.bulk_modulus_GPa == pytest.approx((C[0, 0] + 2 * C[0, 1]) / 3)


@pytest.mark.parametrize(
    ("atoms", "count"),
    [
        (bulk("Cu"), 2),
        (bulk("Ti"), 3),
        (crystal("Si", [(0.1, 0.2, 0.3)], spacegroup=2, cellpar=[4, 5, 6, 80, 85, 70]), 6),
        (crystal("Si", [(0.1, 0.2, 0.3)], spacegroup=16, cellpar=[4, 5, 6, 90, 90, 90]), 6),
    ],
)
def test_only_strains_that_differ_are_computed(atoms, count):
    assert len(needed_strains(point_group(atoms))) <= count


def test_the_tensor_turns_with_the_crystal():
    """The same crystal in another orientation gives the same tensor, turned."""
    turn = Rotation.from_euler("xyz", [20, 35, 50], degrees=True).as_matrix()
    atoms = bulk("Cu")
    turned = Atoms("Cu", cell=atoms.cell.array @ turn.T, pbc=True)
    first, second = (elasticity(it, EMT(), strain=0.001) for it in (atoms, turned))
    directions = sphere(7, 9)[0]
    assert youngs_modulus(second.tensor, directions @ turn.T) == pytest.approx(
        youngs_modulus(first.tensor, directions), rel=1e-3
    )
    assert second.moduli.shear_modulus_GPa == pytest.approx(first.moduli.shear_modulus_GPa, rel=1e-3)


def test_tables_have_the_tensor_in_standard_axes():
    """A cell from a CIF has a along x, which is no cubic axis of the primitive cell."""
    turn = Rotation.from_euler("xyz", [20, 35, 50], degrees=True).as_matrix()
    atoms = Atoms("Cu", cell=bulk("Cu").cell.array @ turn.T, pbc=True)
    found = elasticity(atoms, EMT(), strain=0.001)
    straight = elasticity(bulk("Cu", cubic=True), EMT(), strain=0.001)
    assert found.standard() == pytest.approx(straight.tensor, abs=0.3)
    assert straight.standard() == pytest.approx(straight.tensor, abs=1e-6)
    assert found.standard()[3:, :3] == pytest.approx(np.zeros((3, 3)), abs=1e-6)


def test_relaxed_ions_are_those_that_a_relaxation_finds():
    """hcp, whose two atoms move under strain: stresses of cells relaxed one by one by ASE."""
    found = elasticity(bulk("Cu", "hcp", a=2.55, c=4.2), EMT(), fmax_eV_per_A=1e-5, strain=0.004)
    responses = []
    for sign in (1, -1):
        strain = np.zeros((3, 3))
        strain[0, 0] = sign * 0.004
        cell = relax(
            strained_cell(found.structure, strain), EMT(), relax_cell=False, fmax_eV_per_A=1e-5, optimizer="BFGS"
        ).final
        responses.append(cell.get_stress())
    column = (responses[0] - responses[1]) / 0.008 * EV_PER_A3_TO_GPA
    assert np.abs(found.clamped - found.relaxed).max() > 1
    assert found.relaxed[:, 0] == pytest.approx(column, abs=0.05)
    assert found.inner_force < 1e-4


def test_clamped_ions_alone_have_a_summary():
    """JSON knows no NaN."""
    atoms = bulk("Cu", "hcp", a=2.55, c=4.2)
    found = elasticity(atoms, EMT(), relax_ions=False)
    both = elasticity(atoms, EMT())
    assert found.relaxed is None
    assert found.tensor == pytest.approx(both.clamped)
    assert json.loads(json.dumps(found.summary(), allow_nan=False))["ions"] == "clamped"


def test_moduli_of_an_isotropic_solid():
    """λ = 50, μ = 30 GPa: every average and every direction agree."""
    C = np.diag([30.0] * 6)
    C[:3, :3] += 50 + np.diag([30.0] * 3)
    found = moduli(C, bulk("Al"))
    K, G, E = 50 + 20, 30, 30 * (3 * 50 + 2 * 30) / 80
    assert found.bulk_modulus_voigt_GPa == pytest.approx(K)
    assert found.bulk_modulus_reuss_GPa == pytest.approx(K)
    assert found.shear_modulus_reuss_GPa == pytest.approx(G)
    assert found.youngs_modulus_GPa == pytest.approx(E)
    assert found.youngs_modulus_smallest_GPa == pytest.approx(E)
    assert found.poisson_ratio == pytest.approx(50 / 160)
    assert found.universal_anisotropy == pytest.approx(0, abs=1e-12)


def test_the_debye_temperature_of_aluminium_from_its_measured_constants():
    """Measured: C11, C12, C44 = 107, 61, 28 GPa; θ from them 410 K, from the heat capacity 428 K."""
    C = np.diag([107.0] * 3 + [28.0] * 3)
    C[:3, :3] += 61 * (1 - np.eye(3))
    found = moduli(C, bulk("Al", a=4.05))
    assert found.debye_temperature_K == pytest.approx(408, abs=8)
    assert found.longitudinal_velocity_m_per_s == pytest.approx(6400, rel=0.02)


def test_an_unstable_tensor_is_told():
    C = np.diag([100.0] * 3 + [-5.0] * 3)
    found = moduli(C, bulk("Al"))
    assert not found.mechanically_stable
    assert found.debye_temperature_K is None


def test_a_crystal_that_is_no_minimum_is_refused():
    """bcc with two atoms, the second one where only symmetry holds it."""

    class Saddle(EMT):
        def calculate(self, atoms, *rest):
            super().calculate(atoms, *rest)
            shift = atoms.get_distance(0, 1, mic=True, vector=True) - atoms.cell.array.sum(axis=0) / 2
            shift -= atoms.cell.array.T @ np.round(np.linalg.solve(atoms.cell.array.T, shift))
            self.results["energy"] -= 10 * shift @ shift
            self.results["forces"] = self.results["forces"] + np.array([-20 * shift, 20 * shift])

    atoms = Atoms("CuAu", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[3.0] * 3, pbc=True)
    with pytest.raises(StructureError, match="no minimum of the energy.*--follow-imaginary"):
        elasticity(atoms, Saddle())


def test_atoms_that_do_not_come_to_rest_are_not_called_relaxed(monkeypatch):
    """Newton's steps that are five times too short leave 0.8 of the force each time, 7 % after the last one."""
    short = lambda *arguments: 5 * force_constants_of_cell(*arguments)  # noqa: E731
    monkeypatch.setattr("tribond.properties.inner_moves.force_constants_of_cell", short)
    with pytest.raises(RelaxationError, match=r"do not come to rest in the strained cells \(forces of 0\.0"):
        elasticity(bulk("Cu", "hcp", a=2.55, c=4.2), EMT(), fmax_eV_per_A=1e-5)


@pytest.mark.parametrize(
    ("atoms", "settings", "error", "message"),
    [
        (fcc111("Cu", (1, 1, 3), vacuum=8, periodic=True), {}, StructureError, "vacuum along c"),
        (molecule("H2O"), {}, StructureError, "an elastic tensor needs a crystal"),
        (bulk("Cu"), {"strain": 0.2}, ConfigError, "at most 0.05"),
        (bulk("Cu"), {"strain": 0.0}, ConfigError, "above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(atoms, settings, error, message):
    with pytest.raises(error, match=message):
        elasticity(atoms, EMT(), **settings)


def test_a_structure_that_is_not_at_rest_is_told(caplog):
    elasticity(bulk("Cu", a=3.7), EMT(), relax_first=False)
    assert "not at rest: forces up to 0.000 eV/Å, stress up to" in caplog.text


def test_the_figure_shows_three_planes():
    axes = elasticity(bulk("Cu"), EMT()).figure("Cu").axes
    assert sum(len(it.lines) for it in axes if it.name == "polar") == 3


def test_extremes_of_youngs_modulus_are_found_between_the_points_of_a_grid():
    """Graphite is stiff in its plane alone: a grid without that plane saw 645 GPa of 837."""
    graphite = np.diag([935.4, 935.4, 40.3, 2.0, 2.0, (935.4 - 303.7) / 2])
    graphite[0, 1] = graphite[1, 0] = 303.7
    found = moduli(graphite, bulk("C", "diamond", a=3.6))
    assert found.youngs_modulus_largest_GPa == pytest.approx((935.4**2 - 303.7**2) / 935.4, rel=1e-6)
    C11, C12, C44 = 149.4, 78.6, 101.1  # iron: the stiffest direction is the diagonal, which no grid of angles holds
    iron = np.diag([C11] * 3 + [C44] * 3)
    iron[:3, :3] += C12 * (1 - np.eye(3))
    found = moduli(iron, bulk("Fe"))
    K = (C11 + 2 * C12) / 3
    assert found.youngs_modulus_largest_GPa == pytest.approx(9 * K * C44 / (3 * K + C44), rel=1e-6)
    assert found.youngs_modulus_smallest_GPa == pytest.approx(1 / np.linalg.inv(iron)[0, 0], rel=1e-6)
