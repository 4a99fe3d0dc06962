"""From files to a store: `tribond data build`."""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tribond.data.labels import LABELS
from tribond.data.store.columns import HEADER_BYTES, edges_column
from tribond.data.store.folder import REPORT, alone, prepare, refuse_inside
from tribond.data.store.inputs import READERS, Input, inputs_of
from tribond.data.store.record import Bad, Found, Record, make_row
from tribond.data.store.report import report_of
from tribond.data.store.settings import ReadSettings
from tribond.data.store.store import MANIFEST, Store
from tribond.data.store.unit_check import Verdict, check_units
from tribond.data.store.writer import StoreWriter
from tribond.errors import ConfigError, DataError, StructureError
from tribond.files import write_json

logger = logging.getLogger(__name__)

COMMIT_S = 5.0  # at most so much work is lost when the process is killed
COMMIT_FRAMES = 20_000  # and at most so many wait in memory
UNKNOWN = "unknown"  # level of theory
# What is left out without being an error: asked for, or no fault of the file.
EXPECTED = ("unconverged", "duplicate")

Progress = Callable[[Path, int, int, int], object]  # (file, its number, of how many, structures so far)


@dataclass(frozen=True)
class BuildSettings:
    """What the user says about a store."""

    read: ReadSettings = field(default_factory=ReadSettings)
    cutoffs: tuple[float, ...] = (5.0,)  # Å, for which bonds are counted
    duplicates: Literal["keep", "drop"] = "keep"
    on_error: Literal["stop", "skip"] = "stop"
    accept_units: bool = False  # go on though energies contradict the declared units

    def key(self, inputs: Sequence[Input]) -> dict[str, Any]:
        """All that the content of the store depends on."""
        files = [
            [str(it.path), it.kind, it.level, it.source, (about := it.path.stat()).st_size, about.st_mtime_ns]
            for it in inputs
        ]
        return {
            "read": asdict(self.read),
            "cutoffs": list(self.cutoffs),
            "duplicates": self.duplicates,
            "files": len(files),
            "digest": hashlib.sha256(json.dumps(files).encode()).hexdigest(),
        }


def build(
    path: Path,
    sources: Sequence[str],
    settings: BuildSettings | None = None,
    *,
    restart: bool = False,
    on_note: Callable[[str], object] = logger.warning,
    on_progress: Progress = lambda *_: None,
) -> Store:
    """Make a store, or go on with one that was interrupted; one that is finished is opened.

    Args:
        path: folder of the store.
        sources: files, patterns and folders, each perhaps as `LEVEL=PATH`.
        settings: how they are read.
        restart: begin anew, whatever the folder holds of a store.
        on_note: called with what the user should know.
        on_progress: called now and then.

    Raises:
        ConfigError: if the folder holds another store, something else or a source, or another process is writing there.
        DataError: if a source cannot be used, with `on_error` "stop" if one structure cannot, if nothing is left, or if
            energies contradict the declared units.
    """
    settings = settings or BuildSettings()
    settings.read.keys.check()
    columns = {edges_column(cutoff) for cutoff in settings.cutoffs if 0 < cutoff < np.inf}
    if not settings.cutoffs or len(columns) < len(settings.cutoffs):
        shown = ", ".join(map(str, settings.cutoffs))
        raise ConfigError(f"cutoffs must be numbers larger than zero, in at most six digits, each once: {shown}")
    inputs = inputs_of(sources, on_note)
    refuse_inside(path, (it.path for it in inputs))
    with alone(path):
        prepare(path, settings.key(inputs), restart=restart)
        if (path / MANIFEST).is_file():
            return Store(path)
        return _Build(path, inputs, settings, on_note, on_progress).run()


