"""`tribond relax`: relax structures from files, watch it live, write what came out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import output

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


@dataclass(frozen=True)
class Outcome:
    """What became of one structure."""

    label: str
    relaxation: "Relaxation | None" = None  # None if it failed
    written: list[Path] = field(default_factory=list)  # structure, trajectory, summary, plot

    @property
    def converged(self) -> bool:
        """All is well."""
        return self.relaxation is not None and self.relaxation.converged


def relax(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Structures in any format ASE reads. FILE@INDEX names frames of a trajectory: run.traj@0, run.traj@::10.",
        ),
    ],
    output_folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for all results. [default: beside each input]"),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(metavar="INDEX", help="Frames to relax of each file: 0, -1, :, -5:, ::10. [default: the last]"),
    ] = None,
    fix_cell: Annotated[
        bool, typer.Option("--fix-cell", help="Relax the atoms only. (Molecules and slabs always keep their cell.)")
    ] = False,
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
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="MODEL", help="Name of a model or path of a model file.")
    ] = "default",
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1, mps, ... [default: the model's choice]")
    ] = None,
    dtype: Annotated[
        output.Precision, typer.Option(help="float64 converges smoothly, float32 is faster.")
    ] = output.Precision.FLOAT64,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Relax structures: atoms and cell.

    Each input X.cif gives four files, which replace older ones: the structure X_relaxed.cif in the input's format,
    the way there X_relaxation.traj, a summary X_relaxation.json and a plot X_relaxation.png.

    Structures go to the nearest minimum of the energy, or of the enthalpy under pressure. Fully periodic ones relax
    atoms and cell, others (molecules, wires, slabs) their atoms only.

    Exit status: 0 all converged, 1 some failed or did not converge, 2 wrong usage.
    """
    if pressure and fix_cell:
        raise typer.BadParameter("a pressure has no effect with --fix-cell", param_hint="--pressure-GPa")
    if output_folder is not None and output_folder.exists() and not output_folder.is_dir():
        raise typer.BadParameter(f"{output_folder} is a file, not a folder", param_hint="--output")
    calculator, model_record = _load(model, device, dtype)
    settings = {
        "fmax_eV_per_A": fmax,
        "steps": steps,
        "optimizer": optimizer.value,
        "relax_cell": not fix_cell,
        "pressure_GPa": pressure,
        "fix_symmetry": fix_symmetry,
    }
    names = output.OutputNames([output.split_index(name)[0] for name in files], output_folder)
    outcomes = []
    for number, name in enumerate(files, start=1):
        frames: list[output.Frame] = []
        with output.failures_reported(name):
            frames = output.read_frames(name, index)
        if not frames:
            outcomes.append(Outcome(name))
        for frame in frames:
            if not (quiet or fix_cell):
                _note_open_axes(frame, model_record["cutoff_A"])
            outcome = Outcome(frame.label)
            with output.failures_reported(frame.label):
                count = f"{number}/{len(files)} " if len(files) > 1 else ""
                with _live(count + frame.label, quiet=quiet) as on_step:
                    targets = names.choose(frame, _endings(frame))
                    relaxation = _follow(frame, calculator, settings, targets[1], on_step)
                outcome = Outcome(frame.label, relaxation, _write(frame, relaxation, model_record, targets))
                if not quiet:
                    _note_lonely_atoms(outcome, model_record["cutoff_A"])
            outcomes.append(outcome)
    if not quiet:
        _print_outcomes(outcomes)
    if not all(outcome.converged for outcome in outcomes):
        raise typer.Exit(output.FAILED)


def _load(model: str, device: str | None, dtype: str) -> tuple["Calculator", dict[str, Any]]:
    """The calculator, and what the summary says about the model."""
    import tribond

    potential = output.load_potential(model, device, dtype)
    return tribond.Calculator(potential), output.model_record(potential)


def _note_open_axes(frame: output.Frame, cutoff: float) -> None:
    """Tell what becomes of the cell of molecules and slabs, whether or not they were declared as such."""
    import numpy as np

    atoms = frame.atoms
    if not atoms.pbc.all():
        output.note(f"{frame.label} is not periodic along all axes: relaxing its atoms, keeping its cell")
        return
    if not np.isfinite(atoms.positions).all() or atoms.cell.rank < 3:
        return  # an error that the model will explain
    fractional = np.sort(atoms.get_scaled_positions(), axis=0)
    gaps = np.diff(fractional, axis=0, append=fractional[:1] + 1).max(axis=0)  # largest empty layer along each axis
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    for axis, width in zip("abc", gaps * heights, strict=True):
        if width > cutoff:
            output.note(
                f"{frame.label} has {width:.1f} Å of vacuum along {axis}, more than the model sees across; if it is a "
                "slab or a molecule, --fix-cell keeps its cell"
            )


