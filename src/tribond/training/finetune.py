"""Fine-tuning with few words: data split and written, replay labelled by the base model, settings chosen, and measured.

Everything is trained by `tribond.training.run.train` from a training file that is written first; whoever wants something else
changes that file.
"""

import io
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.stress import full_3x3_to_voigt_6_stress

from tribond.data.common_crystals import replay_set, standing_set
from tribond.data.frames import Frame
from tribond.data.split import reduced_formula
from tribond.errors import ConfigError, DataError
from tribond.files import write_atomically
from tribond.models.potential import Potential

logger = logging.getLogger(__name__)

HEAD = "# Written by `tribond finetune`"  # of finetune.yaml: what stands beside it is ours to replace
FILES = ("finetune.yaml", "data/train.extxyz", "data/validation.extxyz", "data/replay.extxyz")

FEW_COMPOUNDS = 10  # with fewer a split by compound would hold out all of one or nothing
HELD_OUT = 0.1  # of the frames
FEWEST_HELD_OUT = 4
MOST_HELD_OUT = 2  # times as many as wanted, since compounds differ in their number of frames
REPLAY_SHARE = 0.3  # of the structures seen
EDGE_BUDGET = 8000
VALIDATIONS = 20  # in the whole training
PATIENCE = 6


@dataclass(frozen=True)
class Wishes:
    """What may be chosen.

    Attributes:
        steps: most steps; early stopping may end before.
        learning_rate: after the warm-up.
        freeze: parts of the model that stay as they are.
        replay: structures labelled by the base model that are taught again; 0: none.
        seed: of the order of structures and of what is held out.
        accelerator: Lightning's.
    """

    steps: int = 1000
    learning_rate: float = 5e-4
    freeze: tuple[str, ...] = ()
    replay: int = 0
    seed: int = 0
    accelerator: str = "auto"


def check_target(output: Path, inputs: Sequence[Path] = ()) -> None:
    """See that nothing is overwritten that is not of an older fine-tuning.

    Args:
        output: the folder that will get finetune.yaml and data/.
        inputs: files that are to be read.

    Raises:
        ConfigError: if the folder has such files of somebody else, or an input lies in its data/.
    """
    file = output / "finetune.yaml"
    ours = file.is_file() and file.read_bytes().startswith(HEAD.encode())
    found = [name for name in FILES if (output / name).exists()]
    if found and not ours:
        msg = f"{output / found[0]} was not written by a fine-tuning, and would be replaced; choose another --output"
        raise ConfigError(msg)
    data = (output / "data").resolve()
    for path in inputs:
        if path.resolve().is_relative_to(data):
            msg = f"{path} lies in {data}, where fine-tuning writes its own files; choose another --output"
            raise ConfigError(msg)


def hold_out(
    frames: Sequence[Frame], seed: int, on_note: Callable[[str], object] = logger.warning
) -> tuple[list[Frame], list[Frame]]:
    """Frames to train on, and to validate with: by compound where there are many, else every so many frames at random.

    A compound that has far more frames than are wanted is not held out. Where the others are too few, or half of the
    compounds would be lost to the training, frames are held out at random.

    Args:
        frames: all of them.
        seed: of the choice.
        on_note: called with what the user should know.

    Raises:
        DataError: if there are too few to hold some out.
    """
    formulas = [reduced_formula(str(frame.atoms.symbols)) for frame in frames]
    sizes = Counter(formulas)
    compounds = sorted(sizes)
    random = np.random.default_rng(seed)
    count = max(FEWEST_HELD_OUT, round(HELD_OUT * len(frames)))
    if len(frames) < 2 * FEWEST_HELD_OUT:
        msg = f"{len(frames)} frames are too few to hold some out; give at least {2 * FEWEST_HELD_OUT}, or --validation"
        raise DataError(msg)
    chosen: set[str] = set()
    held = 0
    if len(compounds) >= FEW_COMPOUNDS:
        for row in random.permutation(len(compounds)).tolist():
            size = sizes[compounds[row]]
            if held < count and held + size <= MOST_HELD_OUT * count:
                chosen.add(compounds[row])
                held += size
        if held < count or len(chosen) > len(compounds) / 2:
            largest, most = sizes.most_common(1)[0]
            on_note(
                f"{count} of {len(frames)} frames are held out at random, not by compound: {most} are of {largest}; "
                "give --validation with other compounds to see how the model does on those"
            )
            chosen = set()
    outside = {index for index, formula in enumerate(formulas) if formula in chosen}
    if not chosen:
        outside = set(random.permutation(len(frames))[:count].tolist())
    train = [frame for index, frame in enumerate(frames) if index not in outside]
    return train, [frame for index, frame in enumerate(frames) if index in outside]


def labelled_by(model: Potential, structures: Sequence[Atoms], origin: str) -> list[Frame]:
    """Structures with energy, forces and stress of a model; those that it cannot describe are left out."""
    frames: list[Frame] = []
    for number, prediction in enumerate(model.predict(list(structures)) if structures else []):
        if np.isfinite(prediction.energy) and np.isfinite(prediction.forces).all():
            energy, forces, stress = prediction.energy, prediction.forces, prediction.stress
            frames.append(Frame(structures[number], energy, forces, stress, f"{origin}#{number}"))
    return frames


