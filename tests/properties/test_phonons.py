import logging

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from tribond.errors import ConfigError, StructureError
from tribond.properties.imaginary import ImaginaryMode, commensurate_points, follow
from tribond.properties.phonons import force_constants, phonons
from tribond.properties.supercells import shortest_width, supercell_matrix
from tribond.properties.work import Work

phonopy = pytest.importorskip("phonopy")
pytest.importorskip("seekpath")

THZ = 1 / (2 * np.pi) * np.sqrt(1.602176634e-19 / 1.66053906892e-27) * 1e10 * 1e-12  # of sqrt(eV / Å² / amu)


class Springs(Calculator):
    """Atoms of a simple cubic crystal held by springs to their six nearest neighbours, along and across the bond."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, length, along, across):
        super().__init__()
        self.length, self.along, self.across, self.calls = length, along, across, 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        repeats = np.rint(atoms.cell.lengths() / self.length).astype(int)
        sites = np.rint(atoms.positions / self.length).astype(int)
        moves = np.zeros((*repeats, 3))
        moves[tuple((sites % repeats).T)] = atoms.positions - sites * self.length
        forces, energy = np.zeros_like(moves), 0.0
        for axis in range(3):
            constants = np.full(3, self.across)
            constants[axis] = self.along
            stretch = np.roll(moves, -1, axis=axis) - moves
            energy += 0.5 * (constants * stretch**2).sum()
            forces += constants * (stretch - np.roll(stretch, 1, axis=axis))
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces[tuple((sites % repeats).T)],
            "stress": np.zeros(6),
        }


def simple_cubic():
    return Atoms("Po", cell=[3.0] * 3, pbc=True)


def expected(q, along, across, mass):
    """ω² = 4/m Σ k sin²(π q) for each polarisation, THz."""
    waves = 4 * np.sin(np.pi * np.asarray(q)) ** 2
    squares = [sum((along if axis == i else across) * waves[i] for i in range(3)) / mass for axis in range(3)]
    return np.sort(np.sign(squares) * np.sqrt(np.abs(squares))) * THZ


@pytest.mark.parametrize("q", [(0.5, 0, 0), (0.5, 0.5, 0.5), (0.25, 0, 0), (0.1, 0.2, 0.37)])
def test_springs_have_the_frequencies_of_the_textbook(q):
    phonon = force_constants(simple_cubic(), Springs(3.0, 2.0, 0.3), supercell_matrix(simple_cubic(), (4, 4, 4)))
    phonon.run_qpoints([q])
    found = np.sort(phonon.qpoints.frequencies[0])
    assert found == pytest.approx(expected(q, 2.0, 0.3, simple_cubic().get_masses()[0]), rel=1e-6)


def test_isotopes_of_one_element_are_taken_or_refused():
    """One mass for all scales every frequency; two are not one crystal to phonopy."""
    atoms = simple_cubic()
    atoms.set_masses([100.0])
    phonon = force_constants(atoms, Springs(3.0, 2.0, 0.3), supercell_matrix(atoms, (2, 2, 2)))
    phonon.run_qpoints([(0.5, 0, 0)])
    assert np.sort(phonon.qpoints.frequencies[0]) == pytest.approx(expected((0.5, 0, 0), 2.0, 0.3, 100.0), rel=1e-6)
    mixed = atoms * (2, 1, 1)
    mixed.set_masses([100.0, 104.0])
    with pytest.raises(StructureError, match="atoms of Po have masses from 100 to 104 u"):
        force_constants(mixed, Springs(3.0, 2.0, 0.3), supercell_matrix(mixed, (1, 2, 2)))


@pytest.fixture(scope="module")
def copper():
    return phonons(bulk("Cu"), EMT(), min_length_A=7)


def test_acoustic_modes_vanish_at_gamma(copper):
    copper.phonon.run_qpoints([[0, 0, 0]])
    assert copper.phonon.qpoints.frequencies[0] == pytest.approx(np.zeros(3), abs=1e-4)
    assert copper.imaginary == ()


def test_the_heat_capacity_goes_to_3R_and_the_third_law_holds(copper):
    thermal = copper.thermal
    assert thermal.temperatures_K[[0, -1]] == pytest.approx([0, 1000])
    assert thermal.heat_capacity_J_per_K_mol[-1] == pytest.approx(3 * 8.314462618, rel=0.01)
    assert thermal.entropy_J_per_K_mol[0] == pytest.approx(0)
    slope = np.gradient(thermal.free_energy_kJ_per_mol, thermal.temperatures_K) * 1000
    assert -slope[20:80] == pytest.approx(thermal.entropy_J_per_K_mol[20:80], rel=1e-3)  # S = -dF/dT


def test_densities_of_states_count_the_modes(copper):
    dos = copper.dos
    assert dos.total.sum() * np.diff(dos.frequencies).mean() == pytest.approx(3, rel=1e-6)


@pytest.mark.slow
def test_densities_of_states_of_elements_are_phonopys_from_all_q_points():
    """phonopy projects onto atoms, without symmetry; sums over elements need only q-points that differ."""
    found = phonons(bulk("CuAu", "rocksalt", a=5.0), EMT(), min_length_A=7)
    phonon, dos = found.phonon, found.dos
    phonon.run_mesh(phonon.mesh.mesh_numbers, with_eigenvectors=True, is_mesh_symmetry=False, is_gamma_center=True)
    width = dos.frequencies[1] - dos.frequencies[0]
    points = 20 * len(dos.frequencies)
    low, high = dos.frequencies[0] - width / 2, dos.frequencies[-1] + width / 2
    phonon.run_projected_dos(freq_min=low, freq_max=high, freq_pitch=(high - low) / points)
    for element, atom in zip(("Cu", "Au"), phonon.projected_dos.projected_dos, strict=True):
        fine = atom[:points].reshape(-1, 20).mean(axis=1)
        mine = dos.by_element[element]
        assert mine.sum() * width == pytest.approx(3, rel=1e-6)
        assert np.abs(mine - fine).sum() < 0.05 * mine.sum()


def test_phonopy_goes_on_from_the_file(copper, tmp_path):
    copper.save(tmp_path / "phonopy.yaml")
    loaded = phonopy.load(tmp_path / "phonopy.yaml")
    for phonon in (loaded, copper.phonon):
        phonon.run_qpoints([[0.5, 0.5, 0]])
    assert loaded.force_constants is not None
    assert loaded.qpoints.frequencies == pytest.approx(copper.phonon.qpoints.frequencies)


def test_a_primitive_cell_in_any_basis_has_the_same_bands():
    """The path is seekpath's, in the basis of the cell at hand: other lattice vectors of the same lattice."""
    plain = bulk("Cu")
    other = Atoms("Cu", cell=[[1, 0, 0], [2, 1, 0], [1, -1, 1]] @ plain.cell.array, pbc=True)
    rows = []
    for atoms in (plain, other):
        found = phonons(atoms, EMT(), min_length_A=7)
        rows.append(
            {labels: it[[0, -1]] for labels, it in zip(found.bands.labels, found.bands.frequencies, strict=False)}
        )
    assert rows[0].keys() == rows[1].keys()
    assert ("Γ", "X") in rows[0]
    for labels, values in rows[0].items():
        assert np.sort(rows[1][labels]) == pytest.approx(np.sort(values), abs=0.02)


