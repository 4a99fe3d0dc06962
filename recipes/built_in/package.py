"""Write a model as the built-in potential: ``python recipes/built_in/package.py MODEL VERSION MEASURED``.

Weights as they are, in float32; of the metadata only what a user needs, with licences, attributions, and the errors that
``measure run MODEL --only frames`` left in MEASURED/frames.json.
"""

import json
import sys
from pathlib import Path

import torch

from tribond.checkpoints.native import load_model, save_model
from tribond.checkpoints.registry import BUILT_IN_FOLDER

METADATA = {
    "level_of_theory": "PBE(+U), spin-polarised, as the Materials Project computes it (VASP); no energy corrections",
    "licence": (
        "BSD-3-Clause; continues the weights of m3gnet 0.2.4 (BSD-3-Clause, (c) 2022 Materials Virtual Lab, licence text beside "
        "this file) with data under CC BY 4.0, MIT and BSD-3, see docs/model_card.md"
    ),
    "origin": (
        "mean of 0.64 of weights that the tribond developers trained from the published ones, MP-2021.2.8-EFS of m3gnet, and "
        "0.36 of those; recipes/built_in"
    ),
    "teacher": "most structures are labelled by Nequix-OAM-1 (CC BY 4.0; trained on OMat24, sAlex, MPtrj), not by DFT",
    "citation": "doi:10.1038/s43588-022-00349-3",
}


def main() -> None:
    """Read the model, choose its metadata, write it beside the others."""
    source, version, measured = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    model, found = load_model(source, torch.float32)
    name = f"tribond-mp-{version}"
    first = next(iter(found["reference_energies"]))
    kept = {"training_data": found["training_data"], "reference_energies": {first: found["reference_energies"][first]}}
    kept["errors"] = {
        f"held-out {file} MAE": (
            f"{row['energy_meV_per_atom']:.0f} meV/atom, {row['forces_meV_per_A']:.0f} meV/Å, {row['stress_GPa']:.2f} GPa"
        )
        for file, row in json.loads((measured / "frames.json").read_text())["files"].items()
    }
    save_model(BUILT_IN_FOLDER / f"{name}.safetensors", model, {"name": name, **METADATA, **kept})


if __name__ == "__main__":
    main()
