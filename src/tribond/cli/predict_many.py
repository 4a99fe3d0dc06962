"""`tribond predict` of many structures into a file, by a pool of processes that goes on where it was stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tribond.cli import many, output
from tribond.cli.predictions import Result, write_results
from tribond.cli.structure_files import BadFrame

if TYPE_CHECKING:
    from tribond.cli.many import Collected
    from tribond.models.ensemble import Ensemble
    from tribond.models.force_field import Spread
    from tribond.models.potential import Potential
    from tribond.models.trained_model import State
    from tribond.screening.many import Entry
    from tribond.screening.store import Store
    from tribond.screening.works import Model

MANY_ATOMS = 20_000  # below, one process is done before others have started


def predict_many(
    collected: "Collected",
    potential: "Potential | Ensemble",
    model: "Model",
    state: "State | None",
    path: Path,
    *,
    jobs: int | None,
    time_limit_s: float,
    quiet: bool,
) -> None:
    """Predict all structures, and write the file.

    What is done is kept in a folder beside it, PATH.parts, until the file is written.

    Raises:
        typer.Exit: 1 if some failed; 130 or 143 if interrupted.
    """
    import tribond
    from tribond.integrations.describe import describe_calculator
    from tribond.interrupt import Interrupted
    from tribond.results.job import open_job
    from tribond.screening.many import entries as keyed
    from tribond.screening.works import Predict

    entries = keyed(collected.structures)
    if not quiet:
        many.print_notes(collected.notes)
    folder = parts_of(path)
    way_out = f"Remove {folder}, which an interrupted call has left, or choose another --output"
    described = describe_calculator(tribond.Calculator(potential, state=state))
    try:
        with open_job(folder, "predict", {}, {}, model=described, way_out=way_out) as job:
            store, progress = many.run(
                job,
                entries,
                Predict(model, state),
                verb="predicting",
                jobs=jobs,
                device=model.device,
                time_limit_s=time_limit_s,
                quiet=quiet,
            )
            _write(path, collected, entries, store, potential, described)
            if not quiet:
                many.print_summary(entries, store, progress)
                output.console().print(f"wrote {path}", markup=False, soft_wrap=True)
            job.discard()
    except Interrupted as interruption:
        output.note(f"interrupted; the same command goes on, everything so far is in {folder}")
        raise typer.Exit(128 + interruption.signal) from interruption
    if progress.counts.get("failed"):
        raise typer.Exit(output.FAILED)


def parts_of(path: Path) -> Path:
    """Where results are kept until the file of this name is written."""
    return path.with_name(f"{path.name}.parts")


def _write(
    path: Path,
    collected: "Collected",
    entries: "list[Entry]",
    store: "Store",
    potential: "Potential | Ensemble",
    described: dict[str, Any],
) -> None:
    from tribond.models.force_field import GivesSpread
    from tribond.results.schema import PREDICTED, PREDICTED_BY_ENSEMBLE

    kind = path.suffix.lower()
    if kind in many.TABLES:
        about = {"verb": "predict", "tribond": output.version(), "model": described}
        columns = PREDICTED_BY_ENSEMBLE if isinstance(potential, GivesSpread) else PREDICTED
        many.write_table(path, entries, store, columns, about)
    elif kind == ".db":
        many.write_structures(path, entries, store)
    else:
        write_results(list(_results(collected, entries, store)), potential, path)


def _results(collected: "Collected", entries: "list[Entry]", store: "Store") -> Any:
    """As one process would have them."""
    from tribond.models.force_field import Prediction
    from tribond.screening.works import ATOMIC_ENERGIES

    for (label, frame), entry in zip(collected.frames, entries, strict=True):
        row, atoms = store.get(entry.key)
        if isinstance(frame, BadFrame) or row["status"] == "failed":
            yield Result(label, error=row["error"])
            continue
        found = atoms.calc.results
        stress = None if "stress" not in found else atoms.get_stress(voigt=False)
        with_spread = "max_force_spread_eV_per_A" in row
        spread = _spread(store, entry.key, periodic=stress is not None) if with_spread else None
        atomic = store.array(entry.key, ATOMIC_ENERGIES)
        yield Result(label, frame, Prediction(found["energy"], atomic, found["forces"], stress, spread=spread))


def _spread(store: "Store", key: str, *, periodic: bool) -> "Spread":
    from tribond.models.force_field import Spread
    from tribond.screening.works import ENERGY_STD, FORCES_STD, STRESS_STD

    energy, forces = (store.array(key, name) for name in (ENERGY_STD, FORCES_STD))
    return Spread(float(energy[0]), forces, store.array(key, STRESS_STD) if periodic else None)
