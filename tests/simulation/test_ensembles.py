"""Ensembles against statistical mechanics: means and variances that are known, on crystals of springs and an ideal gas."""

import numpy as np
import pytest
from ase import units
from ase.constraints import FixAtoms

from tests.simulation.potentials import IdealGas, Springs, crystal
from tribond.results.tables import read_csv
from tribond.simulation.blocks import standard_error
from tribond.simulation.guards import Guards
from tribond.simulation.md import run_md
from tribond.simulation.start import degrees_of_freedom
from tribond.units import EV_PER_A3_TO_GPA

TEMPERATURE = 200.0
STRONG = {"nvt-langevin": {"friction_per_ps": 10.0}}  # forgets in 0.1 ps, as Bussi's thermostat does: more samples


def log(folder, atoms, calculator, stage, **more):
    settings = {"log_interval_fs": 20.0, "trajectory_interval_fs": 1e6, "checkpoint_interval_s": 1e6} | more
    # Chains hardly damp the oscillation of a start in a perfect lattice: friction does.
    friction = {"ensemble": "nvt-langevin", "temperature_K": stage["temperature_K"], "friction_per_ps": 10}
    first = [] if stage["ensemble"] == "nve" else [friction | {"steps": 1000, "timestep_fs": stage["timestep_fs"]}]
    run_md(atoms, calculator, folder, [*first, stage], **settings)
    table = read_csv(folder / "thermo.csv")
    mine = table["stage"] == len(first)
    begin, end = table["time_fs"][mine][[0, -1]]
    late = mine & (table["time_fs"] > begin + 0.1 * (end - begin))
    return {name: column[late] for name, column in table.items()}


def assert_canonical(temperatures, dof, *, spread=0.02):
    """Kinetic energies have the mean dof kT / 2 and the variance dof (kT)² / 2."""
    mean = TEMPERATURE
    assert abs(temperatures.mean() - mean) < 4 * standard_error(temperatures) + 0.002 * mean
    squares = (temperatures - mean) ** 2
    exact = 2 * mean**2 / dof
    assert abs(squares.mean() - exact) < 4 * standard_error(squares) + spread * exact


@pytest.mark.parametrize("ensemble", ["nvt-langevin", "nvt-bussi", "nvt-nose-hoover", "npt-isotropic", "npt-full"])
def test_temperatures_have_the_canonical_mean_and_variance(tmp_path, ensemble):
    # Few atoms: a wrong number of degrees of freedom would be seen. Without noise it takes more to lose all memory.
    atoms = crystal(1).repeat((2, 1, 1)) if ensemble in {"nvt-langevin", "nvt-bussi"} else crystal()
    stage = {"ensemble": ensemble, "temperature_K": TEMPERATURE, "steps": 5000, "timestep_fs": 4.0}
    stage |= STRONG.get(ensemble, {})
    found = log(tmp_path, atoms, Springs(atoms), stage)
    noisy = ensemble in {"nvt-langevin", "nvt-bussi"}  # springs couple weakly: chains remember for long
    assert_canonical(found["temperature_K"], degrees_of_freedom(atoms, ensemble), spread=0.02 if noisy else 0.2)


@pytest.mark.parametrize("ensemble", ["nvt-langevin", "nvt-bussi"])
def test_fixed_atoms_do_not_count(tmp_path, ensemble):
    atoms = crystal(1).repeat((2, 1, 1))
    atoms.set_constraint(FixAtoms([0, 1, 2]))
    assert degrees_of_freedom(atoms, ensemble) == 15
    stage = {
        "ensemble": ensemble,
        "temperature_K": TEMPERATURE,
        "steps": 6000,
        "timestep_fs": 4.0,
        **STRONG.get(ensemble, {}),
    }
    assert_canonical(log(tmp_path, atoms, Springs(atoms), stage)["temperature_K"], 15)


def test_fixed_atoms_do_not_heat_nose_hoover_chains(tmp_path):
    atoms = crystal()
    atoms.set_constraint(FixAtoms(range(8)))
    stage = {"ensemble": "nvt-nose-hoover", "temperature_K": TEMPERATURE, "steps": 5000, "timestep_fs": 4.0}
    assert log(tmp_path, atoms, Springs(atoms), stage)["temperature_K"].mean() == pytest.approx(TEMPERATURE, rel=0.03)


