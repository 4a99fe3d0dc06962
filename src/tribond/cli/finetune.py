"""`tribond finetune`: from a model and some data to a better model, and what it cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.evaluate import StressUnit
from tribond.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tribond.data.frames import Frame
    from tribond.models.potential import Potential

# Beyond these it is said that the model has become another one on crystals that the new data is not about.
FORGOTTEN_FORCES = 0.2  # of the mean size of forces
FORGOTTEN_ENERGY = 20.0  # meV/atom


def finetune(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="The model to start from: default, another name, or a model file.")
    ],
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA...", help="Files with structures, energies, forces and stresses, as in training."),
    ],
    output_folder: Annotated[Path, options.output("DIR", "Folder for everything.")] = Path("finetuned"),
    validation: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Data to validate with. [default: a tenth of DATA, at least 4 frames]"),
    ] = None,
    freeze: Annotated[
        str,
        typer.Option(metavar="PARTS", help="Leave these as they are: embedding, block1, block2, ..., readout; none."),
    ] = "none",
    replay: Annotated[
        int, typer.Option(min=0, metavar="N", help="Also teach N common crystals as BASE has them: it forgets less.")
    ] = 200,
    steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most steps; it stops early if nothing improves.")
    ] = 1000,
    learning_rate: Annotated[float, typer.Option(min=0, metavar="RATE", help="Of Adam, after the warm-up.")] = 5e-4,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another number, another order and split.")] = 0,
    stress_unit: Annotated[
        StressUnit,
        typer.Option(
            help="Of the stress in the files; tension is positive, but for kbar, VASP's, where it is negative."
        ),
    ] = StressUnit.EV_PER_A3,
    energy_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Energies have this name in the files.")
    ] = None,
    forces_key: Annotated[str | None, typer.Option(metavar="NAME", help="Forces have this name.")] = None,
    stress_key: Annotated[str | None, typer.Option(metavar="NAME", help="Stresses have this name.")] = None,
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    accelerator: Annotated[str, typer.Option(metavar="NAME", help="cpu, gpu or auto.")] = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew; removes the old training.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune a potential on your data, with settings that need no file.

    First the reference energies of the elements are refitted, so that the model starts on the zero of the data; then all
    weights are trained, some structures of the data being held out to stop in time; common crystals labelled by BASE are
    taught along, against forgetting. Two tables tell what came of it: errors on what was held out before and after, and
    how far the model has moved on common crystals that it was not taught.

    DIR gets finetune.yaml (the settings, for `tribond train`), data/, and what every training leaves: model.safetensors,
    logs, checkpoints. Ctrl-C saves and stops; the same command goes on.

    Exit status: 0 all fine, 1 bad data or the training diverged, 2 wrong usage, 130 interrupted.
    """
    options.check_folder(output_folder)
    reading = options.reading(format, elements)
    parts = tuple(word for word in freeze.replace(",", " ").split() if word != "none")
    target = output_folder.resolve()

    def read(files: list[str]) -> "list[Frame]":
        from tribond.data.frames import LabelKeys, read_frames

        with output.quiet_libraries():
            return read_frames(
                files,
                stress_unit=stress_unit.value,
                keys=LabelKeys(energy_key, forces_key, stress_key),
                options=reading,
                on_note=output.note,
            )

    from tribond.cli.train import train as train_by_file
    from tribond.data.frames import expand
    from tribond.reading.names import split_index
    from tribond.training.devices import launch_of
    from tribond.training.finetune import Wishes, check_target, hold_out, prepare
    from tribond.training.parts import parts_of

    if launch_of(1, 1).several:
        msg = f"fine-tuning is one process: start one; for several devices, tribond train {target / 'finetune.yaml'}"
        raise ConfigError(msg)
    check_target(target, [split_index(file)[0] for file in expand([*data, *(validation or [])])])

    potential = output.load_potential(base, "cpu", "float64")
    if unknown := [part for part in parts if part not in parts_of(potential.model)]:
        known = ", ".join(parts_of(potential.model))
        raise typer.BadParameter(f"{base} has no {', '.join(unknown)}; it has {known}", param_hint="--freeze")
    frames = _known(read(data), potential)
    train, held_out = (
        (frames, _known(read(validation), potential)) if validation else hold_out(frames, seed, output.note)
    )
    wishes = Wishes(steps, learning_rate, parts, replay, seed, accelerator)
    local = Path(base).expanduser()
    name = str(local.resolve()) if local.exists() else base
    file = prepare(potential, name, train, held_out, target, wishes, restart=restart, on_note=output.note)
    if not quiet:
        output.note(f"{len(train)} structures to train on, {len(held_out)} held out; settings are in {file}")
    train_by_file(file, restart=restart, quiet=quiet)  # a complete one shows its tables again
    tell_forgetting(potential, target, {symbol for frame in train for symbol in frame.atoms.symbols}, quiet=quiet)