def _endings(frame: output.Frame) -> list[str]:
    return [
        f"_relaxed{output.unpacked(frame.path).suffix}",
        "_relaxation.traj",
        "_relaxation.json",
        "_relaxation.png",
    ]


@contextmanager
def _live(title: str, *, quiet: bool) -> Iterator["Callable[[RelaxationStep], None]"]:
    """A line on the terminal that follows the relaxation; nothing where standard error is not a terminal."""
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("[bold]{task.description}"), TextColumn("{task.fields[state]}"))
    terminal = output.console(stderr=True)
    hidden = quiet or not terminal.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=terminal, transient=True, disable=hidden) as progress:
        task = progress.add_task(escape(title), total=None, state="")

        def on_step(step: "RelaxationStep") -> None:
            volume = "" if step.volume is None else f"  volume {step.volume:.2f} Å³"
            state = f"step {step.step}  energy {step.energy:.4f} eV  fmax {step.fmax_eV_per_A:.4f} eV/Å{volume}"
            progress.update(task, state=state)

        yield on_step


def _follow(
    frame: output.Frame,
    calculator: "Calculator",
    settings: dict[str, Any],
    trajectory: Path,
    on_step: "Callable[[RelaxationStep], None]",
) -> "Relaxation":
    """Relax and write the trajectory. What runs away or is interrupted leaves its trajectory to look at."""
    from ase.io.trajectory import Trajectory

    from tribond.properties.relax import RelaxationError
    from tribond.properties.relax import relax as relax_atoms

    with output.quiet_libraries(), output.atomic_path(trajectory) as temporary, Trajectory(temporary, "w") as steps:

        def record(step: "RelaxationStep", atoms: "Atoms") -> None:
            steps.write(atoms)
            on_step(step)

        try:
            return relax_atoms(frame.atoms, calculator, on_step=record, **settings)
        except (RelaxationError, KeyboardInterrupt) as error:
            stopped: BaseException = error
    output.note(f"the steps so far are in {trajectory}")
    raise stopped


def _write(
    frame: output.Frame, relaxation: "Relaxation", model_record: dict[str, Any], targets: list[Path]
) -> list[Path]:
    """Structure, summary and plot; the trajectory is there already."""
    structure, trajectory, summary, plot = targets
    structure = output.write_structure(relaxation.final, structure, frame.format)
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
        },
    }
    output.write_json(summary, content)
    with output.atomic_path(plot) as temporary:
        _plot(relaxation, frame.label, temporary)
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