class _Build:
    """One building."""

    def __init__(
        self,
        path: Path,
        inputs: list[Input],
        settings: BuildSettings,
        on_note: Callable[[str], object],
        on_progress: Progress,
    ) -> None:
        self.path, self.inputs, self.settings = path, inputs, settings
        self.on_note, self.on_progress = on_note, on_progress
        self.writer = StoreWriter(path, settings.cutoffs)
        state = self.writer.state
        self.input: int = state.get("input", 0)  # the file that is being read
        self.taken: int = state.get("taken", 0)  # structures of it that were dealt with
        self.skipped: Counter[str] = Counter(state.get("skipped", {}))
        self.notes: list[str] = state.get("notes", [])
        self.hashes = self._hashes() if settings.duplicates == "drop" else set()
        self.committed = time.monotonic()
        self.since = 0

    def run(self) -> Store:
        """Read what is still to be read, then check and finish."""
        try:
            while self.input < len(self.inputs):
                self._read(self.inputs[self.input])
                self.input, self.taken = self.input + 1, 0
            self._commit()
            if not self.writer.frames:
                reasons = ", ".join(f"{count} {kind}" for kind, count in self.skipped.items()) or "the files are empty"
                raise DataError(
                    f"no structure is left for the store {self.path} ({reasons}); see {self.path}/skipped.jsonl"
                )
            return self._finish()
        finally:
            self.writer.close()

    def _read(self, given: Input) -> None:
        found = READERS[given.kind](given.path, self.settings.read, lambda text: self._note(f"{given.path}: {text}"))
        if self.taken:
            logger.info("going on with %s after %d structures", given.path, self.taken)
        for it in islice(found, self.taken, None):
            problem = self._take(it, given)
            if problem is not None:
                self._leave_out(problem, given)
            self.taken += 1
            self.since += 1
            if self.since >= COMMIT_FRAMES or time.monotonic() - self.committed > COMMIT_S:
                self._commit()
                self.on_progress(given.path, self.input, len(self.inputs), self.writer.frames)

    def _take(self, found: Found, given: Input) -> Bad | None:
        """Put one structure into the store, or say why not."""
        if isinstance(found, Bad):
            return found
        if all(getattr(found, label) is None for label in LABELS):
            return Bad(found.number, "it has neither energy nor forces nor stress", "unlabelled", found.id)
        try:
            row = make_row(found, self.settings.cutoffs)
        except StructureError as error:
            return Bad(found.number, str(error), id=found.id)
        if self.settings.duplicates == "drop":
            known = hash((row.columns["hash"], self._level(found, given)))
            if known in self.hashes:
                return Bad(found.number, "the same structure was there before", "duplicate", found.id)
            self.hashes.add(known)
        self.writer.add(row, level=self._level(found, given), file=str(given.path), name=found.id)
        return None

    def _level(self, found: Record, given: Input) -> str:
        return given.level or found.level or UNKNOWN

    def _leave_out(self, bad: Bad, given: Input) -> None:
        where = f"{given.path}#{bad.number}" + (f" ({bad.id})" if bad.id else "")
        if bad.kind not in EXPECTED and self.settings.on_error == "stop":
            self._commit()
            raise DataError(f"{where}: {bad.reason}. --on-error skip leaves such structures out, counts and lists them")
        self.skipped[bad.kind] += 1
        self.writer.skip(
            {"file": str(given.path), "number": bad.number, "id": bad.id, "kind": bad.kind, "reason": bad.reason}
        )

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            self.on_note(text)

    def _commit(self) -> None:
        self.writer.commit(
            {"input": self.input, "taken": self.taken, "skipped": dict(self.skipped), "notes": self.notes}
        )
        self.committed, self.since = time.monotonic(), 0

    def _hashes(self) -> set[int]:
        """Of what is there already, if the building goes on."""
        levels = list(self.writer.texts["levels"])
        hashes = np.fromfile(self.path / "hash.npy", dtype=np.uint64, offset=HEADER_BYTES)
        rows = np.fromfile(self.path / "level.npy", dtype=np.uint8, offset=HEADER_BYTES)
        return {hash((number, levels[row])) for number, row in zip(hashes.tolist(), rows.tolist(), strict=True)}

    def _finish(self) -> Store:
        manifest = self.writer.seal()
        store = Store(self.path, manifest)
        units = {str(it.path): it.unit(self.settings.read) for it in self.inputs}
        verdicts = check_units(store, units, {str(it.path): it.source for it in self.inputs})
        self._tell(verdicts)
        self._tell_unknown_levels(store)
        report = report_of(store) | {
            "skipped": dict(self.skipped),
            "notes": self.notes,
            "units": [verdict.as_json() for verdict in verdicts],
        }
        write_json(self.path / REPORT, report)
        self.writer.publish(manifest)
        return Store(self.path)

    def _tell_unknown_levels(self, store: Store) -> None:
        """Several sources that say nothing are taken for one level, and may not be."""
        if UNKNOWN not in store.levels:
            return
        of_level = np.asarray(store.column("level") == store.levels.index(UNKNOWN))
        files = store.texts("files")
        names = {files[number] for number in np.unique(store.column("file")[of_level]).tolist()}
        sources = {it.source for it in self.inputs if str(it.path) in names}
        if len(sources) > 1:
            self._note(
                f"{len(sources)} sources say nothing of their level of theory and are taken for one, with one zero of energy; "
                "name it where it is not the same: LEVEL=SOURCE"
            )

    def _tell(self, verdicts: Sequence[Verdict]) -> None:
        wrong = [verdict for verdict in verdicts if verdict.wrong]
        if wrong and not self.settings.accept_units:
            what = "; ".join(verdict.text for verdict in wrong)
            raise DataError(f"{what}. If the files are right all the same, --accept-units finishes the store as it is")
        for verdict in wrong:
            self._note(verdict.text)