def test_supercells_are_made_of_conventional_cells():
    atoms = bulk("Cu")
    cell = supercell_matrix(atoms, min_length_A=10) @ atoms.cell.array
    assert np.linalg.norm(cell, axis=1) == pytest.approx([3 * 3.61] * 3)
    assert cell @ cell.T == pytest.approx(np.diag([(3 * 3.61) ** 2] * 3))
    assert shortest_width(cell) == pytest.approx(3 * 3.61)
    hexagonal = bulk("Ti")
    assert supercell_matrix(hexagonal, min_length_A=10).tolist() == np.diag([4, 4, 3]).tolist()


def test_waves_that_fit_into_the_supercell(copper):
    points = commensurate_points(copper.phonon)
    assert len(points) == len(copper.phonon.supercell)
    vectors = copper.phonon.supercell.cell @ np.linalg.inv(copper.phonon.primitive.cell)
    assert points @ vectors.T == pytest.approx(np.rint(points @ vectors.T), abs=1e-9)
    assert len(np.unique(np.round(points, 6), axis=0)) == len(points)


def test_imaginary_modes_have_a_name_and_can_be_followed():
    """bcc copper falls into fcc or hcp; EMT's fcc copper lies 20 to 30 meV/atom lower."""
    found = phonons(bulk("Cu", "bcc", a=2.87, cubic=True), EMT(), supercell=(2, 2, 2), follow_imaginary=True)
    lowest = found.imaginary[0]
    assert lowest.exact
    assert lowest.frequency_THz < -0.1
    assert found.followed.energy_change_eV_per_atom < -0.005
    assert found.followed.space_group != "Im-3m (229)"
    assert found.summary()["imaginary_modes"][0]["label"] == lowest.label


