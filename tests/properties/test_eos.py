import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from tribond.errors import ConfigError, StructureError
from tribond.properties.eos import EquationOfState, energy_volume_curve, equation_of_state
from tribond.properties.eos_fit import EQUATIONS, FitError, check_curve, fit_equation
from tribond.properties.work import Work
from tribond.units import EV_PER_A3_TO_GPA

# Sums over the fcc lattice: e = 2 ε (A12 (σ/r)^12 - A6 (σ/r)^6).
A12, A6 = 12.13188, 14.45392


def lennard_jones():
    """Nearly the whole sum: σ = 1 Å, ε = 1 eV."""
    return LennardJones(sigma=1.0, epsilon=1.0, rc=8.0, smooth=False)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_a_fit_finds_the_parameters_of_its_own_curve(equation):
    volumes = np.linspace(37, 43, 9)
    energies = EQUATIONS[equation](volumes, -7.0, 0.61, 4.4, 40.2)
    fit = fit_equation(volumes, energies, equation)
    assert [fit.E0, fit.B0, fit.B0_prime, fit.V0] == pytest.approx([-7.0, 0.61, 4.4, 40.2], rel=1e-6)
    assert fit.V0_error < 1e-4


def test_the_errors_of_a_fit_are_those_of_the_scatter():
    """Many curves with the same noise: the parameters scatter by as much as the fits say."""
    volumes = np.linspace(37, 43, 15)
    random = np.random.default_rng(0)
    exact = EQUATIONS["vinet"](volumes, -7.0, 0.61, 4.4, 40.2)
    fits = [fit_equation(volumes, exact + random.normal(0, 1e-4, 15), "vinet") for _ in range(200)]
    for name, error in (("V0", "V0_error"), ("B0", "B0_error"), ("B0_prime", "B0_prime_error")):
        scatter = np.std([getattr(fit, name) for fit in fits])
        assert np.mean([getattr(fit, error) for fit in fits]) == pytest.approx(scatter, rel=0.15)


def test_lennard_jones_has_the_constants_of_its_lattice_sums():
    """e(r) = 2 (A12 r^-12 - A6 r^-6) for ε = σ = 1, its minimum and its curvature; V = r³/√2."""
    nearest = (2 * A12 / A6) ** (1 / 6)
    volume = nearest**3 / np.sqrt(2)
    energy = -(A6**2) / (2 * A12)
    modulus = -energy * 8 / volume  # n m / 9 of the cohesive energy per volume, n = 12, m = 6
    found = equation_of_state(
        bulk("Ar", "fcc", a=1.52), lennard_jones(), equation="poirier-tarantola", volume_range=(0.97, 1.03)
    ).fit
    assert pytest.approx(volume, rel=2e-3) == found.V0
    assert pytest.approx(modulus, rel=5e-3) == found.B0
    assert found.B0_prime == pytest.approx((12 + 6) / 3 + 2, rel=0.02)


def test_pressure_is_the_slope_of_the_energy():
    curve = equation_of_state(bulk("Cu"), EMT()).curve
    slope = np.gradient(curve.energies, curve.volumes, edge_order=2)
    inner = slice(2, -2)
    assert curve.pressures_GPa[inner] == pytest.approx(-slope[inner] * EV_PER_A3_TO_GPA, abs=0.15)


def test_the_input_is_not_changed_and_the_result_does_not_depend_on_its_volume():
    atoms = bulk("Cu", a=3.9, cubic=True)
    before = atoms.copy()
    first = equation_of_state(atoms, EMT())
    second = equation_of_state(bulk("Cu", a=3.5), EMT())
    assert atoms == before
    assert pytest.approx(second.fit.V0, rel=1e-4) == first.fit.V0 / 4
    assert pytest.approx(second.fit.B0, rel=1e-2) == first.fit.B0