def _plot(relaxation: "Relaxation", title: str, path: Path) -> None:
    """Energy (enthalpy under pressure), fmax and volume against step; no pyplot, so no global state and no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    history = relaxation.history
    steps = [step.step for step in history]
    natoms = len(relaxation.final)
    energies = [relaxation.enthalpy(step) / natoms for step in history]
    panels = [
        ("enthalpy\n(eV/atom)" if relaxation.pressure_GPa else "energy\n(eV/atom)", energies),
        ("fmax\n(eV/Å)", [max(step.fmax_eV_per_A, 1e-8) for step in history]),  # 0 by symmetry has no logarithm
    ]
    if history[0].volume is not None:
        panels.append(("volume\n(Å³)", [step.volume or 0.0 for step in history]))
    word, color, marker = ("converged", "tab:green", "o") if relaxation.converged else ("not converged", "tab:red", "X")
    figure = Figure(figsize=(7.0, 2.0 * len(panels) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), sharex=True)
    for axis, (label, values) in zip(axes, panels, strict=True):
        axis.plot(steps, values, color="tab:blue", linewidth=1.5, marker=".", markersize=4)
        axis.plot(steps[-1:], values[-1:], color=color, marker=marker, markersize=8, linestyle="none", label=word)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.margins(y=0.12)
    for axis in (axes[0], *axes[2:]):
        axis.ticklabel_format(axis="y", useOffset=False)
    axes[1].set_yscale("log")
    axes[1].axhline(relaxation.fmax_eV_per_A, color="gray", linestyle="--", linewidth=1, label="threshold")
    axes[1].legend(loc="upper right")
    axes[-1].set_xlabel(f"step of {relaxation.optimizer}")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    moved = "atoms and cell" if relaxation.relax_cell else "atoms"
    pressure = f" at {relaxation.pressure_GPa:g} GPa" if relaxation.pressure_GPa else ""
    text = f"{title}: {word} after {relaxation.steps} steps ({moved}{pressure})"
    axes[0].set_title(text, fontsize="medium", parse_math=False)
    figure.savefig(path, dpi=150, format="png")


def _print_outcomes(outcomes: list[Outcome]) -> None:
    """One structure as a table of before and after, several as one row each."""
    only = outcomes[0].relaxation
    if len(outcomes) == 1 and only is None:
        return  # the error said it all
    if len(outcomes) == 1 and only is not None:
        _print_one(outcomes[0], only)
    else:
        _print_many(outcomes)


def _print_one(outcome: Outcome, relaxation: "Relaxation") -> None:
    from rich.markup import escape

    from tribond.units import EV_PER_A3_TO_GPA

    def stress(state: dict[str, Any]) -> float:
        return max(abs(value) for row in state["stress_eV_per_A3"] for value in row) * EV_PER_A3_TO_GPA

    terminal = output.console()
    terminal.print(f"[bold]{escape(outcome.label)}[/]: {_verdict(relaxation)}", soft_wrap=True)
    summary = relaxation.summary()
    before, after = summary["before"], summary["after"]
    table = output.plain_table("", "before", "after", right={"before", "after"})

    def row(name: str, show: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(name, show(before), show(after))

    row("energy (eV)", lambda state: f"{state['energy_eV']:.4f}")
    row("energy (eV/atom)", lambda state: f"{state['energy_eV_per_atom']:.4f}")
    if relaxation.pressure_GPa:
        row("enthalpy (eV)", lambda state: f"{state['enthalpy_eV']:.4f}")
    row("largest force (eV/Å)", lambda state: f"{state['max_force_eV_per_A']:.4f}")
    if before["stress_eV_per_A3"] is not None:
        row("largest stress (GPa)", lambda state: f"{stress(state):.3f}")
    if before["volume_A3"] is not None:
        row("volume (Å³)", lambda state: f"{state['volume_A3']:.3f}")
        row("a, b, c (Å)", lambda state: "  ".join(f"{length:.4f}" for length in state["lengths_A"]))
        row("α, β, γ (°)", lambda state: "  ".join(f"{angle:.3f}" for angle in state["angles_degree"]))
        row("space group", lambda state: state["space_group"] or "unknown")
    terminal.print(table)
    terminal.print("wrote " + ", ".join(escape(str(path)) for path in outcome.written), soft_wrap=True)


def _print_many(outcomes: list[Outcome]) -> None:
    from rich.markup import escape

    numbers = ["steps", "eV/atom", "fmax (eV/Å)", "ΔV"]
    table = output.plain_table("structure", "result", *numbers, "space group", "written", right=numbers)
    for outcome in outcomes:
        relaxation = outcome.relaxation
        if relaxation is None:
            table.add_row(escape(outcome.label), "[red]failed[/]")
            continue
        summary = relaxation.summary()
        before, after = summary["before"], summary["after"]
        change = "" if before["volume_A3"] is None else f"{after['volume_A3'] / before['volume_A3'] - 1:+.1%}"
        groups = dict.fromkeys(state["space_group"] or "" for state in (before, after))  # once, if it stayed
        table.add_row(
            escape(outcome.label),
            "[green]converged[/]" if relaxation.converged else "[yellow]not converged[/]",
            str(relaxation.steps),
            f"{after['energy_eV_per_atom']:.4f}",
            f"{after['fmax_eV_per_A']:.4f}",
            change,
            " → ".join(groups),
            escape(str(outcome.written[0])),
        )
    terminal = output.console()
    terminal.print(table)
    terminal.print(f"{sum(outcome.converged for outcome in outcomes)} of {len(outcomes)} converged")


def _verdict(relaxation: "Relaxation") -> str:
    if relaxation.converged:
        return f"[green]converged[/] after {relaxation.steps} steps"
    last = relaxation.history[-1].fmax_eV_per_A
    return (
        f"[yellow]not converged[/] after {relaxation.steps} steps: fmax {last:.4f} eV/Å, asked for "
        f"{relaxation.fmax_eV_per_A:g}; go on from the relaxed file, or allow more with --steps"
    )