def test_instability_of_springs_is_where_it_must_be():
    """Springs across the bond that push: the transverse modes are imaginary, the lowest where two axes turn over."""
    found = phonons(simple_cubic(), Springs(3.0, 2.0, -0.3), supercell=(2, 2, 2), relax_first=False)
    lowest = found.imaginary[0]
    assert sorted(np.abs(lowest.q)) == pytest.approx([0, 0.5, 0.5])
    assert lowest.label == "M"
    assert lowest.frequency_THz == pytest.approx(expected((0.5, 0.5, 0), 2.0, -0.3, 209).min(), rel=1e-2)


def test_a_wave_of_thousands_of_atoms_is_not_followed(caplog):
    calculator = Springs(3.0, 2.0, -0.3)
    phonon = force_constants(simple_cubic(), calculator, supercell_matrix(simple_cubic(), (2, 2, 2)))
    mode = ImaginaryMode((1 / 12, 5 / 12, 7 / 12), None, -1.0, 1, exact=False)
    assert follow(phonon, mode, calculator, Work()) is None
    assert "needs a cell of 1728 atoms" in caplog.text


def test_forces_are_kept(tmp_path):
    calculator = Springs(3.0, 2.0, 0.3)
    first = phonons(simple_cubic(), calculator, supercell=(2, 2, 2), relax_first=False, work=Work(tmp_path))
    before = calculator.calls
    second = phonons(simple_cubic(), calculator, supercell=(2, 2, 2), relax_first=False, work=Work(tmp_path))
    assert calculator.calls == before + 1  # the look whether it is at rest
    assert second.phonon.force_constants == pytest.approx(first.phonon.force_constants, abs=0)


def test_a_small_supercell_is_told(caplog):
    caplog.set_level(logging.WARNING)
    phonons(bulk("Cu"), EMT(), supercell=(2, 2, 2))
    assert "the supercell is only 4." in caplog.text


def test_born_charges_split_the_optical_modes(tmp_path):
    """Springs between two kinds of atoms, charges ±1: ω_LO² - ω_TO² = Z² e² / (ε0 ε∞ μ V) at Γ."""
    atoms = Atoms("LiF", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[3.0] * 3, pbc=True)

    class Bound(Springs):
        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            Calculator.calculate(self, atoms, properties, system_changes)
            ideal = np.rint(atoms.positions / 1.5) * 1.5
            moves = atoms.positions - ideal
            light = atoms.symbols == "Li"
            forces = np.where(light[:, None], moves[~light].mean(0) - moves, moves[light].mean(0) - moves)
            self.results = {"energy": 0.0, "free_energy": 0.0, "forces": forces, "stress": np.zeros(6)}

    born = tmp_path / "BORN"
    born.write_text("14.39964548\n2 0 0 0 2 0 0 0 2\n1 0 0 0 1 0 0 0 1\n-1 0 0 0 -1 0 0 0 -1\n")
    found = phonons(atoms, Bound(1.5, 1, 1), supercell=(1, 1, 1), relax_first=False, born=born)
    masses = atoms.get_masses()
    reduced = masses.prod() / masses.sum()
    transverse = np.sqrt(1.0 / reduced) * THZ
    longitudinal = np.sqrt((1.0 + 4 * np.pi * 14.39964548 / 2 / 27.0) / reduced) * THZ
    gamma = next(
        rows[0] for labels, rows in zip(found.bands.labels, found.bands.frequencies, strict=False) if labels[0] == "Γ"
    )
    assert sorted(gamma)[3:] == pytest.approx([transverse, transverse, longitudinal], rel=0.03)


@pytest.mark.parametrize(
    ("atoms", "settings", "error", "message"),
    [
        (molecule("H2O"), {}, StructureError, "a phonon calculation needs a crystal"),
        (bulk("Cu"), {"supercell": (2, 0, 2)}, ConfigError, "three whole numbers from 1 up"),
        (bulk("Cu"), {"min_length_A": 0.1}, ConfigError, "between 1 and 1000 Å"),
        (bulk("Cu"), {"distance_A": 1.0}, ConfigError, "between 0.0001 and 0.2 Å"),
        (bulk("Cu"), {"supercell": (1, 1, 1), "born": "nothing/BORN"}, ConfigError, "no BORN file"),
    ],
)
def test_what_makes_no_sense_is_refused(atoms, settings, error, message):
    with pytest.raises(error, match=message):
        phonons(atoms, EMT(), **settings)


def test_figures(copper):
    left, right = copper.figure("Cu").axes
    assert [tick.get_text() for tick in left.get_xticklabels()][:3] == ["Γ", "X", "U|K"]
    assert len(right.lines) > 0
    assert len(copper.thermal_figure().axes) == 2