def test_the_shape_relaxes_at_each_volume():
    """A cell that is tetragonal at rest in neither sense becomes cubic everywhere, and keeps its volumes."""
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array @ np.diag([1.02, 1.02, 0.96]), scale_atoms=True)
    settings = {"relax_first": False, "points": 5, "volume_range": (0.9, 1.1), "fmax_eV_per_A": 0.001}
    relaxed = equation_of_state(atoms, EMT(), relax_shape=True, **settings)
    stiff = equation_of_state(atoms, EMT(), **settings)
    assert relaxed.curve.volumes == pytest.approx(np.linspace(0.9, 1.1, 5) * atoms.get_volume(), rel=1e-6)
    for point in relaxed.curve.structures:
        assert np.ptp(point.cell.lengths()) < 0.01
    assert (relaxed.curve.energies < stiff.curve.energies - 0.01).all()


def test_points_are_kept_and_not_computed_again(tmp_path):
    class Counting(EMT):
        calls = 0

        def calculate(self, *arguments, **settings):
            Counting.calls += 1
            super().calculate(*arguments, **settings)

    class StopError(Exception):
        pass

    def stop(done, total, _):
        if total and done == 4:
            raise StopError

    with pytest.raises(StopError):
        equation_of_state(bulk("Cu"), Counting(), work=Work(tmp_path, stop))
    before = Counting.calls
    stopped = equation_of_state(bulk("Cu"), Counting(), work=Work(tmp_path))
    rest = Counting.calls - before
    Counting.calls = 0
    whole = equation_of_state(bulk("Cu"), Counting())
    assert stopped.fit == whole.fit
    assert rest + before < Counting.calls + 8
    assert rest < Counting.calls


def test_a_minimum_outside_of_the_range_is_refused():
    with pytest.raises(FitError, match="lowest at the largest volume.*take larger volumes"):
        equation_of_state(bulk("Cu", a=3.2), EMT(), relax_first=False)
    with pytest.raises(FitError, match="take smaller volumes"):
        check_curve(np.arange(5.0) + 1, np.arange(5.0))


def test_two_valleys_are_refused():
    volumes = np.linspace(36, 44, 15)
    with pytest.raises(FitError, match="not convex near 40"):
        check_curve(volumes, (volumes - 38) ** 2 * (volumes - 42) ** 2)


def test_energies_that_follow_no_equation_are_refused():
    volumes = np.linspace(36, 44, 9)
    with pytest.raises(FitError, match="do not follow vinet"):
        fit_equation(volumes, np.abs(volumes - 40.3), "vinet")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"equation": "birch"}, "unknown equation 'birch'; choose one of birch-murnaghan"),
        ({"points": 4}, "at least 5 volumes"),
        ({"volume_range": (1.1, 0.9)}, "from a smaller to a larger"),
        ({"relax_atoms": False, "relax_shape": True}, "together"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        equation_of_state(bulk("Cu"), EMT(), **settings)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (fcc111("Cu", (1, 1, 3), vacuum=8), "molecule, wire or slab"),
        (fcc111("Cu", (1, 1, 3), vacuum=8, periodic=True), "16.0 Å of vacuum along c"),
        (Atoms(), "no atoms"),
    ],
)
def test_what_is_no_crystal_is_refused(atoms, message):
    with pytest.raises(StructureError, match=message):
        equation_of_state(atoms, EMT())


def test_the_figure_says_the_numbers():
    found = equation_of_state(bulk("Cu"), EMT())
    assert isinstance(found, EquationOfState)
    (text,) = [it.get_text() for it in found.figure("Cu").axes[0].texts]
    assert f"{found.fit.B0 * EV_PER_A3_TO_GPA:.2f} ±" in text


def test_a_kept_shape_is_told_where_the_volume_does_not_give_the_cell(caplog):
    work = {"relax_first": False, "relax_atoms": False, "points": 5}
    energy_volume_curve(bulk("Ni"), EMT(), **work)
    assert "shape" not in caplog.text
    energy_volume_curve(bulk("Ni", "bct", a=2.5, c=3.6), EMT(), **work)
    assert "keeps the shape of its cell" in caplog.text
