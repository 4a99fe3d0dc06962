"""What a result says about the potential it came from, whatever calculator was used."""

import hashlib
import json
from typing import Any

import torch
from ase.calculators.calculator import Calculator as ASECalculator

from tribond.integrations.ase import Calculator
from tribond.models.ensemble import Ensemble
from tribond.models.trained_model import TrainedModel


def describe_calculator(calculator: ASECalculator) -> dict[str, Any]:
    """Name, weights and precision of the potential behind a calculator.

    Args:
        calculator: tribond's, or any other of ASE's.

    Returns:
        JSON: `name`, and of tribond's potentials `weights_sha256`, `level_of_theory`, `cutoff_A`, `dtype`, `device`,
        `state`; of other calculators their `parameters`, as far as they are numbers and words.
    """
    if not isinstance(calculator, Calculator):
        parameters = {key: value for key, value in dict(calculator.parameters).items() if _is_plain(value)}
        return {"name": type(calculator).__name__, "parameters": parameters}
    potential = calculator.potential
    found = {
        "name": type(potential).__name__,
        "cutoff_A": potential.cutoff,
        "dtype": str(potential.dtype).removeprefix("torch."),
        "device": str(potential.device),
        "state": None if calculator.state is None else torch.as_tensor(calculator.state).tolist(),
    }
    if isinstance(potential, TrainedModel | Ensemble):
        known = ("name", "level_of_theory", "energy_terms")
        found |= {key: potential.metadata[key] for key in known if key in potential.metadata}
    if isinstance(potential, TrainedModel):
        found["weights_sha256"] = weights_sha256(potential)
    if isinstance(potential, Ensemble):
        found |= {"members": potential.num_members, "weights_sha256": ensemble_sha256(potential)}
    return found


def ensemble_sha256(ensemble: Ensemble) -> str:
    """SHA-256 of the hashes of all members, in their order."""
    every = " ".join(weights_sha256(member) for member in ensemble.members)
    return hashlib.sha256(every.encode()).hexdigest()


def weights_sha256(model: TrainedModel) -> str:
    """SHA-256 of a model's config, of all its tensors in its precision, in the order of their names, and of its terms.

    Models with the same hash give the same numbers, whatever file they were loaded from.
    """
    digest = hashlib.sha256(json.dumps(model.config.to_dict(), sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for term in getattr(model, "terms", ()):
        digest.update(term.name.encode())
    return digest.hexdigest()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