@pytest.mark.parametrize("ensemble", ["nvt-berendsen", "npt-berendsen"])
def test_berendsen_goes_to_the_target(tmp_path, ensemble):
    atoms = crystal()
    more = {"pressure_GPa": 0.5} if ensemble.startswith("npt") else {}
    stage = {"ensemble": ensemble, "temperature_K": TEMPERATURE, "steps": 2000, "timestep_fs": 4.0, **more}
    found = log(tmp_path, atoms, Springs(atoms), stage)
    assert found["temperature_K"].mean() == pytest.approx(TEMPERATURE, rel=0.02)
    if more:
        assert found["pressure_GPa"][len(found["pressure_GPa"]) // 2 :].mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_the_volume_of_an_ideal_gas(tmp_path):
    """With momentum zero, p(V) ~ V^(N-1) exp(-PV/kT): mean N kT/P and variance N (kT/P)²."""
    atoms = crystal()
    count, kT = len(atoms), units.kB * 300.0
    pressure = count * kT / atoms.get_volume()
    stage = {
        "ensemble": "npt-isotropic",
        "temperature_K": 300.0,
        "pressure_GPa": pressure * EV_PER_A3_TO_GPA,
        "steps": 25_000,
        "timestep_fs": 4.0,
        "barostat_fs": 400.0,
    }
    found = log(tmp_path, atoms, IdealGas(), stage, guards=Guards(3000.0, closest=0.0, max_volume_change=20.0))
    volumes = found["volume_A3"]
    exact = count * kT / pressure
    assert abs(volumes.mean() - exact) < 4 * standard_error(volumes) + 0.01 * exact
    squares = (volumes - exact) ** 2
    assert abs(squares.mean() - exact**2 / count) < 4 * standard_error(squares) + 0.05 * exact**2 / count


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", ["npt-isotropic", "npt-full"])
def test_volumes_fluctuate_with_the_compressibility(tmp_path, ensemble):
    """At low temperature ⟨ΔV²⟩ = kT V / B, with B from the springs at rest; and pressure compresses by P / B."""
    atoms = crystal()
    springs, strain, volume = Springs(atoms), 1e-3, atoms.get_volume()
    energies = []
    for scale in (1 - strain, 1.0, 1 + strain):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * scale, scale_atoms=True)
        scaled.calc = springs
        energies.append(scaled.get_potential_energy())
    bulk_modulus = (energies[0] + energies[2] - 2 * energies[1]) / (9 * strain**2 * volume)
    # The cell of so few cold atoms oscillates at sqrt(3 BV / NkT) / barostat_fs, 0.06 per fs: fifteen steps a radian.
    temperature, pressure = 50.0, 0.002 * bulk_modulus
    stage = {
        "ensemble": ensemble,
        "temperature_K": temperature,
        "pressure_GPa": pressure * EV_PER_A3_TO_GPA,
        "steps": 25_000,
        "timestep_fs": 4.0,
        "barostat_fs": 1500.0,
    }
    found = log(tmp_path, atoms, springs, stage)
    volumes = found["volume_A3"]
    assert volumes.mean() == pytest.approx(volume * (1 - pressure / bulk_modulus), rel=1e-3)
    variance = units.kB * temperature * volume / bulk_modulus
    squares = (volumes - volumes.mean()) ** 2
    assert abs(squares.mean() - variance) < 4 * standard_error(squares) + 0.03 * variance
    assert standard_error(squares) < 0.2 * variance  # else it would say nothing
    if ensemble == "npt-isotropic":
        return
    # The shape, too: an angle has the variance kT / C44 V.
    sheared = atoms.copy()
    sheared.set_cell(
        atoms.cell.array @ (np.eye(3) + strain / 2 * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])), scale_atoms=True
    )
    sheared.calc = springs
    shear_modulus = 2 * (sheared.get_potential_energy() - energies[1]) / (volume * strain**2)
    variance = units.kB * temperature / (shear_modulus * volume)
    for name in ("alpha", "beta", "gamma"):
        squares = np.radians(found[f"angle_{name}_degree"] - 90.0) ** 2
        assert abs(squares.mean() - variance) < 4 * standard_error(squares) + 0.03 * variance


def test_energy_stays_and_its_error_falls_with_the_square_of_the_time_step(tmp_path):
    spreads = []
    for timestep in (2.0, 4.0):
        atoms = crystal()
        stage = {"ensemble": "nve", "temperature_K": 100.0, "steps": int(8000 / timestep), "timestep_fs": timestep}
        found = log(tmp_path / str(timestep), atoms, Springs(atoms), stage, log_interval_fs=4.0)
        energies = found["total_energy_eV"]
        spreads.append(energies.std())
        slope = np.polyfit(found["time_fs"], energies, 1)[0] / len(atoms) * 1e9
        assert abs(slope) < 30  # meV/atom/ns
    assert spreads[1] / spreads[0] == pytest.approx(4.0, rel=0.25)


@pytest.mark.parametrize("ensemble", ["npt-isotropic", "npt-full"])
def test_what_is_conserved_stays_while_the_energy_does_not(tmp_path, ensemble):
    """And what is left falls with the square of the time step."""
    spreads = []
    for timestep in (2.0, 4.0):
        atoms = crystal()
        stage = {
            "ensemble": ensemble,
            "temperature_K": TEMPERATURE,
            "steps": int(2400 / timestep),
            "timestep_fs": timestep,
        }
        found = log(tmp_path / str(timestep), atoms, Springs(atoms), stage)
        spreads.append(found["conserved_eV"].std())
        assert spreads[-1] < 0.03 * found["total_energy_eV"].std()
    assert 2 < spreads[1] / spreads[0] < 8


def test_a_ramp_reaches_its_end(tmp_path):
    atoms = crystal()
    stage = {"ensemble": "nvt-nose-hoover", "temperature_K": "100:300", "steps": 4000, "timestep_fs": 4.0}
    run_md(atoms, Springs(atoms), tmp_path, [stage], checkpoint_interval_s=1e6)
    table = read_csv(tmp_path / "thermo.csv")
    np.testing.assert_allclose(table["target_temperature_K"][[0, -1]], [100, 300])
    for part, mean in ((slice(0, 400), 125), (slice(-400, None), 275)):
        assert table["temperature_K"][part].mean() == pytest.approx(mean, rel=0.1)
    assert np.isnan(table["conserved_eV"]).all()
