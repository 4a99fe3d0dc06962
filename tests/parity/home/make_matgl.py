"""Write small MatGL checkpoints with random weights, and the values that MatGL computes with them.

Run as `python make_matgl.py OUT_FOLDER` inside an environment with `matgl`, `ase` and either `torch_geometric`
(MatGL 3 and later) or `dgl` (MatGL before 3). One folder is written per case: the files of MatGL's own `save`, and
expected.json. The values are those of the model after MatGL's own `load` in float64 (the saved weights are float32).

MatGL before 4.1 takes positions among the bonds below the three-body cutoff for positions among all bonds. For these
versions the two cutoffs are equal here, so that every bond takes part and the positions agree.
"""

# ruff: noqa: BLE001, T201 - whatever the home code raises is noted, and a script prints

from __future__ import annotations

import json
import os
import sys
import types
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase.io import read

RELEASE = tuple(int(part) for part in version("matgl").split(".")[:3])
DGL = RELEASE < (3,)
ERA = f"matgl_{'dgl' if DGL else 'pyg'}_{version('matgl')}"


def stub_graphbolt() -> None:
    """DGL's data loader for huge graphs wants another torch; M3GNet does not need it."""

    class Stub(types.ModuleType):
        def __getattr__(self, name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    stub = Stub("dgl.graphbolt")
    stub.__path__ = []
    sys.modules["dgl.graphbolt"] = stub


os.environ["MATGL_BACKEND"] = "DGL" if DGL else "PYG"
os.environ["DGLBACKEND"] = "pytorch"
if DGL:
    stub_graphbolt()

import matgl  # noqa: E402
from matgl.apps.pes import Potential  # noqa: E402
from matgl.ext.ase import PESCalculator  # noqa: E402
from matgl.ext.pymatgen import Molecule2Graph  # noqa: E402
from matgl.models import M3GNet, TransformedTargetModel  # noqa: E402
from pymatgen.io.ase import AseAtomsAdaptor  # noqa: E402

try:
    from matgl.data.transformer import LogTransformer, Normalizer
except ImportError:  # early releases
    from matgl.models._wrappers import LogTransformer, Normalizer

# The order of the elements is part of a model: it is not the order of their atomic numbers here.
ELEMENTS = ("Si", "O", "H", "Cl", "Na")
CUTOFF, THREEBODY = (4.5, 3.5) if RELEASE >= (4, 1) else (4.0, 4.0)
BASE = {
    "element_types": ELEMENTS,
    "dim_node_embedding": 8,  # all different, so that none is taken for another
    "dim_edge_embedding": 6,
    "units": 7,
    "max_n": 2,
    "max_l": 2,
    "nblocks": 1,
    "cutoff": CUTOFF,
    "threebody_cutoff": THREEBODY,
}
TWO = {"nblocks": 2}
CATEGORY = {"ntypes_state": 4, "dim_state_embedding": 4, "include_state": True}
RAW = {"dim_state_embedding": 2, "include_state": True}
LINEAR = {"dim_state_feats": 3, "dim_state_embedding": 3, "include_state": True}
REFERENCES = [-1.5, -2.25, -0.75, -3.125, -0.5]  # one per element of ELEMENTS

# name: (model arguments, wrapper, states); a state of None is left to MatGL's default.
CASES: dict[str, tuple[dict, str, list]] = {
    "weighted_atom": ({}, "", [None]),
    "weighted_atom_category": ({**CATEGORY, **TWO}, "", [0, 2, 3]),
    "weighted_atom_raw_two_targets": ({**RAW, **TWO, "ntargets": 2}, "", [None, [0.0, 0.0], [0.7, -1.3]]),
    "weighted_atom_linear_state": (LINEAR, "", [[0.0, 0.0], [0.7, -1.3]]),
    "set2set_normalizer": ({"readout_type": "set2set", "max_l": 3}, "normalizer", [None]),
    "set2set_two_layers_category": (
        {"readout_type": "set2set", "niters_set2set": 2, "nlayers_set2set": 2, "use_smooth": True, **CATEGORY},
        "",
        [1, 3],
    ),
    "reduce_atom_classification": (
        {"readout_type": "reduce_atom", "task_type": "classification", "use_smooth": True, **TWO},
        "",
        [None],
    ),
    "weighted_atom_log": ({"max_n": 3}, "log", [None]),
    "potential_smooth": ({"is_intensive": False, "use_smooth": True, "max_n": 3, **TWO}, "potential", [None]),
    "potential_category": ({"is_intensive": False, "max_l": 3, **CATEGORY, **TWO}, "potential", [0, 2]),
}

# What a run without names writes. The rest says nothing new about its release, and would only fill the folder.
LEFT_OUT = {"weighted_atom", "weighted_atom_log"} if DGL else set()
SELECTED = ["weighted_atom"] if (3,) <= RELEASE < (3, 0, 5) else [name for name in CASES if name not in LEFT_OUT]


def build(arguments: dict, wrapper: str, states: list) -> torch.nn.Module:
    """Model with random float32 weights."""
    torch.manual_seed(20251 + len(json.dumps(arguments)) + len(wrapper))
    model = M3GNet(**{**BASE, **arguments})
    model.eval()
    if arguments.get("dim_state_feats"):  # a lazy layer gets its weights at the first call
        property_of(model, STRUCTURES[0], states[-1])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2:
                parameter.normal_(0.0, 0.3)
            elif name.endswith("embedding.weight"):
                parameter.normal_(0.0, 1.0)
            else:
                parameter.normal_(0.0, 1.6 / parameter.shape[1] ** 0.5)
    if wrapper == "potential":
        return Potential(model, data_mean=0.375, data_std=1.75, element_refs=np.array(REFERENCES))
    if wrapper == "normalizer":
        if DGL:  # the transformer then holds tensors
            return TransformedTargetModel(model, Normalizer.from_data([-2.0, 0.5, 3.0, 4.0]))
        return TransformedTargetModel(model, Normalizer(mean=-1.25, std=3.5))
    if wrapper == "log":
        return TransformedTargetModel(model, LogTransformer())
    return model


def state_tensor(state, model: torch.nn.Module) -> torch.Tensor | None:
    """State in the shape that MatGL takes for one structure: [1], or [1, n], or [n] before a linear layer."""
    if state is None:
        return None
    if isinstance(state, int):
        return torch.tensor([state])
    inner = getattr(model, "model", model)
    tensor = torch.tensor(state, dtype=matgl.float_th)
    return tensor if inner.embedding.dim_state_feats is not None else tensor[None]


def default_state(atoms) -> list[float]:
    """What MatGL's converters take for a state that is not given: zeros, or for a molecule the mass and bonds per atom."""
    if atoms.pbc.all():
        return [0.0, 0.0]
    own = atoms.copy()
    own.info.clear()
    converter = Molecule2Graph(element_types=ELEMENTS, cutoff=CUTOFF)
    return [float(value) for value in converter.get_graph(AseAtomsAdaptor.get_molecule(own))[2]]


def property_of(model: torch.nn.Module, atoms, state) -> list[float]:
    atoms = atoms.copy()
    atoms.info.clear()
    keywords = {}
    if atoms.pbc.all():
        structure = AseAtomsAdaptor.get_structure(atoms)
    else:
        structure = AseAtomsAdaptor.get_molecule(atoms)
        keywords["graph_converter"] = Molecule2Graph(element_types=ELEMENTS, cutoff=CUTOFF)
    value = model.predict_structure(structure, state_feats=state_tensor(state, model), **keywords)
    return value.detach().reshape(-1).tolist()


def energy_of(potential: torch.nn.Module, atoms, state) -> dict:
    atoms = atoms.copy()
    atoms.calc = PESCalculator(potential, state_attr=state_tensor(state, potential), stress_unit="eV/A3")
    result = {"energy": float(atoms.get_potential_energy()), "forces": atoms.get_forces().tolist()}
    if atoms.pbc.all():  # MatGL gives a molecule a unit cell of 1 Å^3, and so no meaningful stress
        result["stress"] = np.asarray(atoms.calc.results["stress"]).reshape(3, 3).tolist()
    return result


def load(folder: Path, original: torch.nn.Module, arguments: dict) -> tuple[torch.nn.Module, str]:
    """The saved model in float64: by MatGL's own load, or, if that fails, rebuilt from the same weights."""
    try:
        model = matgl.load_model(folder)
        return model.eval(), "matgl.load_model"
    except Exception as error:
        cause = error.__cause__ or error
        reason = f"{type(cause).__name__}: {str(cause).splitlines()[0].split('.')[0]}"
    model = M3GNet(**{**BASE, **arguments})
    if isinstance(original, TransformedTargetModel):
        model = TransformedTargetModel(model, original.transformer)
    if arguments.get("dim_state_feats"):
        property_of(model.eval(), STRUCTURES[0], [0.0, 0.0])
    model.load_state_dict(original.state_dict())
    return model.eval(), f"matgl.load_model fails ({reason}); the model in memory was evaluated"


def run(name: str, out: Path) -> str:
    arguments, wrapper, states = CASES[name]
    matgl.set_default_dtype("float", 32)
    original = build(arguments, wrapper, states)
    folder = out / f"{ERA}_{name}"
    original.save(folder, metadata={"description": "random weights"})
    matgl.set_default_dtype("float", 64)
    model, loaded = load(folder, original, arguments)
    results: dict[str, list] = {}
    crashes = set()
    for atoms in STRUCTURES:
        entries = []
        for state in states:
            try:
                if wrapper == "potential":
                    entry = energy_of(model, atoms, state)
                else:
                    entry = {"value": property_of(model, atoms, state)}
            except Exception as error:
                where = "default state" if state is None and "include_state" in arguments else atoms.info["name"]
                crashes.add(f"{where}: {type(error).__name__}: {str(error).splitlines()[0][:160]}")
                continue
            if state is not None:
                entry["state"] = state
            elif "include_state" in arguments:
                entry["default_state"] = default_state(atoms)
            entries.append(entry)
        if entries:
            results[atoms.info["name"]] = entries if len(states) > 1 else entries[0]
    if not results:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        return "crash: " + "; ".join(sorted(crashes))
    expected = {
        "home": f"matgl {version('matgl')}",
        "backend": f"dgl {version('dgl')}" if DGL else f"torch_geometric {version('torch_geometric')}",
        "torch": version("torch"),
        "dtype": "float64 (weights stored as float32)",
        "loaded_by": loaded,
        "cutoff_note": f"cutoff {CUTOFF}, three-body cutoff {THREEBODY}"
        + ("" if RELEASE >= (4, 1) else ": equal, so that misplaced triplets of this release cannot matter"),
        "crashes": sorted(crashes),
        "results": results,
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    note = f"loaded by {loaded}" + "".join(f"; {crash}" for crash in sorted(crashes))
    spread = [e.get("value", [e.get("energy")]) for r in results.values() for e in (r if isinstance(r, list) else [r])]
    return f"{note}\n    {[[round(v, 4) for v in values] for values in spread]}"


def main() -> None:
    out = Path(sys.argv[1])
    names = sys.argv[2:] or SELECTED
    for name in names:
        try:
            outcome = run(name, out)
        except Exception as error:
            outcome = f"crash: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        print(f"{ERA}_{name}: {outcome}", flush=True)


STRUCTURES = read(Path(__file__).with_name("structures.extxyz"), index=":")

if __name__ == "__main__":
    main()
