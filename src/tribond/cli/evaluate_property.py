"""`tribond evaluate` for models of properties."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tribond.cli import output
from tribond.cli.train_property import print_property_errors
from tribond.errors import DataError

if TYPE_CHECKING:
    from tribond.data.property_table import PropertyTable
    from tribond.models.property_model import PropertyModel
    from tribond.reading.content import Options

# Parameters of the verb that say nothing about the other kind of model.
OF_POTENTIALS = (
    *("frames", "seed", "labels", "stress_unit", "energy_key", "forces_key", "stress_key", "virial_key"),
    *("max_force", "max_stress", "predictions"),
)
OF_PROPERTIES = ("structure", "key")


def refuse_options(context: typer.Context, *, of_properties: bool) -> None:
    """See that no option was given that would be ignored.

    Args:
        context: of the verb.
        of_properties: whether the model predicts properties, and not energy and forces.

    Raises:
        typer.BadParameter: naming the options.
    """
    names = OF_POTENTIALS if of_properties else OF_PROPERTIES
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name != "DEFAULT"]
    if given:
        kinds = ("potentials", "a model of properties") if of_properties else ("models of properties", "a potential")
        hint = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise typer.BadParameter(f"is for {kinds[0]}; this is {kinds[1]}", param_hint=hint)


def evaluate_properties(
    model: "PropertyModel",
    files: list[str],
    folder: Path,
    *,
    structure: str,
    given: list[str],
    reading: "Options",
    quiet: bool,
) -> None:
    """Compare the model with the properties in some files, all of them together.

    Args:
        model: to be measured.
        files: tables or files of structures, with the keys that the model was trained with.
        folder: for summary.json, predictions.csv and the picture.
        structure: the column of tables with structures.
        given: keys of the targets, where they are not those of the training.
        reading: format of files of structures, and elements of types.
        quiet: print nothing but notes.
    """
    from tribond.evaluation.property_files import write_property_report
    from tribond.evaluation.property_metrics import predict_table

    table = _known(model, _read(model, files, structure, given, reading))
    results = predict_table(model, table)
    record: dict[str, Any] = {
        "tribond_version": output.version(),
        "model": output.model_record(model),
        "settings": {"files": files, "structure": structure},
    }
    with output.quiet_libraries():
        errors = write_property_report(results, model, folder, record, title=str(model.metadata.get("name", "model")))
    if not quiet:
        print_property_errors(errors)
        output.console().print(f"wrote {folder}", markup=False, soft_wrap=True)


def _read(
    model: "PropertyModel", files: list[str], structure: str, given: list[str], reading: "Options"
) -> "PropertyTable":
    from tribond.data.property_table import StateColumns, TargetColumn, read_property_table

    stated = model.metadata.get("property")
    targets = stated.get("targets") if isinstance(stated, dict) else None
    if targets is None:
        targets = [{"name": target.name} for target in model.targets]
    keys = given or [str(it.get("key") or it.get("name")) for it in targets]
    if len(keys) != len(targets):
        raise typer.BadParameter(f"{len(keys)} names for {len(targets)} targets", param_hint="--key")
    state = StateColumns(model.state_keys, model.state_categories) if model.state_keys else None
    if model.config.state != "none" and state is None:
        raise typer.BadParameter("its file does not say where data has its state input", param_hint="MODEL")
    logs = model.config.target_is_log
    is_log = [logs] * len(keys) if isinstance(logs, bool) else list(logs)
    columns = [TargetColumn(key, log, model.classes) for key, log in zip(keys, is_log, strict=True)]
    with output.quiet_libraries():
        return read_property_table(files, columns, state=state, structure=structure, options=reading, bad_rows="skip")


def _known(model: "PropertyModel", table: "PropertyTable") -> "PropertyTable":
    """The rows whose elements the model knows."""
    import numpy as np

    numbers = set(model.config.atomic_numbers)
    known = np.array([numbers.issuperset(atoms.numbers.tolist()) for atoms in table.structures])
    if not known.all():
        output.note(
            f"{int((~known).sum())} of {len(table)} structures left out: the model does not know their elements"
        )
    if not known.any():
        msg = f"no structure is left to evaluate: the model knows {', '.join(model.elements)}"
        raise DataError(msg)
    return table.take(known)
