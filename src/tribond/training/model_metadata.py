"""What a trained model's file says about where it comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import tribond
from tribond.training.config import TrainingConfig
from tribond.training.start import Start
from tribond.training.validation import shown_errors


def model_metadata(
    config: TrainingConfig, start: Start, step: int, found: Mapping[str, float], averaged: Sequence[int]
) -> dict[str, Any]:
    """Metadata of a model file; the training file's own words come last and win.

    Args:
        config: the training file.
        start: what the training began with.
        step: steps that the model was trained for.
        found: errors of its validation, by their names in the logs.
        averaged: steps of the validations whose models it is the mean of, if it is one.
    """
    errors = {
        f"validation {name} MAE": f"{found[key]:.4g} {unit}" for name, key, unit in shown_errors("val") if key in found
    }
    sources = config.data.train
    train = start.frames.train
    counts = np.bincount(train.sources, minlength=len(sources)).tolist()
    labelled = set(train.sources[train.has("energy")].tolist())
    references = {
        source.name: dict(zip(start.model.config.elements, np.round(values, 6).tolist(), strict=True))
        for number, (source, values) in enumerate(zip(sources, start.reference_energies, strict=True))
        if number in labelled
    }
    return {
        **start.metadata,
        "name": config.name,
        "training_data": [f"{source.name}: {n} structures" for source, n in zip(sources, counts, strict=True)],
        "errors": errors,
        "steps": step,
        **({"averaged_steps": list(averaged)} if averaged else {}),
        "tribond_version": tribond.__version__,
        **config.model_dump(mode="json")["metadata"],
        "reference_energies": references,
    }
