"""One structure of `tribond relax`: relaxed under one's eyes, from one start or several, and written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tribond.cli import output
from tribond.cli.live import Progress, live
from tribond.cli.relax_report import plot_relaxation
from tribond.cli.structure_files import Frame, write_structure
from tribond.files import atomic_path, write_json
from tribond.reading.names import unpacked

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from tribond.properties.relax_starts import Starts
    from tribond.properties.relaxation import Relaxation, RelaxationStep


def endings(frame: Frame) -> list[str]:
    """Of the files of one structure: structure, trajectory, summary, plot."""
    return [
        f"_relaxed{unpacked(frame.path).suffix}",
        "_relaxation.traj",
        "_relaxation.json",
        "_relaxation.png",
    ]


@contextmanager
def watched(title: str, *, quiet: bool) -> Iterator["Callable[..., None]"]:
    """The live view of a relaxation, which nobody knows the end of."""
    with live(title, quiet=quiet) as tell:

        def on_step(step: "RelaxationStep", which: str = "") -> None:
            volume = "" if step.volume is None else f"  volume {step.volume:.2f} Å³"
            state = f"{which}step {step.step}  energy {step.energy:.4f} eV  fmax {step.fmax_eV_per_A:.4f} eV/Å{volume}"
            tell(Progress(step.step, None, state))

        yield on_step


def follow(
    frame: Frame,
    calculator: "Calculator",
    settings: dict[str, Any],
    trajectory: Path,
    on_step: "Callable[[RelaxationStep], None]",
) -> "Relaxation":
    """Relax and write the trajectory. What runs away or is interrupted leaves its trajectory to look at."""
    from ase.io.trajectory import Trajectory

    from tribond.properties.relax import relax as relax_atoms
    from tribond.properties.relaxation import RelaxationError

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


def follow_several(
    frame: Frame,
    calculator: "Calculator",
    settings: dict[str, Any],
    starts: int,
    rattle_A: float,
    trajectory: Path,
    on_step: "Callable[..., None]",
) -> "Starts":
    """Relax from several starts. The trajectory is that of the lowest; what is interrupted leaves the last one."""
    from ase.io.trajectory import Trajectory

    from tribond.properties.relax_starts import relax_from_several
    from tribond.properties.relaxation import RelaxationError

    trajectory.parent.mkdir(parents=True, exist_ok=True)
    files: dict[int, Any] = {}
    kept: int | None = None  # the last one, if it was not to be the lowest
    with output.quiet_libraries(), TemporaryDirectory(dir=trajectory.parent, prefix=".starts-") as folder:

        def record(number: int, step: "RelaxationStep", atoms: "Atoms") -> None:
            if number not in files:
                files[number] = Trajectory(Path(folder) / f"{number}.traj", "w")
            files[number].write(atoms)
            on_step(step, f"start {number + 1} of {starts}  ")

        try:
            found = relax_from_several(frame.atoms, calculator, starts, rattle_A=rattle_A, on_step=record, **settings)
            kept = found.best.number
        except (RelaxationError, KeyboardInterrupt, SystemExit):  # SystemExit: SIGTERM
            if files:
                output.note(f"the steps of start {max(files) + 1} so far are in {trajectory}")
            raise
        finally:
            for file in files.values():
                file.close()
            if files:
                (Path(folder) / f"{max(files) if kept is None else kept}.traj").replace(trajectory)
    return found


def write_results(
    frame: Frame,
    relaxation: "Relaxation",
    model_record: dict[str, Any],
    targets: list[Path],
    starts: "Starts | None" = None,
) -> list[Path]:
    """Structure, summary and plot; the trajectory is there already."""
    from tribond.properties.relaxation import RISEN

    if relaxation.converged and relaxation.rise > RISEN:
        output.note(
            f"{frame.label} ends {relaxation.rise * 1000:.1f} meV/atom above its start: forces vanish on a maximum, "
            "too, and this is hardly the nearest minimum; --optimizer fire goes downhill"
        )
    structure, trajectory, summary, plot = targets
    structure = write_structure(relaxation.final, structure, frame.format)
    history = relaxation.history
    content = {
        "tribond_version": output.version(),
        "model": model_record,
        "input": str(frame.path),
        "frame": frame.number,
        **relaxation.summary(),
        **({} if starts is None else {"starts": starts.summary()}),
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
