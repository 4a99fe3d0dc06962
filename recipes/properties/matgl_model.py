"""Train MatGL's M3GNet on a split and predict its test part. Runs in MatGL's environment: it needs nothing of tribond.

    python recipes/properties/matgl_model.py task.json result.json

Its own network (defaults: 64 features, 3 blocks, weighted_atom), its own Lightning module's loss, its optimizer and schedule
(Adam, 0.001, cosine decay, over all steps), batches of 16 crystals, the weights of the best validation.
"""

import gzip
import json
import logging
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from matgl.ext.pymatgen import Structure2Graph, get_element_list
from matgl.graph.data import collate_fn_graph
from matgl.models import M3GNet
from matgl.utils.training import ModelLightningModule
from pymatgen.core import Structure

BATCH = 16


def main() -> None:
    """Read the task, train, write predictions."""
    torch.set_num_threads(1)
    logging.getLogger("matgl").setLevel(logging.ERROR)
    task = json.loads(Path(sys.argv[1]).read_text())
    with gzip.open(task["file"], "rt") as stream:
        records = json.load(stream)
    structures = [Structure.from_dict(records[row]["structure"]) for row in task["rows"]]
    labels = np.array(task["targets"])  # (rows, targets), scaled to a spread of one over the training part
    converter = Structure2Graph(get_element_list(structures), 5.0)
    items = []
    for structure, label in zip(structures, labels, strict=True):
        graph, lattice, state = converter.get_graph(structure)
        items.append((graph, lattice, torch.as_tensor(state), {"y": torch.tensor(label, dtype=torch.float32)}))
    torch.manual_seed(task["seed"])
    order = random.Random(task["seed"])
    model = M3GNet(element_types=converter.element_types, is_intensive=True, ntargets=labels.shape[1])
    train = list(task["train"])
    steps = task["epochs"] * -(-len(train) // BATCH)
    module = ModelLightningModule(model, loss="mse_loss", lr=1e-3, decay_steps=steps)
    (optimizer,), (schedule,) = module.configure_optimizers()
    started, best, kept = time.monotonic(), float("inf"), None
    for epoch in range(task["epochs"]):
        order.shuffle(train)
        module.train()
        for first in range(0, len(train), BATCH):
            loss = module.step(_batch(items, train[first : first + BATCH]))[0]["Total_Loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()  # a decay over all steps
        found = _predict(module, items, task["validation"])
        error = float(np.abs(found - labels[task["validation"]]).mean())
        if error < best:
            best, kept = error, {name: value.clone() for name, value in model.state_dict().items()}
        print(
            f"epoch {epoch + 1}: validation error {error:.4f} spreads, {time.monotonic() - started:.0f} s", flush=True
        )
    model.load_state_dict(kept)
    result = {"test": _predict(module, items, task["test"]).tolist(), "seconds": time.monotonic() - started}
    Path(sys.argv[2]).write_text(json.dumps(result))


def _batch(items: list, rows: list) -> tuple:
    """As its loader makes it, for several targets."""
    return collate_fn_graph([items[row] for row in rows], multiple_values_per_target=True)


def _predict(module: ModelLightningModule, items: list, rows: list) -> np.ndarray:
    module.eval()
    with torch.no_grad():
        parts = []
        for first in range(0, len(rows), BATCH):
            graph, lattice, state, _ = _batch(items, rows[first : first + BATCH])
            found = module(graph, lattice, state_attr=state)
            parts.append(found.reshape(-1, len(items[0][3]["y"])).numpy())
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
