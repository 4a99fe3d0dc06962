"""Write small checkpoints of the TensorFlow package `m3gnet` with random weights, and the values it computes.

Run as `python make_tensorflow.py OUT_FOLDER` inside an environment with `m3gnet==0.2.4`, a TensorFlow with Keras 2
(2.13 to 2.15), numpy below 2 and `ase`. One folder is written per case: the files of m3gnet's own `save`, and
expected.json. The package computes in float32 throughout.
"""

# ruff: noqa: BLE001, T201 - whatever the home code raises is noted, and a script prints

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf
from ase.io import read
from m3gnet.models import M3GNet, Potential
from pymatgen.io.ase import AseAtomsAdaptor

CUTOFF, THREEBODY = 4.5, 3.5
BASE = {"units": 8, "max_n": 2, "max_l": 3, "n_blocks": 1, "cutoff": CUTOFF, "threebody_cutoff": THREEBODY}
GPA = 160.21766208  # GPa per eV/Å^3: the factor that m3gnet applies


def references() -> np.ndarray:
    """Energy of every element, by atomic number; the first entry stands for atomic number 0."""
    return np.round(np.linspace(-0.5, -6.0, 95) + 0.3 * np.sin(np.arange(95)), 4).astype("float32")


# name: (model arguments, states); a state of None is left to the model.
CASES: dict[str, tuple[dict, list]] = {
    "weighted_atom_states": (
        {"include_states": True, "n_blocks": 2, "mean": 0.75, "std": 2.5},
        [None, [0.6, -1.2]],
    ),
    "weighted_atom_20_elements": ({"readout": "weighted_atom", "n_atom_types": 20}, [None]),
    "set2set": ({"readout": "set2set", "mean": -1.5, "std": 1.25}, [None]),
    "set2set_states": ({"readout": "set2set", "include_states": True}, [None, [1.0, 0.25]]),
    "reduce_atom_classification": ({"readout": "reduce_atom", "task_type": "classification"}, [None]),
    "reduce_atom_element_refs": ({"readout": "reduce_atom", "element_refs": references()}, [None]),
    "potential_element_refs": (
        {
            "is_intensive": False,
            "element_refs": references(),
            "mean": 0.375,
            "std": 1.75,
            "max_n": 3,
            "max_l": 2,
            "n_blocks": 2,
        },
        [None],
    ),
}


def randomise(model: M3GNet, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        shape = variable.shape.as_list()
        if len(shape) < 2:
            values = generator.normal(0.0, 0.3, shape)
        elif "embeddings" in variable.name:
            values = generator.normal(0.0, 1.0, shape)
        else:
            values = generator.normal(0.0, 1.6 / np.sqrt(shape[0]), shape)
        variable.assign(values.astype("float32"))


def evaluate(model: M3GNet, atoms, state) -> dict:
    """Value of a property model, or energy, forces and stress of a potential."""
    atoms = atoms.copy()
    atoms.info.clear()
    periodic = bool(atoms.pbc.all())
    structure = AseAtomsAdaptor.get_structure(atoms) if periodic else AseAtomsAdaptor.get_molecule(atoms)
    if model.include_states:
        model.graph_converter.set_default_states(np.array([state or [0.0, 0.0]], dtype="float32"))
    if model.is_intensive:
        return {"value": np.asarray(model.predict_structure(structure)).reshape(-1).astype(float).tolist()}
    graph = model.graph_converter.convert(structure).as_tf().as_list()
    potential = Potential(model=model)  # kept alive: its compiled functions only hold a weak reference
    outputs = potential.get_efs_tensor(graph, include_stresses=periodic)
    result = {
        "energy": float(np.asarray(outputs[0]).reshape(())),
        "forces": np.asarray(outputs[1]).astype(float).tolist(),
    }
    if periodic:
        result["stress"] = (np.asarray(outputs[2])[0].astype(float) / GPA).tolist()
    return result


def run(name: str, out: Path) -> str:
    arguments, states = CASES[name]
    original = M3GNet(**{**BASE, **arguments})
    original.predict_structure(AseAtomsAdaptor.get_structure(STRUCTURES[0]))  # Keras makes the weights at a call
    randomise(original, seed=len(name))
    folder = out / f"tensorflow_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    original.save(str(folder))
    loaded = "M3GNet.from_dir"
    try:
        model = M3GNet.from_dir(str(folder))
    except Exception as error:
        model = original
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"
        loaded = f"M3GNet.from_dir fails ({reason}); the model in memory was evaluated"
    results: dict[str, object] = {}
    crashes = set()
    for atoms in STRUCTURES:
        entries = []
        for state in states:
            try:
                entry = evaluate(model, atoms, state)
            except Exception as error:
                crashes.add(f"{atoms.info['name']}: {type(error).__name__}: {str(error).splitlines()[0][:160]}")
                continue
            if state is not None:
                entry["state"] = state
            elif model.include_states:
                entry["default_state"] = [0.0, 0.0]
            entries.append(entry)
        if entries:
            results[atoms.info["name"]] = entries if len(states) > 1 else entries[0]
    expected = {
        "home": f"m3gnet {version('m3gnet')}",
        "backend": f"tensorflow {tf.__version__}, keras {version('keras')}",
        "dtype": "float32",
        "loaded_by": loaded,
        "cutoff_note": f"cutoff {CUTOFF}, three-body cutoff {THREEBODY}",
        "crashes": sorted(crashes),
        "results": results,
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    note = f"loaded by {loaded}" + "".join(f"; {crash}" for crash in sorted(crashes))
    spread = [e.get("value", [e.get("energy")]) for r in results.values() for e in (r if isinstance(r, list) else [r])]
    return f"{note}\n    {[[round(v, 4) for v in values] for values in spread]}"


def main() -> None:
    out = Path(sys.argv[1])
    names = sys.argv[2:] or list(CASES)
    for name in names:
        try:
            outcome = run(name, out)
        except Exception as error:
            outcome = f"crash: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        print(f"tensorflow_{name}: {outcome}", flush=True)


STRUCTURES = read(Path(__file__).with_name("structures.extxyz"), index=":")

if __name__ == "__main__":
    main()
