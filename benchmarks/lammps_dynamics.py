"""The same dynamics in LAMMPS and in ASE: is the energy kept as well, are the means the same?

    python -m benchmarks.lammps_dynamics nve [--steps 10000] [--plugin .../tribondplugin.so]
    python -m benchmarks.lammps_dynamics npt [--steps 10000]

Sodium chloride at 300 K, 32 atoms, timestep 2 fs, the built-in potential in float32. Constant energy: both programs start from
the same positions and velocities. Constant pressure: LAMMPS' `fix npt` against ASE's IsotropicMTKNPT, both the equations of
Martyna, Tobias and Klein, with the same damping times, and velocities of the same temperature at the start. Errors of means
are those of the means of ten blocks, after the first tenth of a run.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.verlet import VelocityVerlet

import tribond
from tribond.checkpoints.native import save_model
from tribond.integrations.lammps.build import PLUGIN, default_folder
from tribond.integrations.lammps.deck import write_data
from tribond.integrations.lammps.find import run_lammps

TIMESTEP_FS = 2.0
TEMPERATURE_K = 300.0
DAMPING_FS = {"temperature": 100.0, "pressure": 1000.0}
COLUMNS = ("temperature, K", "potential energy, eV/atom", "total energy, eV/atom", "volume, Å³/atom", "distance², Å²")
DECK = """
plugin load {plugin}
units metal
read_data atoms.data
pair_style tribond threads 1
pair_coeff * * model.safetensors Cl Na
neigh_modify every 1 delay 0 check yes
velocity all create {start_K} 4928 dist gaussian loop geom
dump start all custom {steps} start.dump id xu yu zu vx vy vz
dump_modify start sort id format float %.17g
{motion}
timestep {timestep_ps}
compute moved all msd com yes
thermo_style custom step temp pe etotal vol c_moved[4]
thermo_modify format float %.10g
thermo 1
run {steps}
"""


def in_lammps(folder: Path, plugin: Path, steps: int, motion: str) -> np.ndarray:
    """Rows of COLUMNS, one a step; energies and volume still of all atoms."""
    timestep_ps = TIMESTEP_FS / 1000
    text = DECK.format(plugin=plugin, start_K=2 * TEMPERATURE_K, steps=steps, motion=motion, timestep_ps=timestep_ps)
    (folder / "in.dynamics").write_text(text)
    printed = run_lammps(folder / "in.dynamics", 1, timeout=36_000).splitlines()
    first = next(k for k, line in enumerate(printed) if line.split()[:1] == ["Step"]) + 1
    return np.array([line.split() for line in printed[first : first + steps + 1]], float)[:, 1:]


def started_as_lammps(atoms: Atoms, folder: Path) -> Atoms:
    """With the positions and velocities that LAMMPS wrote first."""
    rows = (folder / "start.dump").read_text().splitlines()[9 : 9 + len(atoms)]
    numbers = np.array([row.split() for row in rows], float)[:, 1:]
    atoms = atoms.copy()
    atoms.positions = numbers[:, :3]
    atoms.set_velocities(numbers[:, 3:] / (1000 * units.fs))  # Å/ps
    return atoms


def in_ase(atoms: Atoms, steps: int, dynamics_of: Callable[[Atoms], MolecularDynamics]) -> np.ndarray:
    """The same rows."""
    rows, scaled, masses = [], atoms.get_scaled_positions(wrap=False), atoms.get_masses()
    for _ in dynamics_of(atoms).irun(steps):
        # Displacements without those of the cell, as LAMMPS has them.
        moved = atoms.positions - scaled @ atoms.cell.array
        moved -= masses @ moved / masses.sum()
        energy = atoms.get_potential_energy()
        temperature = atoms.get_temperature() * len(atoms) / (len(atoms) - 1)  # the centre of mass is at rest
        total = energy + atoms.get_kinetic_energy()
        rows.append((temperature, energy, total, atoms.get_volume(), np.square(moved).sum(axis=1).mean()))
    return np.array(rows)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Of a row of numbers that depend on each other, by ten blocks; the first tenth of the run is left out."""
    means = [block.mean() for block in np.array_split(values[len(values) // 10 :], 10)]
    return float(np.mean(means)), float(np.std(means, ddof=1) / np.sqrt(len(means)))


def report(runs: dict[str, np.ndarray], atoms: int, *, conserved: bool) -> None:
    """A table: means, and of constant energy how well it is kept."""
    print(f"{'':28}" + "".join(f"{name:>26}" for name in runs) + f"{'difference / its error':>26}")
    for column, name in enumerate(COLUMNS):
        if conserved and name.startswith("volume"):
            continue
        each = atoms if "/atom" in name else 1
        found = [mean_and_error(run[:, column] / each) for run in runs.values()]
        (one, error), (other, second) = found
        cells = "".join(f"{f'{mean:.6f} ± {uncertain:.6f}':>26}" for mean, uncertain in found)
        print(f"{name:28}{cells}{abs(one - other) / max(np.hypot(error, second), 1e-12):>26.2f}")
    if not conserved:
        return
    for name, run in runs.items():
        energy = run[:, 2] / atoms * 1000
        time_ps = np.arange(len(energy)) * TIMESTEP_FS / 1000
        slope = np.polyfit(time_ps, energy, 1)[0]
        print(f"{name}: drift {slope:+.2e} meV/atom/ps, fluctuation {energy.std():.2e} meV/atom around the mean")
    first, second = (run[:51, 1] / atoms for run in runs.values())
    print(f"largest difference in potential energy, steps 0 to 50: {1000 * abs(first - second).max():.2e} meV/atom")


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ensemble", choices=["nve", "npt"])
    parser.add_argument("--plugin", type=Path, default=default_folder() / PLUGIN)
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    conserved = options.ensemble == "nve"
    torch.set_num_threads(1)
    potential = tribond.load(dtype="float32")
    crystal = bulk("NaCl", "rocksalt", a=5.70, cubic=True) * (2, 2, 1)

    def dynamics_of(atoms: Atoms) -> MolecularDynamics:
        atoms.calc = tribond.Calculator(potential)
        if conserved:
            return VelocityVerlet(atoms, timestep=TIMESTEP_FS * units.fs)
        return IsotropicMTKNPT(
            atoms,
            timestep=TIMESTEP_FS * units.fs,
            # Its thermostat counts the motion of the centre of mass, which is at rest, LAMMPS' does not.
            temperature_K=TEMPERATURE_K * (len(atoms) - 1) / len(atoms),
            pressure_au=0.0,
            tdamp=DAMPING_FS["temperature"] * units.fs,
            pdamp=DAMPING_FS["pressure"] * units.fs,
        )

    tdamp, pdamp = (DAMPING_FS[name] / 1000 for name in ("temperature", "pressure"))
    motion = "fix motion all " + (
        "nve" if conserved else f"npt temp {TEMPERATURE_K} {TEMPERATURE_K} {tdamp} iso 0 0 {pdamp}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        save_model(folder / "model.safetensors", potential.model, potential.metadata)
        write_data(folder / "atoms.data", crystal, ["Cl", "Na"])
        lammps = in_lammps(folder, options.plugin.resolve(), options.steps, motion)
        ase = in_ase(started_as_lammps(crystal, folder), options.steps, dynamics_of)
    report({"LAMMPS": lammps, "ASE": ase}, len(crystal), conserved=conserved)


if __name__ == "__main__":
    main()