# `tribond` finds the verb here without importing this file for its help.
app = options.verb(finetune)


def _known(frames: "list[Frame]", potential: "Potential") -> "list[Frame]":
    """The frames, if the model knows all of their elements.

    Raises:
        DataError: naming the first that it does not.
    """
    from tribond.graph.elements import unknown_elements

    for frame in frames:
        if unknown := unknown_elements(frame.atoms.numbers.tolist(), potential.elements):
            msg = f"{frame.origin}: the model does not know {', '.join(unknown)}, and fine-tuning cannot add elements"
            raise DataError(msg)
    return frames


def tell_forgetting(base: "Potential", folder: Path, new: set[str], *, quiet: bool) -> None:
    """How far the model has moved on common crystals that it was not taught; a note where that is far.

    Writes forgetting.json into the folder.

    Args:
        base: the model before.
        folder: of the training.
        new: elements of the new data.
        quiet: no table.
    """
    from tribond.checkpoints.registry import load_potential
    from tribond.evaluation.evaluate import evaluate_frames
    from tribond.files import write_json
    from tribond.training.finetune import on_new_zero, standing_frames

    tuned = load_potential(folder / "model.safetensors", device="cpu", dtype="float64")
    frames = on_new_zero(standing_frames(base), base, tuned)
    groups = {
        f"with {', '.join(sorted(new))}": [f for f in frames if new & set(f.atoms.symbols)],
        "of other elements": [f for f in frames if not new & set(f.atoms.symbols)],
    }
    groups = {name if len(name) < 40 else "with elements of the new data": found for name, found in groups.items()}
    columns = ["structures", "energy (meV/atom)", "forces (meV/Å)", "mean |force| (meV/Å)", "stress (GPa)"]
    table = output.plain_table("common crystals, not taught: moved by", *columns, right=columns)
    record: dict[str, Any] = {}
    far = []
    for name, chosen in groups.items():
        if not chosen:
            continue
        report = evaluate_frames(tuned, chosen, name=name)
        size = _mean_force(chosen)
        row = [getattr(report, quantity) for quantity in ("energy", "forces", "stress")]
        energy, forces, stress = (0.0 if errors is None else errors.mae for errors in row)
        numbers = {"energy_meV_per_atom": energy, "forces_meV_per_A": forces, "stress_GPa": stress}
        record[name] = {"structures": len(chosen), "mean_force_meV_per_A": size} | numbers
        table.add_row(name, str(len(chosen)), f"{energy:.1f}", f"{forces:.1f}", f"{size:.0f}", f"{stress:.2f}")
        if name == "of other elements" and (energy > FORGOTTEN_ENERGY or forces > FORGOTTEN_FORCES * size):
            far.append(f"energies by {energy:.0f} meV/atom, forces by {forces:.0f} meV/Å of {size:.0f}")
    write_json(folder / "forgetting.json", {"new_elements": sorted(new), "moved": record})
    if not quiet and record:
        terminal = output.console()
        terminal.print()
        terminal.print(table)
    for text in far:
        output.note(
            f"warning: the model has moved far on crystals that the new data is not about ({text}): use it for what it was "
            "fine-tuned for, or try --replay with more structures, --freeze embedding,block1, or a lower --learning-rate"
        )


def _mean_force(frames: "Sequence[Frame]") -> float:
    import numpy as np

    return 1000 * float(np.mean(np.abs(np.concatenate([f.forces for f in frames if f.forces is not None]))))
