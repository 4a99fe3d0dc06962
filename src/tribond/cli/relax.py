"""`tribond relax`: relax structures from files, watch it live, write what came out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.relax_report import Outcome, plot_relaxation, print_outcomes
from tribond.cli.structure_files import BadFrame, Frame, OutputNames, read_frames, write_structure
from tribond.files import atomic_path, write_json
from tribond.reading.names import split_index, unpacked

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from tribond.properties.relax import Relaxation, RelaxationStep


class Optimizer(StrEnum):
    """The optimizers of tribond.properties.relax, known without importing ASE."""

    LBFGS = "LBFGS"
    BFGS = "BFGS"
    FIRE = "FIRE"
    FIRE2 = "FIRE2"


def relax(
    files: options.Structures,
    output_folder: Annotated[
        Path | None,
        options.output("DIR", "Folder for all results. [default: beside each input]"),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(metavar="INDEX", help="Frames to relax of each file: 0, -1, :, -5:, ::10. [default: the last]"),
    ] = None,
    fix_cell: Annotated[
        bool, typer.Option("--fix-cell", help="Relax the atoms only. (Molecules always keep their cell.)")
    ] = False,
    cell_axes: Annotated[
        str | None,
        typer.Option(
            "--cell-axes",
            metavar="AXES",
            help="Axes of the cell that may change, such as ab for a layer in a periodic box. [default: the periodic ones]",
        ),
    ] = None,
    pressure: Annotated[
        float, typer.Option("--pressure-GPa", metavar="GPA", help="Pressure from outside; compression is positive.")
    ] = 0.0,
    fmax: Annotated[
        float,
        typer.Option(
            min=1e-8,
            metavar="EV_PER_A",
            help="Converged when no force on an atom, nor the cell's (virial / number of atoms), is larger; eV/Å.",
        ),
    ] = 0.005,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Give up after so many steps.")] = 500,
    optimizer: Annotated[
        Optimizer, typer.Option(case_sensitive=False, help="ASE's optimizer; LBFGS is fast, FIRE patient.")
    ] = Optimizer.LBFGS,
    fix_symmetry: Annotated[
        bool, typer.Option("--fix-symmetry", help="Keep the space group, found to within 0.02 Å.")
    ] = False,
    model: options.Model = "default",
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    device: options.Device = None,
    dtype: Annotated[
        options.Precision, typer.Option(help="float64 converges smoothly, float32 is faster.")
    ] = options.Precision.FLOAT64,
    quiet: options.Quiet = False,
) -> None:
    """Relax structures: atoms and cell.

    Each input X.cif gives four files, which replace older ones: the structure X_relaxed.cif in the input's format,
    the way there X_relaxation.traj, a summary X_relaxation.json and a plot X_relaxation.png.

    Structures go to the nearest minimum of the energy, or of the enthalpy under pressure. Crystals relax atoms and cell,
    layers (pbc T T F) atoms and area, wires atoms and length, molecules their atoms. --fix-cell keeps the cell, as a slab
    that stands for the surface of a crystal needs; with fixed atoms layers and wires keep it by themselves.

    Exit status: 0 all converged, 1 some failed or did not converge, 2 wrong usage.
    """
    if pressure and fix_cell:
        raise typer.BadParameter("a pressure has no effect with --fix-cell", param_hint="--pressure-GPa")
    if cell_axes is not None and (fix_cell or not set(cell_axes) <= set("abc") or not cell_axes):
        wrong = (
            "it has no effect with --fix-cell" if fix_cell else f"{cell_axes!r} must be some of a, b and c, such as ab"
        )
        raise typer.BadParameter(wrong, param_hint="--cell-axes")
    if output_folder is not None:
        options.check_folder(output_folder)
    reading = options.reading(format, elements)
    calculator, model_record = _load(model, device, dtype)
    settings = {
        "fmax_eV_per_A": fmax,
        "steps": steps,
        "optimizer": optimizer.value,
        "relax_cell": not fix_cell,
        "pressure_GPa": pressure,
        "fix_symmetry": fix_symmetry,
        "cell_axes": cell_axes,
    }
    names = OutputNames([split_index(name)[0] for name in files], output_folder)
    outcomes = []
    for number, name in enumerate(files, start=1):
        frames: list[Frame | BadFrame] = []
        with output.failures_reported(name):
            frames = read_frames(name, index, reading)
        if not frames:
            outcomes.append(Outcome(name))
        for frame in frames:
            outcome = Outcome(frame.label)
            if isinstance(frame, BadFrame):
                output.report(frame.error, frame.label)
                outcomes.append(outcome)
                continue
            with output.failures_reported(frame.label):
                if not (quiet or fix_cell or cell_axes):
                    _note_open_axes(frame, model_record["cutoff_A"])
                count = f"{number}/{len(files)} " if len(files) > 1 else ""
                with _live(count + frame.label, quiet=quiet) as on_step:
                    targets = names.choose(frame, _endings(frame))
                    relaxation = _follow(frame, calculator, settings, targets[1], on_step)
                outcome = Outcome(frame.label, relaxation, _write(frame, relaxation, model_record, targets))
                if not quiet:
                    _note_lonely_atoms(outcome, model_record["cutoff_A"])
            outcomes.append(outcome)
    if not quiet:
        print_outcomes(outcomes)
    if not all(outcome.converged for outcome in outcomes):
        raise typer.Exit(output.FAILED)


def _load(model: str, device: str | None, dtype: str) -> tuple["Calculator", dict[str, Any]]:
    """The calculator, and what the summary says about the model."""
    import tribond

    potential = output.load_potential(model, device, dtype)
    return tribond.Calculator(potential), output.model_record(potential)


def _note_open_axes(frame: Frame, cutoff: float) -> None:
    """Tell what becomes of the cell of molecules and slabs, whether or not they were declared as such."""
    import numpy as np

    from tribond.graph.build import SMALLEST_RELATIVE_VOLUME
    from tribond.properties.cell_axes import own_axes

    atoms = frame.atoms
    if not atoms.pbc.all():
        periodic = "".join(axis for axis, on in zip("abc", atoms.pbc, strict=True) if on)
        axes = own_axes(atoms)
        if axes:
            what = f"{'area' if len(axes) == 2 else 'length'} along {' and '.join(axes)}"
            output.note(
                f"{frame.label} is periodic along {' and '.join(axes)} alone: relaxing its atoms and its {what}; if it is a "
                "slab of a crystal, --fix-cell keeps that crystal's lattice"
            )
        elif periodic:
            output.note(
                f"{frame.label} has fixed atoms and is not periodic along all axes: relaxing its atoms, keeping its cell "
                f"(--cell-axes {periodic} relaxes that, too)"
            )
        else:
            output.note(f"{frame.label} is not periodic along any axis: relaxing its atoms, keeping its cell")
        return
    flat = not atoms.cell.volume > SMALLEST_RELATIVE_VOLUME * np.prod(atoms.cell.lengths())  # NaN counts as flat
    if flat or not np.isfinite(atoms.positions).all():
        return  # an error that the model will explain
    fractional = np.sort(atoms.get_scaled_positions(), axis=0)
    gaps = np.diff(fractional, axis=0, append=fractional[:1] + 1).max(axis=0)  # largest empty layer along each axis
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    for axis, width in zip("abc", gaps * heights, strict=True):
        if width > cutoff:
            output.note(
                f"{frame.label} has {width:.1f} Å of vacuum along {axis}, more than the model sees across; if it is a "
                f"slab or a molecule, --fix-cell keeps its cell, and --cell-axes {'abc'.replace(axis, '')} keeps {axis}"
            )


def _endings(frame: Frame) -> list[str]:
    return [
        f"_relaxed{unpacked(frame.path).suffix}",
        "_relaxation.traj",
        "_relaxation.json",
        "_relaxation.png",
    ]


@contextmanager
def _live(title: str, *, quiet: bool) -> Iterator["Callable[[RelaxationStep], None]"]:
    """A line on the terminal that follows the relaxation; nothing where standard error is not a terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("[bold]{task.description}"), TextColumn("{task.fields[state]}"))
    terminal = output.console(stderr=True)
    hidden = quiet or not terminal.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=terminal, transient=True, disable=hidden) as progress:
        task = progress.add_task(output.shown(title), total=None, state="")

        def on_step(step: "RelaxationStep") -> None:
            volume = "" if step.volume is None else f"  volume {step.volume:.2f} Å³"
            state = f"step {step.step}  energy {step.energy:.4f} eV  fmax {step.fmax_eV_per_A:.4f} eV/Å{volume}"
            progress.update(task, state=state)

        yield on_step


