"""Write the model of a training as the built-in potential: ``python recipes/built_in/package.py MODEL VERSION``.

Weights as they are, in float32; of the metadata only what a user needs, with licences and attributions.
"""

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
    "origin": "trained by the tribond developers from the published weights MP-2021.2.8-EFS, recipes/built_in",
    "teacher": "most structures are labelled by Nequix-OAM-1 (CC BY 4.0; trained on OMat24, sAlex, MPtrj), not by DFT",
    "citation": "doi:10.1038/s43588-022-00349-3",
}


def main() -> None:
    """Read the model, choose its metadata, write it beside the others."""
    source, version = Path(sys.argv[1]), sys.argv[2]
    model, found = load_model(source, torch.float32)
    name = f"tribond-mp-{version}"
    first = next(iter(found["reference_energies"]))
    kept = {"training_data": found["training_data"], "reference_energies": {first: found["reference_energies"][first]}}
    save_model(BUILT_IN_FOLDER / f"{name}.safetensors", model, {"name": name, **METADATA, **kept})


if __name__ == "__main__":
    main()
