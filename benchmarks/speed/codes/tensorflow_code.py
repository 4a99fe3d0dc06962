"""m3gnet, the paper's own code."""

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from queue import Queue
from threading import Thread
from typing import Any

from ase import Atoms

from benchmarks.speed.codes import BLOCKS, CUTOFF, FEATURES, MAX_L, MAX_N, SEED, THREEBODY_CUTOFF
from benchmarks.speed.labels import Labels

BATCH_SIZES = (8, 16, 32, 64)  # it leaves the choice to its user: the fastest is taken
GPA = 160.21766208  # GPa in an eV/Å³
STEPS = 1000  # more than anybody asks for


def load(checkpoint: str | None = None) -> Any:
    """The potential of a folder, or one with random weights."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf
    from m3gnet.models import M3GNet, Potential

    if checkpoint is not None:
        return Potential(M3GNet.from_dir(checkpoint))
    tf.keras.utils.set_random_seed(SEED)
    model = M3GNet(
        max_n=MAX_N,
        max_l=MAX_L,
        n_blocks=BLOCKS,
        units=FEATURES,
        cutoff=CUTOFF,
        threebody_cutoff=THREEBODY_CUTOFF,
        is_intensive=False,
    )
    return Potential(model)


def calculator(potential: Any) -> Any:
    """For ASE."""
    from m3gnet.models import M3GNetCalculator

    return M3GNetCalculator(potential=potential, compute_stress=True)


def predict_all(potential: Any, structures: Sequence[Atoms], batch_size: int) -> None:
    """Energy, forces and stress of many structures."""
    from m3gnet.graph import assemble_material_graph

    for first in range(0, len(structures), batch_size):
        graphs = [potential.graph_converter(atoms) for atoms in structures[first : first + batch_size]]
        for result in potential.get_efs_tensor(assemble_material_graph(graphs).as_tf().as_list()):
            result.numpy()


def training_step(potential: Any, structures: Sequence[Atoms], labels: Sequence[Labels]) -> Callable[[], None]:
    """A step of its trainer, which knows only whole trainings: that runs in a thread and waits after every batch."""
    import tensorflow as tf
    from m3gnet.trainers import PotentialTrainer

    go: Queue[None] = Queue()
    done: Queue[BaseException | None] = Queue()

    class Pause(tf.keras.callbacks.Callback):
        def on_batch_end(self, _batch: int, logs: Any = None) -> None:  # noqa: ARG002 - as Keras has it
            done.put(None)
            go.get()

    graphs = [potential.graph_converter(atoms) for atoms in structures]
    energies = [it.energy for it in labels]
    forces = [it.forces for it in labels]
    stresses = [GPA * it.stress for it in labels]
    trainer = PotentialTrainer(potential, tf.keras.optimizers.Adam(1e-3))

    def train() -> None:
        go.get()
        try:
            trainer.train(
                graphs * STEPS,
                energies * STEPS,
                forces * STEPS,
                stresses * STEPS,
                validation_graphs_or_structures=graphs,
                val_energies=energies,
                val_forces=forces,
                val_stresses=stresses,
                loss=tf.keras.losses.Huber(delta=0.01),
                batch_size=len(structures),
                epochs=1,
                callbacks=[Pause()],
                save_checkpoint=False,
                verbose=0,
            )
        except BaseException as error:  # noqa: BLE001 - the other thread raises it
            done.put(error)

    Thread(target=train, daemon=True).start()

    def step() -> None:
        go.put(None)
        if error := done.get():
            raise error

    return step


def versions() -> dict[str, str]:
    """What the numbers hold for."""
    return {name: version(name) for name in ("m3gnet", "tensorflow-cpu", "numpy", "ase")}
