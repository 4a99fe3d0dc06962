"""What all analyses of trajectories share: a folder with settings and fingerprints, and a figure of the same style."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tribond.reading.names import split_index
from tribond.results.figures import save_figure
from tribond.results.job import Job, open_job
from tribond.results.record import file_fingerprint
from tribond.simulation.motion import Motion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tribond.reading.content import Options


def analysis_job(
    folder: Path,
    verb: str,
    settings: Mapping[str, Any],
    names: Sequence[str],
    options: "Options | None",
    *,
    restart: bool,
) -> AbstractContextManager[Job]:
    """The folder of an analysis.

    Args:
        folder: of the results.
        verb: its name.
        settings: that results depend on.
        names: of trajectories; they may take frames (path@INDEX).
        options: how files are read, which results depend on, too.
        restart: begin anew.

    Raises:
        ConfigError: if it holds another one.
    """
    inputs = {name: f"{file_fingerprint(split_index(name)[0])} {split_index(name)[1] or ':'}" for name in names}
    reading = {
        "format": None if options is None else options.format,
        "elements": None if options is None or not options.elements else list(options.elements),
    }
    return open_job(folder, verb, {**settings, **reading}, inputs, restart=restart)


def about(motion: Motion) -> dict[str, Any]:
    """What the summary says about a trajectory."""
    times = motion.times_fs
    return {
        "formula": motion.atoms.get_chemical_formula(),
        "frames": len(motion.positions),
        "time_ps": None if times is None else float(times[-1] / 1000),
    }


def heading(names: Sequence[str], motion: Motion) -> str:
    """What stands above a figure."""
    more = " ..." if len(names) > 1 else ""
    return f"{names[0]}{more}, {motion.atoms.get_chemical_formula()}, {len(motion.positions)} frames"


def save(job: Job, figure: "Figure", name: str | None = None) -> None:
    """Write a figure as PNG and SVG, called like the verb if nothing else is said."""
    stem = name or job.verb
    save_figure(figure, job.file(f"{stem}.png"), job.file(f"{stem}.svg"))
