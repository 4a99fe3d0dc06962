import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from tribond.errors import ConfigError, StructureError
from tribond.properties.neb import BandError, band
from tribond.properties.work import Work


class DoubleWell(Calculator):
    """One atom with E = h (x² - 1)² + k (y - b sin(π x))²: minima at x = ±1, the saddle of height h at x = y = 0."""

    implemented_properties = ("energy", "free_energy", "forces")

    def __init__(self, height=0.8, stiffness=4.0, bend=0.6):
        super().__init__()
        self.height, self.stiffness, self.bend, self.calls = height, stiffness, bend, 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        x, y, z = atoms.positions[0]
        off = y - self.bend * np.sin(np.pi * x)
        slope = 4 * self.height * x * (x**2 - 1) - 2 * self.stiffness * off * self.bend * np.pi * np.cos(np.pi * x)
        energy = self.height * (x**2 - 1) ** 2 + self.stiffness * off**2 + z**2
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.array([[-slope, -2 * self.stiffness * off, -2 * z]]),
        }


def ends():
    return Atoms("H", positions=[[-0.9, 0.1, 0.0]]), Atoms("H", positions=[[0.9, 0.1, 0.0]])


@pytest.mark.parametrize("images", [4, 5])
def test_the_climbing_image_stands_on_the_saddle(images):
    found = band(*ends(), DoubleWell(), images=images, fmax_eV_per_A=0.005)
    assert found.converged
    assert found.climbed
    assert found.images[found.saddle].positions[0] == pytest.approx([0, 0, 0], abs=0.01)
    assert found.summary()["barrier_eV"] == pytest.approx(0.8, abs=1e-3)
    assert found.summary()["reaction_energy_eV"] == pytest.approx(0, abs=1e-3)


def test_without_climbing_an_even_number_of_images_misses_the_saddle():
    found = band(*ends(), DoubleWell(), images=4, climb=False)
    assert found.converged
    assert found.summary()["barrier_eV"] < 0.78


def hop():
    """Copper on copper(100), from one hollow to the next."""
    slab = fcc100("Cu", (2, 2, 2), vacuum=6)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > 1))
    first, last = slab.copy(), slab.copy()
    for atoms, offset in ((first, (0, 0)), (last, (1, 0))):
        add_adsorbate(atoms, "Cu", 1.7, "hollow", offset=offset)
    return first, last


def test_the_band_crosses_a_periodic_boundary_and_keeps_constraints():
    first, last = hop()
    last.positions[-1] -= last.cell.array[0]  # the same site, written on the other side
    before = first.copy()
    found = band(first, last, EMT(), images=3, fmax_eV_per_A=0.05)
    assert first == before
    assert found.converged
    assert found.distances[-1] < 3.5
    assert 0.1 < found.summary()["barrier_eV"] < 1.5
    fixed = first.constraints[0].index
    for image in found.images:
        assert image.positions[fixed] == pytest.approx(first.positions[fixed])


def test_the_last_end_has_the_constraints_of_the_first(caplog):
    """Files of some formats lose them; a last end that relaxed all its atoms would be no state of the same system."""
    first, last = hop()
    expected = band(first, last, EMT(), images=1, fmax_eV_per_A=0.05)
    last.set_constraint()
    found = band(first, last, EMT(), images=1, fmax_eV_per_A=0.05)
    assert found.energies == pytest.approx(expected.energies, abs=1e-9)
    assert not caplog.text
    last.set_constraint(FixAtoms([8]))
    assert band(first, last, EMT(), images=1, fmax_eV_per_A=0.05).energies == pytest.approx(expected.energies, abs=1e-9)
    assert "constraints of the last end are not used" in caplog.text


def test_atoms_that_are_held_elsewhere_are_refused():
    first, last = hop()
    fixed = int(first.constraints[0].index[0])
    last.positions[fixed, 2] += 0.1
    with pytest.raises(StructureError, match=rf"atom {fixed} \(Cu\) is held by a constraint, and lies 0.100 Å off"):
        band(first, last, EMT())


def test_a_stopped_band_goes_on(tmp_path):
    class StopError(Exception):
        pass

    def stop(done, *_):
        if done >= 15:
            raise StopError

    settings = {"images": 5, "fmax_eV_per_A": 0.002}
    with pytest.raises(StopError):
        band(*ends(), DoubleWell(), work=Work(tmp_path, stop), **settings)
    calculator = DoubleWell()
    found = band(*ends(), calculator, work=Work(tmp_path), **settings)
    fresh = DoubleWell()
    band(*ends(), fresh, **settings)
    assert found.converged
    assert calculator.calls < fresh.calls


def test_a_band_that_does_not_converge_says_so():
    found = band(*ends(), DoubleWell(), steps=2)
    assert not found.converged
    assert "not converged" in found.figure().axes[0].texts[0].get_text()


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (bulk("Cu"), bulk("Cu") * (2, 1, 1), "have 1 and 2"),
        (bulk("NaCl", "rocksalt", a=5.6), bulk("KCl", "rocksalt", a=5.6), "atom 0 is Na in the first and K"),
        (bulk("Cu"), bulk("Cu", a=4), "the same cell"),
    ],
)
def test_ends_that_do_not_belong_together_are_refused(first, last, message):
    with pytest.raises(StructureError, match=message):
        band(first, last, EMT())


def test_ends_that_are_one_minimum_are_refused():
    with pytest.raises(BandError, match="the same minimum once relaxed"):
        band(Atoms("H", positions=[[-0.9, 0, 0]]), Atoms("H", positions=[[-0.8, 0.1, 0]]), DoubleWell())


def test_no_images_are_refused():
    with pytest.raises(ConfigError, match="1 to 100 images"):
        band(*ends(), DoubleWell(), images=0)
