"""The steps of a screening: what each of them makes of the rows of a shard."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase import Atoms

from tribond.graph.build import check_atoms
from tribond.results.schema import Column
from tribond.screening import settings as given
from tribond.screening import works
from tribond.screening.columns import columns
from tribond.screening.filters import passing
from tribond.screening.hull import ENTRIES, read_entries
from tribond.screening.journal import Outcome
from tribond.screening.packing import schema, table
from tribond.screening.plan import Plan


@dataclass
class Rows:
    """A shard under way.

    Attributes:
        values: of each row by column.
        structures: of each row as it is by now; None where there is none.
        active: rows that go on, in order.
    """

    values: list[dict[str, Any]]
    structures: list[Any]
    active: list[int] = field(default_factory=list)


class Step(ABC):
    """What is done with each row.

    Attributes:
        kept: whether results go into the journal: those that take time.
        batched: whether several rows are computed together, in whatever order.
    """

    kept = True
    batched = False

    def batches(self, rows: Rows, todo: Sequence[int]) -> Iterator[list[int]]:
        """Rows that are computed together; each alone if nothing else is said."""
        del rows
        for row in todo:
            yield [row]

    @abstractmethod
    def compute(self, rows: Rows, batch: Sequence[int]) -> list[Outcome]:
        """What becomes of the rows of a batch; it may raise, and then they are tried alone."""


class Deduplicate(Step):
    """Each crystal is compared with those of its composition that came before and are no duplicates themselves."""

    def __init__(self, setting: given.Deduplicate) -> None:
        from pymatgen.analysis.structure_matcher import StructureMatcher

        self._matcher = StructureMatcher(setting.ltol, setting.stol, setting.angle_tol_degree)
        self._converted: dict[int, Any] = {}

    def compute(self, rows: Rows, batch: Sequence[int]) -> list[Outcome]:  # noqa: D102
        (row,) = batch
        check_atoms(
            rows.structures[row]
        )  # what the matcher fails on fails by itself, not all that are compared with it
        if not rows.structures[row].pbc.all():
            return [Outcome()]
        formula = rows.values[row]["reduced_formula"]
        for other in rows.active:
            if other >= row:
                break
            same = rows.values[other]["reduced_formula"] == formula and rows.structures[other].pbc.all()
            if same and self._matcher.fit(self._of(rows, other), self._of(rows, row)):
                return [Outcome({"duplicate_of": rows.values[other]["number"]})]
        return [Outcome()]

    def _of(self, rows: Rows, row: int) -> Any:
        if row not in self._converted:
            from pymatgen.io.ase import AseAtomsAdaptor

            self._converted[row] = AseAtomsAdaptor.get_structure(_bare(rows.structures[row]))
        return self._converted[row]


def _bare(atoms: Atoms) -> Atoms:
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


class Predict(Step):
    """Energies, forces and stress, in batches."""

    batched = True

    def __init__(self, setting: given.Predict, model: works.Model) -> None:
        self._work = works.Predict(model, batch_atoms=setting.batch_atoms)

    def batches(self, rows: Rows, todo: Sequence[int]) -> Iterator[list[int]]:  # noqa: D102
        batch: list[int] = []
        size = 0
        for row in todo:
            atoms = len(rows.structures[row])
            if batch and size + atoms > self._work.batch_atoms:
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += atoms
        if batch:
            yield batch

    def compute(self, rows: Rows, batch: Sequence[int]) -> list[Outcome]:  # noqa: D102
        found = self._work(tuple(rows.structures[row] for row in batch))
        return [Outcome(_without(it.row)) for it in found]


class Relax(Step):
    """Relaxations."""

    def __init__(self, setting: given.Relax, model: works.Model) -> None:
        settings = setting.model_dump(exclude={"kind"})
        self._work = works.Relax(model, tuple(sorted(settings.items())))

    def compute(self, rows: Rows, batch: Sequence[int]) -> list[Outcome]:  # noqa: D102
        (row,) = batch
        (found,) = self._work((rows.structures[row],))
        values = _without(found.row) | {"converged": found.row["status"] == "converged"}
        before, after = values["initial_volume_A3"], values["volume_A3"]
        if before and after:
            values["volume_change_percent"] = 100 * (after / before - 1)
        return [Outcome(values, found.atoms)]


def _without(row: dict[str, Any]) -> dict[str, Any]:
    """The values of a work, but for the status and the time, which are the screening's."""
    return {name: value for name, value in row.items() if name not in {"status", "seconds"}}


