"""Many structures at once: read from files, folders and archives, computed by a pool of processes, written as tables."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.cli.structure_files import BadFrame, Frame, frames_and_notes
from tribond.errors import StructureError
from tribond.files import atomic_path
from tribond.reading.names import split_index

if TYPE_CHECKING:
    from ase import Atoms

    from tribond.reading.collections import Files
    from tribond.reading.content import Options
    from tribond.results.job import Job
    from tribond.results.schema import Column
    from tribond.screening.many import Entry, Progress
    from tribond.screening.store import Store
    from tribond.screening.works import Work

TABLES = (".csv", ".parquet")
STRUCTURES = (".extxyz", ".xyz", ".db")
STORE = "results.db"
SHOWN = 5  # notes and failures of each kind on the terminal; the table has all

Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Processes for many structures, of one thread each. [default: all cores]"),
]
TimeLimit = Annotated[
    float,
    typer.Option(
        "--time-limit-s", min=0.1, metavar="S", help="Give up a structure after so long, where there are many."
    ),
]


@dataclass(frozen=True)
class Collected:
    """Structures of all inputs, good and bad.

    Attributes:
        frames: label and structure, or label and what is wrong with it.
        notes: what the user should know about files, in words.
    """

    frames: list[tuple[str, Frame | BadFrame]]
    notes: list[str]

    @property
    def structures(self) -> "list[tuple[str, Atoms | str]]":
        """Label and structure, or label and error."""
        return [
            (label, output.describe(it.error) if isinstance(it, BadFrame) else it.atoms) for label, it in self.frames
        ]


def collect(files: "Files", index: str | None, reading: "Options") -> Collected:
    """Read all structures. What cannot be read stands among them with its error."""
    found = Collected([(_shown(name), BadFrame(name, error)) for name, error in files.bad], list(files.notes))
    with output.quiet_libraries():
        for name, label in zip(files.names, files.labels, strict=True):
            path = str(split_index(name)[0])
            plain = _shown(str(split_index(label)[0]))
            try:
                frames, notes = frames_and_notes(name, index, reading)
            except Exception as error:  # noqa: BLE001, not silenced: it stands in the table, and the exit status says so
                found.frames.append((_shown(label), BadFrame(label, _about(error, path, plain))))
                continue
            for frame in frames:
                called = frame.label.replace(path, plain, 1)
                if isinstance(frame, Frame):
                    found.frames.append((called, replace(frame, path=Path(plain))))
                else:
                    found.frames.append((called, BadFrame(called, _about(frame.error, path, plain))))
            found.notes.extend(f"{plain}{text.replace(path, plain)}" for text in notes)
    return found


def _about(error: Exception, path: str, plain: str) -> Exception:
    """The error, without the folder where an archive lies unpacked for a while."""
    text = output.describe(error)
    return error if path == plain or path not in text else StructureError(text.replace(path, plain))


def _shown(name: str) -> str:
    """A name as one line of UTF-8: results hold it, and names of files may hold anything."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def may_exceed(files: "Files", index: str | None, number: int) -> bool:
    """Whether there may be more structures than so many, as far as names tell."""
    return (
        len(files.names) > number
        or not files.beside
        or any(":" in (split_index(it)[1] or index or "") for it in files.names)
    )


def print_notes(notes: Sequence[str]) -> None:
    """The first few of each kind; of a thousand files with the same remark nobody reads all."""
    kinds: Counter[str] = Counter()
    for text in notes:
        kind = text.rpartition(":")[2][:40]
        kinds[kind] += 1
        if kinds[kind] <= SHOWN:
            output.note(text)
    hidden = sum(max(0, count - SHOWN) for count in kinds.values())
    if hidden:
        output.note(f"and {hidden} more notes like these")


def run(
    job: "Job",
    entries: "list[Entry]",
    work: "Work",
    *,
    verb: str,
    jobs: int | None,  # 0: this process
    device: str,
    time_limit_s: float,
    quiet: bool,
) -> "tuple[Store, Progress]":
    """Compute what is not in the job's folder yet, and say live how it goes.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM; what is done is kept.
        PoolError: if the processes cannot work at all.
    """
    from tribond.cli import live
    from tribond.interrupt import stop_requests
    from tribond.screening.many import compute
    from tribond.screening.pool import cores
    from tribond.screening.store import Store

    processes = (cores() if device == "cpu" else 1) if jobs is None else jobs
    with (
        Store(job.file(STORE)) as store,
        live.live(f"{verb} {len(entries)} structures", quiet=quiet) as tell,
        stop_requests("this second") as request,
    ):
        watch = _Watch()

        def on_progress(progress: "Progress") -> None:
            request.obey()
            tell(live.Progress(progress.done_atoms, progress.total_atoms, watch.state(progress)))

        found = compute(
            entries,
            work,
            store,
            jobs=min(processes, max(1, len(entries))),
            time_limit_s=time_limit_s,
            on_progress=on_progress,
        )
    return store, found