def as_extxyz(frames: Sequence[Frame]) -> bytes:
    """As extended XYZ with ASE's names, eV and Å."""
    images = []
    for frame in frames:
        bare = frame.atoms
        atoms = Atoms(numbers=bare.numbers, positions=bare.positions, cell=bare.cell, pbc=bare.pbc)
        known: dict[str, Any] = {} if frame.energy is None else {"energy": frame.energy}
        known |= {} if frame.forces is None else {"forces": frame.forces}
        known |= {} if frame.stress is None else {"stress": full_3x3_to_voigt_6_stress(frame.stress)}
        atoms.calc = SinglePointCalculator(atoms, **known)
        images.append(atoms)
    text = io.StringIO()
    write(text, images, format="extxyz")
    return text.getvalue().encode()


def prepare(
    base: Potential,
    base_name: str,
    train: Sequence[Frame],
    validation: Sequence[Frame],
    output: Path,
    wishes: Wishes,
    *,
    restart: bool = False,
    on_note: Callable[[str], object] = logger.warning,
) -> Path:
    """Write data and training file into a folder; into one with a training only what is there already.

    Args:
        base: the model to start from, in float64.
        base_name: its name or absolute path.
        train: new data.
        validation: new data that is held out.
        output: the folder.
        wishes: what was chosen.
        restart: the training in the folder, if there is one, will begin anew.
        on_note: called with what the user should know.

    Returns:
        The training file.

    Raises:
        DataError: if there is nothing to train on.
        ConfigError: if the folder holds a fine-tuning with other options or data, or files that are not of one.
    """
    if not train or not validation:
        msg = "fine-tuning needs structures to train on and others to validate with"
        raise DataError(msg)
    check_target(output)
    goes_on = not restart and (output / "checkpoints" / "last.ckpt").is_file()
    replay = output / "data" / "replay.extxyz"
    kept = goes_on and replay.is_file()
    taught: list[Frame] = []
    if wishes.replay and not kept:
        symbols = {symbol for frame in train for symbol in frame.atoms.symbols}
        taught = labelled_by(base, replay_set(wishes.replay, base.elements, symbols), "replay")
        if not taught:
            on_note(
                f"there is no replay: no common crystal is made of elements that {base_name} knows "
                f"({', '.join(base.elements)}), and nothing keeps it from forgetting"
            )
    has_replay = bool(wishes.replay and (kept or taught))
    files = {
        "finetune.yaml": _training_file(base_name, output.name, wishes, replay=has_replay),
        "data/train.extxyz": as_extxyz(train),
        "data/validation.extxyz": as_extxyz(validation),
    }
    if goes_on:
        for name, content in files.items():
            if not (output / name).is_file() or (output / name).read_bytes() != content:
                what = "options" if name == "finetune.yaml" else "data"
                msg = f"{output} holds a fine-tuning with other {what}; choose another --output, or use --restart"
                raise ConfigError(msg)
    if taught:
        files["data/replay.extxyz"] = as_extxyz(taught)
    if not has_replay:
        replay.unlink(missing_ok=True)  # of an older one
    for name, content in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output / name, content)
    return output / "finetune.yaml"


def _training_file(base_name: str, name: str, wishes: Wishes, *, replay: bool) -> bytes:
    sources: list[dict[str, Any]] = [{"name": "new", "files": ["data/train.extxyz"]}]
    metadata = {}
    if replay:
        share = {"share": REPLAY_SHARE, "in_validation": False}
        sources.append({"name": "replay", "files": ["data/replay.extxyz"], **share})
        metadata = {"replay": f"{wishes.replay} common crystals with the labels of {base_name}"}
    content = {
        "name": name,
        "output": ".",
        "data": {"train": sources, "validation": [{"name": "new", "files": ["data/validation.extxyz"]}]},
        "model": {"start_from": base_name, "freeze": list(wishes.freeze)},
        "steps": wishes.steps,
        "edge_budget": EDGE_BUDGET,
        "validate_every": max(1, wishes.steps // VALIDATIONS),
        "patience": PATIENCE,
        "optimizer": {
            "learning_rate": wishes.learning_rate,
            "warmup_steps": min(50, wishes.steps // 10),
            "ema_decay": 0.99,
        },
        "seed": wishes.seed,
        "accelerator": wishes.accelerator,
        "metadata": metadata,
    }
    head = f"{HEAD}; `tribond train` with this file does the same again. docs/finetuning.md\n"
    return (head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)).encode()


def standing_frames(base: Potential) -> list[Frame]:
    """The standing set of common crystals, labelled by the base model."""
    named = standing_set(base.elements)
    frames = labelled_by(base, [atoms for _, atoms in named], "common crystals")
    names = {f"common crystals#{number}": name for number, (name, _) in enumerate(named)}
    return [Frame(f.atoms, f.energy, f.forces, f.stress, names[f.origin]) for f in frames]


def on_new_zero(frames: Sequence[Frame], base: Potential, tuned: Potential) -> list[Frame]:
    """The same with their energies moved by what the reference energies were refitted by: no change of physics."""
    old = base.model.reference_energy.reference.double().cpu()
    new = tuned.model.reference_energy.reference.double().cpu()
    shift = (new - old).tolist()
    of_symbol = dict(zip(base.elements, shift, strict=True))
    moved = []
    for frame in frames:
        energy = frame.energy
        if energy is not None:
            energy += sum(of_symbol[symbol] for symbol in frame.atoms.symbols)
        moved.append(Frame(frame.atoms, energy, frame.forces, frame.stress, frame.origin))
    return moved
