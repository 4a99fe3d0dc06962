"""`tribond predict`: energy, forces and stress, or a property, of structures as they are."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import many, options, output
from tribond.cli.predict_many import MANY_ATOMS, parts_of, predict_many
from tribond.cli.predictions import ENDINGS, AnyPrediction, Result, print_results, write_results
from tribond.cli.structure_files import BadFrame, Frame
from tribond.errors import StructureError
from tribond.reading.names import split_index

ENDINGS_OF_MANY = (*many.TABLES, ".db")

if TYPE_CHECKING:
    from ase import Atoms

    from tribond.models.trained_model import State


def predict(
    files: options.Structures,
    output_file: Annotated[
        Path | None,
        options.output("FILE", "Write all predictions as .json, .extxyz, .xyz, .csv, .parquet or .db."),
    ] = None,
    index: Annotated[str, typer.Option(metavar="INDEX", help="Frames of each file: 0, -1, :, -5:, ::10.")] = ":",
    model: options.Model = "default",
    state: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS",
            help="State input of models that have one: a category, or 0.5,1.0 and the like. [default: of a model of properties, what the info of each structure says]",
        ),
    ] = None,
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    device: options.Device = None,
    dtype: options.Dtype = options.Precision.FLOAT64,
    jobs: many.Jobs = None,
    time_limit: many.TimeLimit = 3600.0,
    quiet: options.Quiet = False,
) -> None:
    """Predict energy, forces and stress, or the property that the model was trained for.

    Structures are taken as they are, all frames of each file. The table gives the stress of fully periodic structures in GPa, tension positive; files give it in eV/Å³.

    Exit status: 0 all fine, 1 some failed, 2 wrong usage.
    """
    if output_file is not None:
        _check_output(output_file, files)
    reading = options.reading(format, elements)
    from tribond.models.property_model import PropertyModel
    from tribond.reading.collections import files_of
    from tribond.screening.works import Model

    if jobs is not None and output_file is None:
        raise typer.BadParameter("it takes a file for the results, --output", param_hint="--jobs")
    trained = output.load_model(model, device, dtype)
    categories = trained.state_categories if isinstance(trained, PropertyModel) else ()
    given = _parse_state(state, categorical=trained.config.state == "categorical", categories=categories)
    keys = trained.state_keys if isinstance(trained, PropertyModel) and given is None else ()
    if (given is None) != (trained.config.state == "none") and not keys:
        said = f"needs one, which `tribond info {model}` describes" if given is None else "takes none"
        raise typer.BadParameter(f"{model} {said}", param_hint="--state")
    results = [] if output_file is None else [output_file, parts_of(output_file)]
    with files_of(files, results) as found:
        collected = many.collect(found, index, reading)
    good = [frame for _, frame in collected.frames if isinstance(frame, Frame)]
    is_table = output_file is not None and output_file.suffix.lower() in ENDINGS_OF_MANY
    large = sum(len(frame.atoms) for frame in good) > MANY_ATOMS
    if output_file is not None and (is_table or large or jobs is not None):
        if isinstance(trained, PropertyModel):
            if jobs is not None or (is_table and output_file.suffix.lower() != ".csv"):
                where = f"--output {output_file}" if is_table else "--jobs"
                raise typer.BadParameter("is for potentials; this is a model of properties", param_hint=where)
        else:
            on = Model(model, str(trained.dtype).removeprefix("torch."), str(trained.device))
            wanted = jobs if jobs is not None or large else 0
            predict_many(collected, trained, on, given, output_file, jobs=wanted, time_limit_s=time_limit, quiet=quiet)
            return
    for text in collected.notes:
        output.note(text)
    predicted = _predict(collected.frames, trained, given)
    if output_file is not None:
        write_results(predicted, trained, output_file)
    if not quiet:
        print_results(predicted, trained)
    if any(result.prediction is None for result in predicted):
        raise typer.Exit(output.FAILED)


def _check_output(path: Path, files: list[str]) -> None:
    options.check_file(path, [*ENDINGS, *ENDINGS_OF_MANY], "--output", any_case=True)
    if path.resolve() in {split_index(name)[0].resolve() for name in files}:
        raise typer.BadParameter(f"{path} is an input; inputs are never overwritten", param_hint="--output")


def _parse_state(text: str | None, *, categorical: bool, categories: tuple[str, ...] = ()) -> "State | None":
    if text is None:
        return None
    if text in categories:
        return categories.index(text)
    try:
        return int(text) if categorical else [float(number) for number in text.split(",")]
    except ValueError as error:
        wanted = "the number of a category" if categorical else "numbers with commas in between"
        wanted = f"one of {', '.join(categories)}" if categories else wanted
        raise typer.BadParameter(f"{text!r} must be {wanted}", param_hint="--state") from error


def _predict(frames: list[tuple[str, Frame | BadFrame]], trained: Any, state: "State | None") -> list[Result]:
    good = iter(_predict_frames([frame for _, frame in frames if isinstance(frame, Frame)], trained, state))
    results = []
    for label, frame in frames:
        if isinstance(frame, BadFrame):
            output.report(frame.error, label)
            results.append(Result(label, error=output.describe(frame.error)))
        else:
            results.append(replace(next(good), label=label))
    return results


def _predict_frames(frames: list[Frame], trained: Any, state: "State | None") -> list[Result]:
    if not frames:
        return []
    try:
        with output.quiet_libraries():
            structures = [frame.atoms for frame in frames]
            predictions = [_finite(it) for it in trained.predict(structures, state=_states(trained, structures, state))]
    except Exception:  # noqa: BLE001, one by one finds the culprit, reports it, and keeps the others
        return [_predict_frame(frame, trained, state) for frame in frames]
    return [Result(frame.label, frame, prediction) for frame, prediction in zip(frames, predictions, strict=True)]


def _predict_frame(frame: Frame, trained: Any, state: "State | None") -> Result:
    prediction = None
    with output.failures_reported(frame.label) as errors, output.quiet_libraries():
        prediction = _finite(trained.predict([frame.atoms], state=_states(trained, [frame.atoms], state))[0])
    return Result(frame.label, frame, prediction, *errors)


def _states(trained: Any, structures: "list[Atoms]", state: "State | None") -> "State | None":
    """The state that was given, or that each structure has in its info."""
    if state is None and trained.config.state != "none":
        found: State = trained.states_of(structures)
        return found
    return state


def _finite(prediction: "AnyPrediction") -> "AnyPrediction":
    """The prediction, if it is one.

    Raises:
        StructureError: if a number in it is not finite.
    """
    import numpy as np

    from tribond.models.force_field import Prediction

    if isinstance(prediction, Prediction):
        finite = np.isfinite(prediction.energy) and np.isfinite(prediction.forces).all()
    else:
        finite = np.isfinite(prediction.value).all()
    if not finite:
        raise StructureError("the model gives no finite numbers here; it cannot describe this structure")
    return prediction
