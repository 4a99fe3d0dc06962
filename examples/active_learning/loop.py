"""Active learning: train an ensemble, let it run, label what it does not know, train again.

    python examples/active_learning/loop.py --output learned

A few crystals of copper that hardly move are labelled by a calculator that is taken for the truth (ASE's effective medium theory;
put your own into `truth`). The ensemble that is trained on them runs hot dynamics, where it has never been. `tribond select` takes
the structures of that run about which its members disagree most, they are labelled, and the next round trains on all. The errors
on hot structures of the truth's own dynamics, which no round trains on, must fall. Takes one or two minutes.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.langevin import Langevin
from typer.testing import CliRunner

from tribond import Calculator as TribondCalculator
from tribond import load_force_field
from tribond.cli.main import app
from tribond.data.frames import read_frames
from tribond.evaluation.evaluate import evaluate_frames
from tribond.evaluation.files import calibrations
from tribond.models.ensemble import Ensemble
from tribond.simulation.guards import DynamicsError, Guards
from tribond.simulation.md import run_md
from tribond.training.config import TrainingConfig
from tribond.training.ensemble import train_ensemble

HOT_K = 900.0
SMALL = {  # a network of seconds; a real one is the default
    "cutoff": 4.5,
    "threebody_cutoff": 3.5,
    "node_features": 16,
    "edge_features": 16,
    "num_blocks": 2,
    "update_hidden": [16],
    "readout_hidden": [16],
}


def truth() -> Calculator:
    """What labels structures: any calculator of ASE's, such as a DFT code."""
    return EMT()


def labelled(structures: list[Atoms]) -> list[Atoms]:
    """Structures with energy, forces and stress of the truth."""
    found = []
    for structure in structures:
        atoms = Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc)
        atoms.calc = truth()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        found.append(atoms)
    return found


def first_structures(number: int) -> list[Atoms]:
    """Crystals near their minimum."""
    found = []
    for seed in range(number):
        atoms = bulk("Cu", a=3.55 + 0.1 * seed / number, cubic=True) * (2, 2, 1)
        atoms.rattle(0.03, seed=seed)
        found.append(atoms)
    return found


def hot_structures(number: int) -> list[Atoms]:
    """Of dynamics by the truth, to test on."""
    atoms = bulk("Cu", cubic=True) * (2, 2, 1)
    atoms.calc = truth()
    random = np.random.default_rng(0)
    dynamics = Langevin(atoms, 4 * units.fs, temperature_K=HOT_K, friction=0.02, fixcm=False, rng=random)
    found = []
    for _ in range(number):
        dynamics.run(20)
        found.append(atoms.copy())
    return labelled(found)


def labels_of(round_number: int) -> list[str]:
    """Files that a round trains on, by name: a pattern would take those of later rounds when the same command goes on."""
    return [f"labelled-{number}.extxyz" for number in range(round_number + 1)]


def training(round_number: int, steps: int) -> TrainingConfig:
    """An ensemble on all that is labelled so far."""
    return TrainingConfig.model_validate(
        {
            "name": f"round-{round_number}",
            "output": f"round-{round_number}",
            "data": {"train": [{"name": "labelled", "files": labels_of(round_number)}], "validation": []},
            "model": {"elements": "data", "settings": SMALL},
            "steps": steps,
            "edge_budget": 4000,
            "validate_every": steps,
            "accelerator": "cpu",
            "optimizer": {"learning_rate": 5e-3, "warmup_steps": 10, "ema_decay": 0.95},
        }
    )


def explore(ensemble: Ensemble, folder: Path, runs: int) -> list[Path]:
    """Hot dynamics of the ensemble until it is done or its members disagree too much; files with what it has seen."""
    seen = []
    for seed in range(runs):
        place = folder / f"run-{seed}"
        try:
            run_md(
                bulk("Cu", cubic=True) * (2, 2, 1),
                TribondCalculator(ensemble),
                place,
                [{"ensemble": "nvt-langevin", "temperature_K": HOT_K, "time_ps": 1.2, "timestep_fs": 4}],
                seed=seed,
                trajectory="extxyz",
                trajectory_interval_fs=16,
                guards=Guards(max_temperature_K=1e4, max_force_spread_eV_per_A=1.0, on_spread="stop"),
            )
        except DynamicsError as error:
            print(error, flush=True)
        seen += [path for path in (place / "trajectory.extxyz", place / "failed.extxyz") if path.is_file()]
    return seen


def main(arguments: list[str] | None = None) -> list[dict[str, float]]:
    """Run the loop; the errors of every round, also as errors.csv."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("active_learning"), help="folder of everything")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120, help="of each training")
    parser.add_argument("--labels", type=int, default=8, help="new ones a round")
    given = parser.parse_args(arguments)
    folder = given.output
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "test.extxyz", hot_structures(10))
    write(folder / "labelled-0.extxyz", labelled(first_structures(given.labels)))
    test = read_frames(str(folder / "test.extxyz"))
    rows = []
    for number in range(given.rounds):
        result = train_ensemble(training(number, given.steps), folder, given.members, progress=False)
        ensemble = load_force_field(result.ensemble_file, device="cpu")
        report = evaluate_frames(ensemble, test)
        rows.append(
            {
                "round": number,
                "labels": sum(len(read(folder / name, ":")) for name in labels_of(number)),
                "energy_MAE_meV_per_atom": report.energy.mae,
                "forces_MAE_meV_per_A": report.forces.mae,
                "forces_miscalibration_area": calibrations(report)["forces"].area,
            }
        )
        print("  ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
        if number == given.rounds - 1:
            break
        pool = explore(ensemble, folder / f"md-{number}", runs=4)
        chosen = folder / f"chosen-{number}.extxyz"
        known = [f"--known={folder / name}" for name in labels_of(number)]
        command = ["select", *map(str, pool), "-n", str(given.labels), "-m", str(result.ensemble_file)]
        done = CliRunner().invoke(app, [*command, "-o", str(chosen), *known])
        if done.exit_code:
            raise SystemExit(done.output)
        write(folder / f"labelled-{number + 1}.extxyz", labelled(read(chosen, ":")))
    with (folder / "errors.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


if __name__ == "__main__":
    main()