def _follow(
    frame: Frame,
    calculator: "Calculator",
    settings: dict[str, Any],
    trajectory: Path,
    on_step: "Callable[[RelaxationStep], None]",
) -> "Relaxation":
    """Relax and write the trajectory. What runs away or is interrupted leaves its trajectory to look at."""
    from ase.io.trajectory import Trajectory

    from tribond.properties.relax import RelaxationError
    from tribond.properties.relax import relax as relax_atoms

    with output.quiet_libraries(), atomic_path(trajectory) as temporary, Trajectory(temporary, "w") as steps:

        def record(step: "RelaxationStep", atoms: "Atoms") -> None:
            steps.write(atoms)
            on_step(step)

        try:
            return relax_atoms(frame.atoms, calculator, on_step=record, **settings)
        except (RelaxationError, KeyboardInterrupt, SystemExit) as error:  # SystemExit: SIGTERM
            stopped: BaseException = error
    output.note(f"the steps so far are in {trajectory}")
    raise stopped


def _write(frame: Frame, relaxation: "Relaxation", model_record: dict[str, Any], targets: list[Path]) -> list[Path]:
    """Structure, summary and plot; the trajectory is there already."""
    structure, trajectory, summary, plot = targets
    structure = write_structure(relaxation.final, structure, frame.format)
    history = relaxation.history
    content = {
        "tribond_version": output.version(),
        "model": model_record,
        "input": str(frame.path),
        "frame": frame.number,
        **relaxation.summary(),
        "outputs": {"structure": structure.name, "trajectory": trajectory.name, "plot": plot.name},
        "history": {
            "step": [step.step for step in history],
            "energy_eV": [step.energy for step in history],
            "fmax_eV_per_A": [step.fmax_eV_per_A for step in history],
            "volume_A3": [step.volume for step in history],
            "area_A2": [step.area for step in history],
            "constraint_energy_eV": [step.constraint_energy for step in history],
        },
    }
    write_json(summary, content)
    with atomic_path(plot) as temporary:
        plot_relaxation(relaxation, frame.label, temporary)
    return [structure, trajectory, summary, plot]


def _note_lonely_atoms(outcome: Outcome, cutoff: float) -> None:
    """Atoms out of each other's reach feel no force: they look relaxed, but may just have flown apart."""
    import numpy as np

    from tribond.graph.neighbors import neighbor_list

    if outcome.relaxation is None:
        return
    atoms = outcome.relaxation.final
    centres, *_ = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    lonely = len(atoms) - len(np.unique(centres))
    if lonely:
        output.note(
            f"{outcome.label} ends with {lonely} of {len(atoms)} atoms without a neighbour in the model's reach of "
            f"{cutoff:g} Å: nothing holds them where they are"
        )
