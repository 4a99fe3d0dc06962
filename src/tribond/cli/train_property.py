"""`tribond train` for models of properties: training, test, tables and pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from tribond.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tribond.data.property_table import PropertyTable
    from tribond.evaluation.property_metrics import ClassErrors, PropertyResults, TargetErrors
    from tribond.models.property_model import PropertyModel
    from tribond.training.property_config import PropertyTrainingConfig
    from tribond.training.property_run import PropertyResult


def train_properties(settings: "PropertyTrainingConfig", folder: Path, *, restart: bool, quiet: bool) -> None:
    """Train, and report on what was held out; of a cross-validation on all folds together."""
    from tribond.training.cross_validation import cross_validate
    from tribond.training.property_run import train_property

    if settings.cross_validation is None:
        result = train_property(settings, folder, restart=restart, progress=not quiet)
        _report(settings, result, quiet=quiet)
        return
    tested: list[PropertyResults] = []
    models: list[PropertyModel] = []

    def collect(part: "PropertyTrainingConfig", result: "PropertyResult") -> None:
        model, found = _report(part, result, quiet=quiet)
        models.append(model)
        if found is not None:
            tested.append(found)

    cross_validate(settings, folder, collect, restart=restart, progress=not quiet)
    if tested:
        from tribond.evaluation.property_metrics import joined

        target = folder / Path(settings.output).expanduser() / "test"
        errors = _write(joined(tested), models[0], target, f"{settings.name}: {len(tested)} folds")
        if not quiet:
            output.console().print(f"\ntest, all {len(tested)} folds together:", markup=False)
            print_property_errors(errors)
            output.console().print(f"wrote {target}", markup=False, soft_wrap=True)


def _report(
    settings: "PropertyTrainingConfig", result: "PropertyResult", *, quiet: bool
) -> "tuple[PropertyModel, PropertyResults | None]":
    """Errors on the validation and test data; the results of the test."""
    from tribond.checkpoints.registry import load

    model = cast("PropertyModel", load(result.model_file, device="cpu" if settings.accelerator == "cpu" else None))
    terminal = output.console()
    if not quiet:
        terminal.print(f"wrote {result.model_file}", markup=False, soft_wrap=True)
    tested = None
    for name, table in (("validation", result.validation), ("test", result.test)):
        if table is None:
            continue
        found, errors = _evaluate(model, table, result.output / name, f"{settings.name}: {name}")
        tested = found if name == "test" else tested
        if not quiet:
            terminal.print(f"\n{name}, {len(table)} structures:", markup=False)
            print_property_errors(errors)
            terminal.print(f"wrote {result.output / name}", markup=False, soft_wrap=True)
    if result.validation is None and result.test is None and not quiet:
        output.note("nothing was held out: the model is that of the last step, and its errors are not known")
    return model, tested


def _evaluate(
    model: "PropertyModel", table: "PropertyTable", folder: Path, title: str
) -> "tuple[PropertyResults, list[TargetErrors | ClassErrors]]":
    from tribond.evaluation.property_metrics import predict_table

    results = predict_table(model, table)
    return results, _write(results, model, folder, title)


def _write(
    results: "PropertyResults", model: "PropertyModel", folder: Path, title: str
) -> "list[TargetErrors | ClassErrors]":
    from tribond.evaluation.property_files import write_property_report

    record = {"tribond_version": output.version(), "model": output.model_record(model)}
    with output.quiet_libraries():
        return write_property_report(results, model, folder, record, title=title)


def print_property_errors(errors: "Sequence[TargetErrors | ClassErrors]") -> None:
    """Print one row a target."""
    from tribond.evaluation.property_metrics import ClassErrors, TargetErrors

    numbers = [it for it in errors if isinstance(it, TargetErrors)]
    classes = [it for it in errors if isinstance(it, ClassErrors)]
    terminal = output.console()
    if numbers:
        columns = ["MAE", "RMSE", "R²", "MAE of the mean", "compared"]
        logs = ["MAE of ln", "R² of ln"] if any(it.log_mae is not None for it in numbers) else []
        table = output.plain_table("target", *columns, *logs, right=[*columns, *logs])
        for it in numbers:
            unit = f" ({it.target.unit})" if it.target.unit else ""
            row = [f"{it.mae:.4g}", f"{it.rmse:.4g}", _plain(it.r2), f"{it.trivial_mae:.4g}", str(it.count)]
            table.add_row(
                output.shown(it.target.name + unit), *row, *[_plain(it.log_mae), _plain(it.log_r2)][: len(logs)]
            )
        terminal.print(table)
    if classes:
        columns = ["accuracy", "balanced", "AUC", "cross entropy", "most frequent", "compared"]
        table = output.plain_table("target", *columns, right=columns)
        for of in classes:
            values = (of.accuracy, of.balanced_accuracy, of.auc, of.cross_entropy, of.trivial_accuracy)
            table.add_row(output.shown(of.target.name), *map(_plain, values), str(of.count))
        terminal.print(table)


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
