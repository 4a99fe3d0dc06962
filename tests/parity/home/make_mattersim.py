"""Write small MatterSim checkpoints with random weights, and the values that MatterSim computes with them.

Run as `python make_mattersim.py OUT_FOLDER` inside an environment with `mattersim` and `ase`. One folder is written
per case: checkpoint.pth of MatterSim's own `Potential.save`, and expected.json.

A checkpoint holds the weights twice: "model", which MatterSim predicts with, and the averages under "ema". They differ
here. "results" belongs to "model"; "results_ema" to the averages, copied over the weights after loading.

MatterSim casts to float32 in many places. In a second process these casts are replaced by casts to float64;
"results_float32" holds energies without that, for comparison.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase.io import read
from mattersim.forcefield import MatterSimCalculator, Potential
from mattersim.forcefield.m3gnet.m3gnet import M3Gnet
from mattersim.forcefield.m3gnet.scaling import AtomScaling

DOUBLE = os.environ.get("HOME_PRECISION") == "64"  # set for the second process, see main()
if DOUBLE:
    torch.Tensor.float = torch.Tensor.double
    torch.FloatTensor = lambda data: torch.tensor(np.asarray(data), dtype=torch.float64)

CUTOFF, THREEBODY = 4.5, 3.5
BASE = {"units": 8, "cutoff": CUTOFF, "threebody_cutoff": THREEBODY, "device": "cpu"}
CASES = {"potential": {"num_blocks": 2, "max_n": 3, "max_l": 3, "max_z": 30}}


def build(arguments: dict) -> Potential:
    """Potential with random float32 weights and averages that differ from them."""
    torch.manual_seed(7 + arguments["max_z"])
    model = M3Gnet(**{**BASE, **arguments})
    elements = torch.arange(arguments["max_z"] + 1)
    model.set_normalizer(
        AtomScaling(
            max_z=arguments["max_z"],
            init_scale=1.5 + 0.5 * torch.sin(elements * 1.0),
            init_shift=-3.0 + torch.cos(elements * 1.0),
            device="cpu",
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2:
                parameter.normal_(0.0, 0.3)
            elif name.startswith("atom_embedding"):
                parameter.normal_(0.0, 1.0)
            else:
                parameter.normal_(0.0, 1.6 / parameter.shape[1] ** 0.5)
    potential = Potential(model, device="cpu", ema_decay=0.99, description="random weights")
    with torch.no_grad():
        for shadow in potential.ema.shadow_params:
            shadow.add_(0.1 * torch.randn_like(shadow))
    return potential


def evaluate(potential: Potential, structures: list) -> dict:
    results = {}
    for atoms in structures:
        name, periodic = atoms.info["name"], bool(atoms.pbc.all())
        own = atoms.copy()  # MatterSim wraps the positions, and gives a molecule a cell
        own.info.clear()
        calculator = MatterSimCalculator(potential=potential, device="cpu")
        calculator.calculate(own)
        found = calculator.results
        results[name] = {"energy": float(found["energy"]), "forces": np.asarray(found["forces"], dtype=float).tolist()}
        if periodic:
            xx, yy, zz, yz, xz, xy = np.asarray(found["stress"], dtype=float)
            results[name]["stress"] = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]
    return results


def load(path: Path) -> Potential:
    torch.set_default_dtype(torch.float64 if DOUBLE else torch.float32)
    potential = Potential.from_checkpoint(str(path), device="cpu")
    if DOUBLE:
        potential = potential.double()
        potential.ema.to(dtype=torch.float64)
    return potential


def write_expected(out: Path, structures: list) -> None:
    """Second process: evaluate the saved checkpoints in float64."""
    for name in CASES:
        folder = out / f"mattersim_{name}"
        potential = load(folder / "checkpoint.pth")
        results = evaluate(potential, structures)
        potential.ema.copy_to(potential.model.parameters())
        expected = {
            "home": f"mattersim {version('mattersim')}",
            "torch": version("torch"),
            "dtype": "float64 (weights stored as float32; MatterSim's casts to float32 replaced)",
            "loaded_by": "Potential.from_checkpoint, MatterSimCalculator",
            "cutoff_note": f"cutoff {CUTOFF}, three-body cutoff {THREEBODY}",
            "results": results,
            "results_ema": evaluate(potential, structures),
        }
        (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def main() -> None:
    out = Path(sys.argv[1])
    structures = read(Path(__file__).with_name("structures.extxyz"), index=":")
    if DOUBLE:
        write_expected(out, structures)
        return
    single = {}
    for name, arguments in CASES.items():
        path = out / f"mattersim_{name}" / "checkpoint.pth"
        build(arguments).save(str(path))
        single[name] = {key: value["energy"] for key, value in evaluate(load(path), structures).items()}
    subprocess.run([sys.executable, *sys.argv], env={**os.environ, "HOME_PRECISION": "64"}, check=True)
    for name in CASES:
        path = out / f"mattersim_{name}" / "expected.json"
        expected = json.loads(path.read_text())
        expected["results_float32"] = single[name]
        path.write_text(json.dumps(expected, indent=1) + "\n")
        for key, entry in expected["results"].items():
            averaged = expected["results_ema"][key]["energy"]
            print(f"mattersim_{name} {key}: {entry['energy']:.6f} float32 {single[name][key]:.6f} ema {averaged:.6f}")


if __name__ == "__main__":
    main()
