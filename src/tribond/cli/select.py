"""`tribond select`: the structures of a pool that are worth a label, for active learning."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.files import atomic_path

if TYPE_CHECKING:
    from tribond.interrupt import StopRequest
    from tribond.models.ensemble import Ensemble
    from tribond.models.potential import Potential
    from tribond.reading.content import Options
    from tribond.results.job import Job
    from tribond.screening.scored_pool import ScoredPool
    from tribond.screening.selection import Selection

MOST_SHOWN = 20  # rows of the table on the terminal; the file has all


def select(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="POOL...", help="Structures to choose from, all frames of each file, in any usual format."
        ),
    ],
    number: Annotated[int, typer.Option("--number", "-n", min=1, metavar="N", help="How many to choose.")],
    output_file: Annotated[
        Path, options.output("FILE", "The chosen structures, .extxyz; a table goes beside it, .csv.")
    ] = Path("selected.extxyz"),
    model: options.Model = "default",
    known: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Structures that have labels already, such as the training data; may be repeated."
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="M",
            help="Choose among the M most uncertain, and no others. [default: ten times N, and more while too few of these differ]",
        ),
    ] = None,
    min_distance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="D",
            help="Leave out what is closer than this to known or chosen ones. [default: a tenth of the median distance between neighbours among the known]",
        ),
    ] = None,
    max_force_spread: Annotated[
        float | None,
        typer.Option(
            "--max-force-spread-eV-per-A",
            metavar="X",
            help="Leave out structures beyond: so strange that their label would teach little.",
        ),
    ] = None,
    keep_labels: Annotated[
        bool,
        typer.Option("--keep-labels", help="Keep energies and forces of the pool: they are labels, and not a model's."),
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew what an interrupted call has left.")] = False,
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    device: options.Device = None,
    dtype: options.Dtype = options.Precision.FLOAT32,
    quiet: options.Quiet = False,
) -> None:
    """Choose structures of a pool that are worth a label.

    With an ensemble, among the structures whose forces have the largest spread; of these, one after the other, the one that is
    farthest from all that is known or chosen, by the mean of the features of its atoms. With a single model, by that distance
    alone. The same call gives the same choice.

    What a call that was interrupted has done is in FILE.parts, and the same call goes on.

    Exit status: 0 all fine, 1 nothing can be chosen, 2 wrong usage, 130 or 143 interrupted.
    """
    options.check_file(output_file, [".extxyz", ".xyz"], "--output")
    reading = options.reading(format, elements)
    from tribond.data.frames import expand
    from tribond.interrupt import Interrupted
    from tribond.reading.names import split_index
    from tribond.results.job import open_job
    from tribond.results.record import file_fingerprint

    trained = output.load_force_field(model, device, dtype)
    if trained.config.state != "none":
        raise typer.BadParameter(f"{model} needs a state input, which this verb cannot give", param_hint="--model")
    pool, known_files = expand(files), expand(known or [])
    if output_file.resolve() in {split_index(name)[0].resolve() for name in [*pool, *known_files]}:
        raise typer.BadParameter(f"{output_file} is an input; inputs are never overwritten", param_hint="--output")
    described = _described(trained)
    for value, option in ((max_force_spread, "--max-force-spread-eV-per-A"), (candidates, "--candidates")):
        if value is not None and not described["spread"]:
            raise typer.BadParameter("it is for ensembles; this is one model", param_hint=option)
    inputs = {name: f"{name} {file_fingerprint(split_index(name)[0])}" for name in [*pool, *known_files]}
    settings = {"pool": pool, "known": known_files, "format": format, "elements": elements}
    folder = output_file.with_name(f"{output_file.name}.parts")
    way_out = f"Remove {folder}, which an interrupted call has left, or begin anew with --restart"
    try:
        with open_job(
            folder, "select", settings, inputs, model=described["model"], restart=restart, way_out=way_out
        ) as job:
            _check_table(output_file)
            found, others = _scored(pool, known_files, trained, job, reading, quiet=quiet)
            chosen, beyond = _choose(found, others, trained, number, candidates, min_distance, max_force_spread)
            rows = _write(output_file, pool, found, chosen, reading, keep_labels=keep_labels)
            if not quiet:
                _tell(rows, found, others, chosen, beyond, number)
                terminal = output.console()
                terminal.print(
                    f"wrote {output_file} and {output_file.with_suffix('.csv')}", markup=False, soft_wrap=True
                )
            job.discard()
    except Interrupted as interruption:
        output.note(f"interrupted; the same command goes on, everything so far is in {folder}")
        raise typer.Exit(128 + interruption.signal) from interruption


# `tribond` finds the verb here without importing this file for its help.
app = options.verb(select)


def _described(trained: "Potential | Ensemble") -> dict[str, Any]:
    import tribond
    from tribond.integrations.describe import describe_calculator
    from tribond.models.ensemble import Ensemble

    return {"model": describe_calculator(tribond.Calculator(trained)), "spread": isinstance(trained, Ensemble)}


def _check_table(path: Path) -> None:
    table = path.with_suffix(".csv")
    if table.is_dir():
        raise typer.BadParameter(f"{table} is a folder, and the table goes there", param_hint="--output")


def _scored(
    pool: list[str],
    known: list[str],
    trained: "Potential | Ensemble",
    job: "Job",
    reading: "Options",
    *,
    quiet: bool,
) -> "tuple[ScoredPool, ScoredPool | None]":
    """Scores of the pool, and of what is known."""
    from tribond.cli.live import Progress, live
    from tribond.interrupt import stop_requests
    from tribond.screening.scored_pool import score_files

    def scored(stem: str, names: list[str], stop: "StopRequest") -> "ScoredPool":
        with live(f"{stem}: {output.count(len(names), 'file')}", quiet=quiet) as tell:

            def on_chunk(file: int, done: int) -> None:
                tell(Progress(file, len(names), f"{done} structures, {names[file]}"))
                stop.obey()

            return score_files(
                names, trained, job, stem=stem, options=reading, with_spread=stem == "pool", on_chunk=on_chunk
            )

    with stop_requests("these structures") as stop, output.quiet_libraries():
        return scored("pool", pool, stop), scored("known", known, stop) if known else None


def _choose(
    found: "ScoredPool",
    others: "ScoredPool | None",
    trained: "Potential | Ensemble",
    number: int,
    candidates: int | None,
    min_distance: float | None,
    max_force_spread: float | None,
) -> "tuple[Selection, int]":
    """What is chosen, as indices into the scores, and how many were beyond the bound."""
    from dataclasses import replace

    import numpy as np

    from tribond.models.ensemble import Ensemble
    from tribond.screening.selection import select as choose

    spreads = found.scores.force_spreads if isinstance(trained, Ensemble) else None
    within = np.arange(len(found.numbers))
    if spreads is not None and max_force_spread is not None:
        within = within[spreads <= max_force_spread]
    chosen = choose(
        found.scores.descriptors[within],
        number,
        spreads=None if spreads is None else spreads[within],
        known=None if others is None else others.scores.descriptors,
        candidates=candidates,
        min_distance=min_distance,
    )
    return replace(chosen, chosen=within[chosen.chosen]), len(found.numbers) - len(within)


def _write(
    path: Path, pool: list[str], found: "ScoredPool", chosen: "Selection", reading: "Options", *, keep_labels: bool
) -> list[dict[str, Any]]:
    """The structures and the table; its rows.

    Raises:
        StructureError: if nothing was chosen.
    """
    import numpy as np
    from ase.io.extxyz import write_extxyz

    from tribond.data.labels import without_labels
    from tribond.errors import StructureError
    from tribond.reading.names import split_index
    from tribond.results.tables import cell
    from tribond.screening.scored_pool import fetch

    if not len(chosen.chosen):
        raise StructureError("nothing is left to choose: every structure is near a known one or beyond the bound")
    places = [(int(found.files[it]), int(found.numbers[it])) for it in chosen.chosen]
    with output.quiet_libraries():
        structures = fetch(pool, places, reading)
    rows = []
    for place, index, distance in zip(places, chosen.chosen, chosen.distances, strict=True):
        scores = {
            "max_force_spread_eV_per_A": float(found.scores.force_spreads[index]),
            "energy_std_eV_per_atom": float(found.scores.energy_stds[index]),
            "distance": float(distance),
        }
        atoms = structures[place]
        rows.append(
            {
                "structure": f"{split_index(pool[place[0]])[0]}@{place[1]}",
                "formula": atoms.get_chemical_formula(),
                "num_atoms": len(atoms),
                **{name: value if np.isfinite(value) else None for name, value in scores.items()},
            }
        )
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for place, row in zip(places, rows, strict=True):
            atoms = structures[place] if keep_labels else without_labels(structures[place])
            atoms.info["source"] = row["structure"]
            atoms.info |= {name: row[name] for name in list(row)[3:] if row[name] is not None}
            write_extxyz(file, [atoms])
    with atomic_path(path.with_suffix(".csv")) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([cell(value) for value in row.values()] for row in rows)
    return rows


def _tell(
    rows: list[dict[str, Any]],
    found: "ScoredPool",
    others: "ScoredPool | None",
    chosen: "Selection",
    beyond: int,
    wanted: int,
) -> None:
    """A table of what was chosen, and how many were left out and why."""
    for it in (found, others):
        if it is not None and it.num_wrong:
            for text in it.wrong:
                output.note(f"left out: {text}")
            if it.num_wrong > len(it.wrong):
                output.note(f"and {it.num_wrong - len(it.wrong)} more that cannot be used")
    columns = ("atoms", "max force spread (eV/Å)", "energy std (eV/atom)", "distance")
    table = output.plain_table("structure", "formula", *columns, right=columns)
    for row in rows[:MOST_SHOWN]:
        numbers = [row["max_force_spread_eV_per_A"], row["energy_std_eV_per_atom"], row["distance"]]
        shown = ["" if number is None else f"{number:.4f}" for number in numbers]
        table.add_row(output.shown(row["structure"]), row["formula"], str(row["num_atoms"]), *shown)
    terminal = output.console()
    terminal.print(table)
    if len(rows) > MOST_SHOWN:
        terminal.print(f"and {len(rows) - MOST_SHOWN} more in the table", markup=False)
    known = "" if others is None else f"; {chosen.near_known} like one of {len(others.numbers)} known ones"
    strange = f"; {beyond} beyond the bound on the spread" if beyond else ""
    terminal.print(
        f"{len(rows)} of {found.total} structures, out of {chosen.candidates} candidates{known}{strange}; "
        f"least distance {chosen.min_distance:.3g}",
        markup=False,
        soft_wrap=True,
    )
    if len(rows) < wanted:
        everything = chosen.candidates + chosen.near_known + beyond == len(found.numbers)
        output.note(
            f"{len(rows)} instead of {wanted}: all other candidates are nearer to these than the least distance"
            + ("" if everything else "; a larger --candidates looks at more")
        )