class _Watch:
    """Counts and rate in words."""

    def __init__(self) -> None:
        from time import monotonic

        self._now, self._start = monotonic, monotonic()

    def state(self, progress: "Progress") -> str:
        seconds = self._now() - self._start
        rate = (progress.done - progress.before) / seconds if seconds > 1 else 0.0
        each = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
        counts = ", ".join(f"{count} {status}" for status, count in progress.counts.items())
        return f"{progress.done} of {progress.total}, {each}" + (f": {counts}" if counts else "")


def write_table(
    path: Path, entries: "Sequence[Entry]", store: "Store", columns: "Sequence[Column]", about: dict[str, Any]
) -> None:
    """One row a structure, in the order of the inputs."""
    from tribond.results.tables import write_rows

    rows = store.by_key()
    write_rows(path, (rows[entry.key] | {"label": entry.label} for entry in entries), columns, about)


def write_structures(path: Path, entries: "Sequence[Entry]", store: "Store") -> int:
    """All structures that have a result, with what the inputs held besides, as one extended XYZ file or ASE database.

    Returns:
        How many.
    """
    from ase.db import connect
    from ase.io.extxyz import write_extxyz

    count = 0
    with atomic_path(path) as temporary, output.quiet_libraries():
        if path.suffix == ".db":
            with connect(str(temporary), type="db", append=False) as database:
                for row, atoms in _results(entries, store):
                    pairs, data = (atoms.info.pop(name, None) or {} for name in ("key_value_pairs", "data"))
                    words = {**pairs, "label": _word(row["label"]), "status": row["status"]}
                    database.write(
                        atoms, key_value_pairs=words, data={**dict(data), "info": _plain(atoms.info), "row": row}
                    )
                    count += 1
            return count
        with temporary.open("w", encoding="utf-8") as file:
            for row, atoms in _results(entries, store):
                atoms.info["label"], atoms.info["status"] = row["label"], row["status"]
                write_extxyz(file, [atoms])
                count += 1
    return count


def _results(entries: "Sequence[Entry]", store: "Store") -> "Iterator[tuple[dict[str, Any], Atoms]]":
    from ase.calculators.singlepoint import SinglePointCalculator

    for entry in entries:
        row, computed = store.get(entry.key)
        if row["status"] == "failed":
            continue
        atoms = entry.atoms.copy()
        for name in ("forces", "energies", "stress", "energy"):  # results of somebody else that came with the input
            atoms.arrays.pop(name, None)
            atoms.info.pop(name, None)
        atoms.cell[:] = computed.cell.array
        atoms.positions[:] = computed.positions
        # Not the calculator itself: to ASE, results of atoms without magnetic moments or charges are not those of atoms with.
        if computed.calc is not None:
            atoms.calc = SinglePointCalculator(atoms, **computed.calc.results)
        yield row | {"label": entry.label}, atoms


def _plain(info: Mapping[str, Any]) -> dict[str, Any]:
    """What the input said of the structure, as far as a database of ASE's can hold it."""
    import numpy as np
    from ase.db.core import bytes_to_object, object_to_bytes

    found = {}
    for name, value in info.items():
        bare = value.item() if isinstance(value, np.generic) else value
        with suppress(Exception):  # objects of somebody's own
            bytes_to_object(object_to_bytes(bare))
            found[str(name)] = bare
    return found


def _word(text: str) -> str:
    """The name of a file that ASE takes for text: it refuses what looks like a number or a truth, even with a space behind."""
    from ase.db.core import str_represents

    return f"./{text}" if any(str_represents(text, kind) for kind in (bool, int, float)) else text


def print_summary(entries: "Sequence[Entry]", store: "Store", progress: "Progress") -> None:
    """How many came out how, and the first failures of each kind."""
    terminal = output.console()
    shown: Counter[str] = Counter()
    rows = store.by_key()
    for entry in entries:
        row = rows[entry.key]
        if row["status"] == "failed":
            shown[row["failure"]] += 1
            if shown[row["failure"]] <= SHOWN:
                output.console(stderr=True).print(
                    f"[bold red]failed:[/] {output.shown(entry.label)}: {output.shown(row['error'])}", soft_wrap=True
                )
    hidden = sum(max(0, count - SHOWN) for count in shown.values())
    if hidden:
        output.note(f"and {hidden} more failures; the table has all of them")
    counts = ", ".join(f"{count} {status}" for status, count in progress.counts.items())
    terminal.print(f"{progress.total} structures: {counts}", markup=False)


def check_name(path: str, endings: Sequence[str], hint: str) -> str:
    """A name of a result inside the folder.

    Raises:
        typer.BadParameter: for a path elsewhere or a wrong ending.
    """
    options.check_file(Path(path), endings, hint)
    if Path(path).name != path:
        raise typer.BadParameter(f"{path} must be a name alone; --output chooses the folder", param_hint=hint)
    if path == STORE:
        raise typer.BadParameter(
            f"{path} is where results are kept while they come; choose another name", param_hint=hint
        )
    return path


def note_others(entries: "Sequence[Entry]", store: "Store") -> None:
    """Say so where the folder has results of structures that are not among these."""
    if others := len(store) - sum(entry.key in store for entry in entries):
        output.note(f"{STORE} holds {others} more structures of earlier calls, which are not in the other files")
