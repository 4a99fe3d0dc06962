"""Everything before the first shard: the plan, and the energies of the references."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tribond.errors import ConfigError
from tribond.screening import plan as plans
from tribond.screening import settings as given
from tribond.screening.columns import FAILED, best_by, columns
from tribond.screening.filters import check_filter
from tribond.screening.hull import ENTRIES, Entry, write_entries
from tribond.screening.packing import reduced_formula
from tribond.screening.plan import Plan
from tribond.screening.sources import Labelled, Place, fingerprint, places_of, structures
from tribond.screening.works import Model


@dataclass(frozen=True)
class Screening:
    """A screening as its file says it.

    Attributes:
        settings: of the file.
        base: the folder in which the file lies; names in it start from there.
    """

    settings: given.Settings
    base: Path

    @property
    def places(self) -> list[Place]:
        """Its sources."""
        return [Place(source, self.base) for source in self.settings.sources]

    def structures(self) -> Iterator[Labelled]:
        """All structures of all sources."""
        return chain.from_iterable(structures(place) for place in self.places)

    def inputs(self) -> dict[str, str]:
        """Fingerprints of all files.

        Raises:
            ConfigError: if a name stands for nothing.
        """
        found = {f"{number} {place.title}": fingerprint(place) for number, place in enumerate(self.places)}
        if self.settings.references is not None:
            found["references"] = fingerprint(places_of(self.settings.references, self.base))
        return found


def read(path: Path) -> Screening:
    """Read and check the file of a screening.

    Raises:
        ConfigError: naming each key that is wrong, and what may stand there.
    """
    settings = given.read_settings(path)
    for number, step in enumerate(settings.steps):
        if isinstance(step, given.Filter):
            known = columns(settings.steps[:number])
            usable = [it for it in known if it.name not in {"status", "step", "failure", "error", "seconds"}]
            check_filter(step.expression, usable, f"{path}: steps.{number}.filter")
    by = best_by(settings.steps, settings.rank_by)
    numeric = [it.name for it in columns(settings.steps) if it.kind in {int, float}]
    if by is not None and by.removeprefix("-") not in numeric:
        raise ConfigError(
            f"{path}: rank_by: there is no column of numbers {by.removeprefix('-')!r}; {', '.join(numeric)}"
        )
    return Screening(settings, path.resolve().parent)


def record(settings: given.Settings) -> dict[str, Any]:
    """What results depend on, for the record of the folder: not the model's name, whose weights count, nor names of files."""
    names = {"files", "parquet", "optimade", "prototypes"}
    return settings.model_dump(
        mode="json", exclude={"model": True, "sources": {"__all__": names}, "references": {"files"}}
    )


def make_plan(folder: Path, screening: Screening, model: Model, told: Callable[[int], object]) -> Plan:
    """The plan of a folder; made if there is none.

    Args:
        folder: of the screening.
        screening: as its file says it.
        model: of the potential.
        told: called with the number of each structure; what it raises stops the work.
    """
    if (folder / plans.PLAN).exists():
        return plans.load(folder)
    return plans.make(folder, screening.settings, model, _counted(screening.structures(), told))


def _counted(found: Iterator[Labelled], told: Callable[[int], object]) -> Iterator[Labelled]:
    for number, it in enumerate(found):
        told(number)
        yield it


def make_references(plan: Plan, screening: Screening, compute: Callable[[Plan], object]) -> list[str]:
    """Energies of the references, unless they are there.

    Args:
        plan: of the screening.
        screening: as its file says it.
        compute: computes all shards of a plan.

    Returns:
        What the user should know.

    Raises:
        ConfigError: if there are none, or those of files have no energy.
    """
    wanted = screening.settings.references
    target = plan.references / ENTRIES
    if wanted is None or target.exists():
        return []
    place = places_of(wanted, screening.base)
    notes: list[str] = []
    if wanted.energies == "file":
        entries = list(_from_files(place))
    else:
        own = screening.settings.model_copy(
            update={"steps": [_step(screening.settings)], "references": None, "rank_by": None}
        )
        if (plan.references / plans.PLAN).exists():
            references = plans.load(plan.references)
        else:
            references = plans.make(plan.references, own, plan.model, structures(place))
        compute(references)
        if references.missing():
            raise ConfigError("the references are being computed by another process; start again when they are there")
        entries = list(_computed(references, notes))
    if not entries:
        raise ConfigError("references: there is none with an energy")
    write_entries(target, entries)
    return notes


def _step(settings: given.Settings) -> given.Step:
    """How references are computed: as the structures are that are compared with them."""
    if settings.references is not None and settings.references.energies == "predict":
        return next((it for it in settings.steps if isinstance(it, given.Predict)), given.Predict())
    flat = [it for it in settings.steps if isinstance(it, given.Relax) and not it.pressure_GPa]
    return flat[0].model_copy(update={"relax_cell": True, "cell_axes": None}) if flat else given.Relax()


def _from_files(place: Place) -> Iterator[Entry]:
    for label, it in structures(place):
        if isinstance(it, str):
            raise ConfigError(f"references: {label}: {it}")
        energy = None if it.calc is None else it.calc.results.get("energy")
        if energy is None:
            raise ConfigError(f"references: {label} has no energy; add it, or say `energies: relax`")
        yield Entry(label, reduced_formula(it), float(energy) / len(it))


def _computed(plan: Plan, notes: list[str]) -> Iterator[Entry]:
    from pyarrow import parquet

    names = ["label", "status", "error", "reduced_formula", "energy_eV_per_atom"]
    relaxed = "converged" in {it.name for it in plan.columns}
    for number in range(len(plan.sizes)):
        chosen = [*names, *(["converged"] if relaxed else [])]
        for row in parquet.read_table(plan.shard(number), columns=chosen).to_pylist():
            if row["status"] == FAILED:
                notes.append(f"reference {row['label']} is left out: {row['error']}")
                continue
            if row.get("converged") is False:
                notes.append(f"reference {row['label']} did not come to rest; its energy counts as it is")
            yield Entry(row["label"], row["reduced_formula"], row["energy_eV_per_atom"])
