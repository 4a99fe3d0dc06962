"""How a training starts from a store of many made structures: time to the first step, memory, graphs a second.

    python -m benchmarks.data_store make FOLDER --frames 1000000     # once: a store of random crystals
    python -m benchmarks.data_store start FOLDER [--steps 20] [--workers 0] [--not-ahead] [--size 64]

The structures are rattled crystals of 1 to 64 atoms of 3 of 60 elements, with random labels: 20,000 different ones, again
and again with other energies. They are written through the same writer that `tribond data build` uses, without files in between. `start` trains a small model for some steps in a
process of its own, and says when the first step was done and how much memory was in use then.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

DIFFERENT = 20_000
ELEMENTS = np.array([*range(1, 10), *range(11, 18), *range(19, 36), *range(37, 54), *range(55, 65)])


def make(folder: Path, frames: int) -> None:
    """A store of random crystals."""
    from tribond.data.store.record import Record, make_row
    from tribond.data.store.report import report_of
    from tribond.data.store.store import Store
    from tribond.data.store.writer import StoreWriter
    from tribond.files import write_json

    folder.mkdir(parents=True, exist_ok=True)
    writer = StoreWriter(folder, (5.0,))
    began = time.perf_counter()
    random = np.random.default_rng(0)
    rows = []
    for number in range(min(frames, DIFFERENT)):
        cells = random.integers(1, 5, 3)
        grid = np.stack(np.meshgrid(*[np.arange(n) for n in cells], indexing="ij"), axis=-1).reshape(-1, 3)
        spacing = random.uniform(2.4, 3.4)
        size = len(grid)
        row = make_row(
            Record(
                number=number,
                numbers=random.choice(random.choice(ELEMENTS, 3), size),
                positions=grid * spacing + random.normal(0, 0.1, (size, 3)),
                cell=np.diag(cells * spacing),
                pbc=np.ones(3, dtype=bool),
                energy=-5.0 * size + random.normal(),
                forces=random.normal(0, 1, (size, 3)),
                stress=np.diag(random.normal(0, 0.01, 3)),
            ),
            (5.0,),
        )
        rows.append(row)
    print(f"{len(rows)} different structures made in {time.perf_counter() - began:.0f} s", flush=True)
    for number in range(frames):
        row = rows[number % len(rows)]
        columns = row.columns | {"number": number, "energy": row.columns["energy"] + random.normal()}
        writer.add(replace(row, columns=columns), level="made", file="made", name=f"made-{number // 10}")
        if (number + 1) % 20_000 == 0:
            writer.commit({})
            print(f"{number + 1} structures, {time.perf_counter() - began:.0f} s", flush=True)
    writer.commit({})
    manifest = writer.seal()
    write_json(folder / "report.json", report_of(Store(folder, manifest)))
    writer.publish(manifest)
    print(f"{frames} structures made in {time.perf_counter() - began:.0f} s")


TRAINING = """
name: start
output: run
accelerator: cpu
data:
  validation_folds: 10
  train: [{{name: made, store: {store}}}]
model: {{elements: data, settings: {{node_features: {size}, edge_features: {size}, num_blocks: {blocks}, update_hidden: [{size}], readout_hidden: [{size}]}}}}
steps: {steps}
validate_every: 1000000
edge_budget: 10000
workers: {workers}
"""

CHILD = """
import json, sys, threading, time
began = time.perf_counter()
from pathlib import Path
peak = {"VmRSS": 0, "RssAnon": 0}
def look():
    for line in Path("/proc/self/status").read_text().splitlines():
        name = line.partition(":")[0]
        if name in peak:
            peak[name] = max(peak[name], int(line.split()[1]) // 1024)
def watch():
    while True:
        look(); time.sleep(0.05)
threading.Thread(target=watch, daemon=True).start()
from tribond.training.config import TrainingConfig
from tribond.training import module as m
done = []
real = m.PotentialTraining.training_step
def step(self, batch):
    out = real(self, batch); done.append(time.perf_counter() - began)
    if len(done) == 1: peak["at first step"] = dict(peak)
    if len(done) == STEPS:
        look()
        rate = (len(done) - 1) / (done[-1] - done[0]) if len(done) > 1 else 0
        print(json.dumps({"first step after s": round(done[0], 1), "MB": peak, "CPU s": round(time.process_time(), 1), "steps/s after": round(rate, 2)}), flush=True)
        import os; os._exit(0)
    return out
m.PotentialTraining.training_step = step
from tribond.training.run import train
train(TrainingConfig.read(sys.argv[1]), Path(sys.argv[1]).parent, progress=False)
"""


def start(folder: Path, steps: int, workers: int, size: int, *, ahead: bool) -> dict[str, object]:
    """Train for some steps in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "train.yaml"
        file.write_text(
            TRAINING.format(
                store=folder.resolve(), steps=steps, workers=workers, size=size, blocks=1 if size < 64 else 3
            ),
            encoding="utf-8",
        )
        code = CHILD.replace("STEPS", str(steps))
        if not ahead:
            code = code.replace(
                "done = []", "import tribond.data.loader as l; l._ahead = lambda batches: batches; done = []"
            )
        done = subprocess.run(
            [sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True, check=True, env=os.environ
        )
        return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("make", "start"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--size", type=int, default=16, help="features of the model")
    parser.add_argument("--not-ahead", action="store_true", help="make every batch when it is asked for")
    given = parser.parse_args()
    if given.what == "make":
        make(given.folder, given.frames)
    else:
        print(json.dumps(start(given.folder, given.steps, given.workers, given.size, ahead=not given.not_ahead)))


if __name__ == "__main__":
    main()
