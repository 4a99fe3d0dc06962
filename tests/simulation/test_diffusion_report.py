"""`tribond diffusion` from files to the fit: walkers with a known activation energy, and atoms that stay in their places."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.io import write

from tribond.errors import ConfigError
from tribond.reading.content import Options
from tribond.simulation.diffusion_report import diffusion_in

ENERGY, PREFACTOR = 0.30, 4e-2  # eV, cm²/s
INTERVAL_FS = 20.0
TEMPERATURES = (600.0, 800.0, 1000.0)


def trajectory(path, steps):
    """Wrapped frames of moving Li and heavy I at rest; steps is (frames, atoms, 3) Å from the first frame."""
    cell = np.diag([20.0, 20.0, 20.0])
    atoms = steps.shape[1]
    start = np.random.default_rng(9).uniform(0, 20, size=(atoms + 10, 3))
    images = []
    for frame, moved in enumerate(steps):
        positions = start.copy()
        positions[:atoms] += moved
        image = Atoms(f"Li{atoms}I10", positions, cell=cell, pbc=True)
        image.set_masses([1e-9] * atoms + [127.0] * 10)  # the centre of mass stays
        image.wrap()
        image.info["time_fs"] = INTERVAL_FS * frame
        images.append(image)
    write(path, images)
    return str(path)


def walk(seed, temperature):
    """Random steps with D = D0 exp(-E/kT): a step of an axis has the variance 2 D t."""
    coefficient = PREFACTOR * np.exp(-ENERGY / (units.kB * temperature))  # cm²/s
    sigma = np.sqrt(2 * coefficient / 0.1 * INTERVAL_FS)
    return np.cumsum(np.random.default_rng(seed).normal(scale=sigma, size=(500, 40, 3)), axis=0)


def test_the_activation_energy_of_walkers(tmp_path):
    names = [trajectory(tmp_path / f"{t:.0f}.traj", walk(n, t)) for n, t in enumerate(TEMPERATURES)]
    found = diffusion_in(tmp_path / "D", [[name] for name in names], symbols="Li", temperatures_K=TEMPERATURES)
    assert all(run["species"]["Li"]["diffuses"] for run in found["runs"])
    fit = found["arrhenius"]["Li"]
    assert abs(fit["activation_energy_eV"] - ENERGY) < 3.5 * fit["error_of_activation_energy_eV"]
    assert fit["error_of_activation_energy_eV"] < 0.1 * ENERGY
    assert (tmp_path / "D" / "arrhenius.png").stat().st_size > 0


def test_atoms_that_vibrate_do_not_diffuse(tmp_path):
    """In a short run their displacements may grow like time, and by more than their errors."""
    times = INTERVAL_FS * np.arange(200)[:, None, None]
    slow = np.random.default_rng(1).uniform(0, 2 * np.pi, size=(1, 40, 3))
    steps = 0.3 * np.sin(2 * np.pi * times / 4000 + slow)
    name = trajectory(tmp_path / "solid.traj", steps)
    found = diffusion_in(tmp_path / "D", [[name]], symbols="Li", temperatures_K=[600.0], fit_ps=(0.02, 0.4))
    species = found["runs"][0]["species"]["Li"]
    assert species["D_cm2_per_s"] > 2 * species["error_of_D_cm2_per_s"]  # looks like a coefficient
    assert not species["diffuses"]


@pytest.mark.parametrize("largest", [0.9, 1.1])
def test_what_moves_less_than_an_angstrom_is_no_diffusion(tmp_path, largest):
    """The same walk, scaled so that its displacement ends below or above 1 Å²."""
    steps = walk(3, 600.0)
    name = trajectory(tmp_path / "walk.traj", steps)
    found = diffusion_in(tmp_path / "all", [[name]], symbols="Li", temperatures_K=[600.0])["runs"][0]["species"]["Li"]
    end = 6 * found["D_cm2_per_s"] / 0.1 * 1000 * found["fit_to_ps"]  # Å²
    scaled = trajectory(tmp_path / "scaled.traj", steps * np.sqrt(largest**2 / end))
    again = diffusion_in(tmp_path / "scaled", [[scaled]], symbols="Li", temperatures_K=[600.0])["runs"][0]
    assert again["species"]["Li"]["exponent"] == pytest.approx(found["exponent"], abs=0.01)
    assert again["species"]["Li"]["diffuses"] == (largest > 1)


def test_a_temperature_counts_the_atoms_that_move(tmp_path):
    """Two of four atoms are held; the others have the kinetic energy of 500 K."""
    generator = np.random.default_rng(3)
    images = []
    for frame in range(60):
        image = Atoms("Li2O2", 2.0 * np.arange(12).reshape(4, 3), cell=[30] * 3, pbc=True)
        image.info["time_fs"] = 10.0 * frame
        momenta = np.zeros((4, 3))
        momenta[:2] = generator.choice([-1, 1], (2, 3)) * np.sqrt(6.94 * units.kB * 500)
        image.set_momenta(momenta)
        image.set_constraint(FixAtoms([2, 3]))
        images.append(image)
    write(tmp_path / "held.traj", images)
    found = diffusion_in(tmp_path / "D", [[str(tmp_path / "held.traj")]], symbols="Li")
    assert found["runs"][0]["temperature_K"] == pytest.approx(500, rel=1e-6)


def test_files_put_together_in_another_way_are_another_calculation(tmp_path):
    names = [trajectory(tmp_path / f"{n}.traj", walk(n, 800.0)[:60]) for n in range(2)]
    diffusion_in(tmp_path / "D", [[name] for name in names], temperatures_K=None)
    with pytest.raises(ConfigError, match="holds another calculation: files_of_runs was not given"):
        diffusion_in(tmp_path / "D", [names], temperatures_K=None)
    with pytest.raises(ConfigError, match="format was not given and is now traj"):
        diffusion_in(tmp_path / "D", [[name] for name in names], options=Options("traj"))