class BulkModulus(Step):
    """By an equation of state or from elastic constants."""

    def __init__(self, setting: given.BulkModulus, model: works.Model) -> None:
        self._setting, self._model = setting, model

    def compute(self, rows: Rows, batch: Sequence[int]) -> list[Outcome]:  # noqa: D102
        (row,) = batch
        calculator = works.calculator(self._model)
        setting = self._setting
        if setting.method == "elastic":
            from tribond.properties.elastic import elasticity

            summary = elasticity(rows.structures[row], calculator, fmax_eV_per_A=setting.fmax_eV_per_A).summary()
            moduli = {"bulk_modulus_GPa": summary["bulk_modulus_GPa"]}
            return [Outcome(moduli | {"shear_modulus_GPa": summary["shear_modulus_GPa"]})]
        from tribond.properties.eos import equation_of_state

        found = equation_of_state(
            rows.structures[row],
            calculator,
            volume_range=setting.volume_range,
            points=setting.points,
            relax_shape=setting.relax_shape,
            fmax_eV_per_A=setting.fmax_eV_per_A,
        ).summary()
        return [Outcome({"bulk_modulus_GPa": found["B0_GPa"], "bulk_modulus_error_GPa": found["B0_error_GPa"]})]


class Compared(Step):
    """Formation energies, or energies above the hull."""

    kept = False

    def __init__(self, kind: str, entries: Path) -> None:
        self._kind, self._references = kind, read_entries(entries)

    def compute(self, rows: Rows, batch: Sequence[int]) -> list[Outcome]:  # noqa: D102
        (row,) = batch
        atoms, energy = rows.structures[row], rows.values[row]["energy_eV"]
        if self._kind == "formation_energy":
            return [Outcome({"formation_energy_eV_per_atom": self._references.formation_energy(atoms, energy)})]
        above, phases = self._references.above_hull(atoms, energy)
        return [Outcome({"above_hull_eV_per_atom": above, "decomposition": phases})]


class Filter(Step):
    """Rows for which the expression is not true leave."""

    kept = False

    def __init__(self, setting: given.Filter, known: Sequence[Column]) -> None:
        self._expression, self._known = setting.expression, known

    def batches(self, rows: Rows, todo: Sequence[int]) -> Iterator[list[int]]:  # noqa: D102
        del rows
        if todo:
            yield list(todo)

    def compute(self, rows: Rows, batch: Sequence[int]) -> list[Outcome]:  # noqa: D102
        numbered = (Column("row", int, "of the shard"), *self._known)
        values = [rows.values[row] | {"row": row} for row in batch]
        passed = passing(self._expression, table(values, schema(numbered, structures=False)))
        return [Outcome({"passed": row in passed}) for row in batch]


def make(plan: Plan) -> list[Step]:
    """The steps of a plan, for one shard; potentials and references are loaded once in each process."""
    found: list[Step] = []
    for number, step in enumerate(plan.settings.steps):
        match step:
            case given.Deduplicate():
                found.append(Deduplicate(step))
            case given.Predict():
                found.append(Predict(step, plan.model))
            case given.Relax():
                found.append(Relax(step, plan.model))
            case given.BulkModulus():
                found.append(BulkModulus(step, plan.model))
            case given.Filter():
                found.append(Filter(step, columns(plan.settings.steps[:number])))
            case _:
                found.append(Compared(step.kind, plan.references / ENTRIES))
    return found
