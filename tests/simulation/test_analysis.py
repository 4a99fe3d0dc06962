"""Analyses against cases whose answer is known."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from tribond.errors import ConfigError, DataError
from tribond.simulation.blocks import standard_error
from tribond.simulation.diffusion import arrhenius, conductivity, diffusion, msd
from tribond.simulation.motion import Motion, motion_of, unwrap
from tribond.simulation.structure import angle_distribution, pair_distribution
from tribond.simulation.vibrations import turning_between_frames, velocity_spectrum


def walkers(frames=2000, atoms=60, step=0.05, seed=0, interval_fs=2.0):
    """A random walk of light atoms among heavy ones at rest, wrapped into the cell. D = step² / (2 interval)."""
    generator = np.random.default_rng(seed)
    cell = 8.0 * np.eye(3)
    start = generator.random((atoms + 20, 3)) * 8.0
    walk = np.cumsum(generator.normal(scale=step, size=(frames, atoms, 3)), axis=0)
    images = []
    for moved in walk:
        positions = start.copy()
        positions[:atoms] += moved
        image = Atoms(f"Li{atoms}I20", positions, cell=cell, pbc=True)
        image.set_masses([1e-9] * atoms + [127.0] * 20)  # the centre of mass stays
        image.wrap()
        image.info["time_fs"] = interval_fs * len(images)
        images.append(image)
    return images


@pytest.fixture(scope="module")
def walk():
    return motion_of(walkers())


def test_a_random_walk_has_its_known_coefficient(walk):
    exact = 0.05**2 / (2 * 2.0) * 0.1  # cm²/s
    found = diffusion(walk, np.arange(60))
    assert found.error_cm2_per_s < 0.1 * exact
    assert abs(found.coefficient_cm2_per_s - exact) < 3.5 * found.error_cm2_per_s
    np.testing.assert_allclose(found.axes_cm2_per_s, exact, rtol=0.2)
    assert found.exponent == pytest.approx(1, abs=0.05)
    still = diffusion(walk, np.arange(60, 80))
    assert still.coefficient_cm2_per_s < 1e-6 * exact


def test_the_error_is_that_of_many_walks():
    """The spread of the coefficient over independent walks is what the error says."""
    found = [diffusion(motion_of(walkers(400, 30, seed=seed)), np.arange(30)) for seed in range(24)]
    spread = np.std([it.coefficient_cm2_per_s for it in found], ddof=1)
    said = np.sqrt(np.mean([it.error_cm2_per_s**2 for it in found]))
    assert 0.6 < said / spread < 1.6


def test_displacements_by_transforms_are_those_by_sums():
    positions = np.cumsum(np.random.default_rng(1).normal(size=(50, 4, 3)), axis=0)
    direct = [np.square(positions[lag:] - positions[: 50 - lag]).mean(axis=(0, 1)) for lag in range(50)]
    np.testing.assert_allclose(msd(positions), direct, rtol=1e-9, atol=1e-9)


def test_atoms_are_followed_across_boundaries_of_a_skewed_breathing_cell():
    generator = np.random.default_rng(2)
    cells = np.array([np.array([[6.0, 0, 0], [2, 5, 0], [1, 1, 7]]) * (1 + 0.01 * np.sin(i)) for i in range(40)])
    fractional = np.cumsum(generator.normal(scale=0.05, size=(40, 5, 3)), axis=0)
    true = np.einsum("fax,fxy->fay", fractional, cells)
    wrapped = np.einsum("fax,fxy->fay", fractional % 1.0, cells)
    found = unwrap(wrapped, cells, np.array([True, True, True]))
    start = np.einsum("ax,fxy->fay", np.floor(fractional[0]), cells)
    np.testing.assert_allclose(found + start, true, atol=1e-9)


def test_a_breathing_cell_is_no_diffusion():
    """Atoms that have gone far move with the strain of the cell, and that is not their own motion."""
    generator = np.random.default_rng(4)
    frames = 600
    fractional = np.cumsum(generator.normal(scale=0.01, size=(frames, 30, 3)), axis=0)
    fractional += generator.integers(-20, 20, size=(1, 30, 3))  # long after the start
    breath = 1 + 0.01 * np.sin(0.3 * np.arange(frames))
    found = []
    for scale in (np.ones(frames), breath):
        cells = 10.0 * np.eye(3) * scale[:, None, None]
        motion = Motion(
            Atoms("Li30", cell=cells[0], pbc=True),
            np.einsum("fax,fxy->fay", fractional, cells),
            cells,
            None,
            2.0 * np.arange(frames),
        )
        found.append(diffusion(motion, np.arange(30)))
    still, breathing = found
    assert breathing.coefficient_cm2_per_s == pytest.approx(still.coefficient_cm2_per_s, rel=1e-3)
    np.testing.assert_allclose(breathing.msd_A2, still.msd_A2, rtol=2e-3)


def test_nothing_drifts_where_atoms_are_held():
    """All that moves moves one way: with a held framework that is no drift."""
    steps = np.arange(100)[:, None, None] * np.array([0.1, 0.0, 0.0])
    positions = np.concatenate([np.broadcast_to(steps, (100, 2, 3)), np.zeros((100, 2, 3))], axis=1)
    atoms = Atoms("Li2O2", positions[0], cell=[50] * 3, pbc=True)
    for held, moved in (([2, 3], 0.1), ([], 0.1 * 2 * 15.999 / (2 * 15.999 + 2 * 6.94))):
        atoms.set_constraint(FixAtoms(held) if held else None)
        motion = Motion(atoms, positions, np.array([atoms.cell.array] * 100), None, np.arange(100.0))
        assert diffusion(motion, np.array([0, 1])).msd_A2[1, 0] == pytest.approx(moved**2, rel=1e-3)


def test_jumps_that_nobody_can_follow_are_refused():
    images = [Atoms("He", [[x, 0, 0]], cell=[4, 4, 4], pbc=True) for x in (0.0, 1.9)]
    with pytest.raises(DataError, match="almost half of the cell"):
        motion_of(images)


def test_arrhenius_law_is_found_with_its_error():
    temperatures = np.array([600.0, 700, 800, 900, 1000])
    exact = 3e-3 * np.exp(-0.35 / (units.kB * temperatures))
    energies, errors = [], []
    far, far_errors = [], []
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(scale=0.05, size=5)
        fit = arrhenius(temperatures, exact * np.exp(noise), 0.05 * exact)
        energies.append(fit.activation_energy_eV)
        errors.append(fit.activation_energy_error_eV)
        far.append(np.log(fit.coefficient(300.0)))
        far_errors.append(fit.log_error(300.0))
    assert np.mean(far_errors) == pytest.approx(np.std(far), rel=0.35)
    assert fit.log_error(800.0) < 0.2 * fit.log_error(300.0)
    assert np.mean(energies) == pytest.approx(0.35, abs=0.002)
    assert np.mean(errors) == pytest.approx(np.std(energies), rel=0.35)
    assert fit.coefficient(800.0) == pytest.approx(exact[2], rel=0.2)


def test_arrhenius_needs_three_temperatures_that_diffuse():
    with pytest.raises(DataError, match="three or more"):
        arrhenius([300, 400], [1e-6, 2e-6], [1e-8, 1e-8])
    with pytest.raises(DataError, match="at 300 K nothing diffuses"):
        arrhenius([300, 400, 500], [1e-9, 2e-6, 3e-6], [1e-8, 1e-8, 1e-8])


def test_nernst_and_einstein():
    """1 ion in 1 nm³ with D = 1e-5 cm²/s at 300 K: n q² D / kT by hand."""
    atoms = Atoms("Li", cell=[10, 10, 10], pbc=True)
    value, error = conductivity({"Li": (1e-5, 1e-6)}, {"Li": 1.0}, atoms, 300.0)
    assert value == pytest.approx(1e21 * (1.602176634e-19) ** 2 * 1e-5 / (1.380649e-23 * 300), rel=1e-9)
    assert error == pytest.approx(0.1 * value)
    with pytest.raises(ConfigError, match="no diffusion coefficient of O"):
        conductivity({"Li": (1e-5, 1e-6)}, {"O": -2.0}, atoms, 300.0)


def test_fcc_shells():
    atoms = bulk("Cu", a=4.0)  # one atom: shells reach far beyond the cell
    found = pair_distribution(motion_of([atoms, atoms], 1.0), r_max_A=5.2, bins=520)
    shells = found.radii_A[found.total > 0]
    expected = 4.0 * np.sqrt([0.5, 1.0, 1.5])
    assert [np.abs(shells - shell).min() < 0.01 for shell in expected] == [True] * 3
    assert len(shells) <= 6
    around = found.coordination["Cu-Cu"]
    assert [round(around[np.searchsorted(found.radii_A, r)]) for r in (3.5, 4.5, 5.1)] == [12, 18, 42]


def test_an_ideal_gas_has_no_structure():
    generator = np.random.default_rng(3)
    cell = np.diag([9.0, 11.0, 10.0])
    atoms = Atoms("Ar40Ne20", cell=cell, pbc=True)
    gas = Motion(atoms, generator.random((80, 60, 3)) @ cell, np.array([cell] * 80), None, None)
    found = pair_distribution(gas, r_max_A=6.0, bins=6)
    for g in (found.total, *found.partial.values()):
        np.testing.assert_allclose(g[2:], 1.0, atol=0.12)
    assert list(found.partial) == ["Ar-Ar", "Ar-Ne", "Ne-Ne"]


def test_angles_of_diamond_and_rock_salt():
    diamond = bulk("Si")
    found = angle_distribution(motion_of([diamond, diamond], 1.0), 2.5)
    peak = found.angles_degree[np.argmax(found.density_per_degree["Si-Si-Si"])]
    assert abs(peak - 109.47) <= 0.5
    assert found.counts == {"Si-Si-Si": 2 * 2 * 6}
    salt = bulk("NaCl", "rocksalt", a=5.64)
    found = angle_distribution(motion_of([salt, salt], 1.0), 3.0, symbols="Na")
    assert found.counts == {"Cl-Na-Cl": 2 * 15}
    density = found.density_per_degree["Cl-Na-Cl"]
    assert density[89:91].sum() == pytest.approx(12 / 15)
    assert density[-1] == pytest.approx(3 / 15)
    with pytest.raises(DataError, match="no atom has two bonds"):
        angle_distribution(motion_of([salt, salt], 1.0), 1.0)


def test_spectrum_of_harmonic_oscillators():
    images = []
    for i in range(4000):
        atoms = Atoms("HOOH", np.zeros((4, 3)))
        wave = np.cos(2 * np.pi * np.array([15.0, 6.0]) * i * 4.0 / 1000)
        atoms.set_momenta([[wave[0], 0, 0], [0, wave[1], 0], [0, -wave[1], 0], [-wave[0], 0, 0]])
        atoms.info["time_fs"] = 4.0 * i
        images.append(atoms)
    found = velocity_spectrum(motion_of(images))
    for name, frequency in (("H", 15.0), ("O", 6.0)):
        peak = found.frequencies_THz[np.argmax(found.partial[name])]
        assert abs(peak - frequency) < found.resolution_THz
    assert np.trapezoid(found.total, found.frequencies_THz) == pytest.approx(1.0)
    # Σ m v² of H is 15.999/1.008 times that of O at equal momenta.
    areas = [np.trapezoid(found.partial[name], found.frequencies_THz) for name in "HO"]
    assert areas[0] / areas[1] == pytest.approx(15.999 / 1.008, rel=0.01)


@pytest.mark.parametrize(("interval", "told"), [(8.0, []), (20.0, ["H"]), (50.0, ["H", "O"])])
def test_vibrations_too_fast_for_the_frames_are_told(interval, told):
    """40 and 9 THz; the highest that can be seen is 62, 25 and 10 THz."""
    times, omega = interval * np.arange(100), 2 * np.pi * np.array([0.040, 0.009])  # 1/fs
    positions = np.zeros((100, 2, 3))
    positions[:, :, 0] = np.sin(omega * times[:, None])
    velocities = np.zeros((100, 2, 3))
    velocities[:, :, 0] = omega * np.cos(omega * times[:, None])
    motion = Motion(Atoms("HO"), positions, np.zeros((100, 3, 3)), velocities, times)
    assert turning_between_frames(motion) == told


def test_bad_trajectories_have_a_sentence_each():
    frame = bulk("Cu")
    for frames, words in (
        ([frame], "at least two frames"),
        ([frame, bulk("Al")], "other atoms"),
        ([frame, bulk("Cu", cubic=True)], "other atoms"),
    ):
        with pytest.raises(DataError, match=words):
            motion_of(frames, 1.0)
    motion = motion_of([frame] * 20)
    with pytest.raises(DataError, match="no velocities"):
        velocity_spectrum(motion)
    with pytest.raises(DataError, match="does not say its times"):
        diffusion(motion, np.arange(1))
    with pytest.raises(ConfigError, match="no Li to select"):
        pair_distribution(motion, symbols="Li")
    with pytest.raises(DataError, match="periodic along a, b and c"):
        pair_distribution(motion_of([molecule("H2O")] * 2))
    uneven = [frame.copy() for _ in range(60)]
    for i, it in enumerate(uneven):
        it.info["time_fs"] = float(i * i)
    with pytest.raises(DataError, match="not equally spaced"):
        diffusion(motion_of(uneven), np.arange(1))


@pytest.mark.parametrize(("length", "memory", "ratio"), [(4096, 9.5, 1.10), (1000, 50.0, 0.94), (100, 10.0, 0.84)])
def test_errors_of_correlated_numbers(length, memory, ratio):
    """An AR(1) process, exp(-t / memory), whose mean has a known variance; short series cannot know all of it."""
    factor = np.exp(-1 / memory)
    noise = np.random.default_rng(4).normal(size=(300, length)) * np.sqrt(1 - factor**2)
    series = np.zeros((300, length))
    series[:, 0] = noise[:, 0] / np.sqrt(1 - factor**2)
    for i in range(1, length):
        series[:, i] = factor * series[:, i - 1] + noise[:, i]
    lags = np.arange(1, length)
    exact = np.sqrt((1 + 2 * ((1 - lags / length) * factor**lags).sum()) / length)
    said = np.array([standard_error(it) for it in series])
    assert said.mean() / exact == pytest.approx(ratio, abs=0.06)
    inside = np.mean(np.abs(series.mean(axis=1)) < 2 * said)
    assert inside > 0.83


def test_another_interval_than_the_one_of_the_frames_is_told(caplog):
    frames = [bulk("Cu") for _ in range(4)]
    for i, it in enumerate(frames):
        it.info["time_fs"] = 8.0 * i
    assert motion_of(frames, 8.0).interval_fs == 8.0
    assert not caplog.text
    assert motion_of(frames, 4.0).interval_fs == 4.0
    assert "4 fs apart, as asked; the trajectory itself says 8 fs" in caplog.text
