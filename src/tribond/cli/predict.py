"""`tribond predict`: energy, forces and stress, or a property, of structures as they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import output
from tribond.cli.predictions import ENDINGS, AnyPrediction, Result, print_results, write_results
from tribond.cli.structure_files import Frame, read_frames, split_index
from tribond.errors import StructureError

if TYPE_CHECKING:
    from tribond.models.trained_model import State


def predict(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Structures in any format ASE reads. FILE@INDEX names frames of a trajectory: run.traj@0, run.traj@::10.",
        ),
    ],
    output_file: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write all predictions as .json, .extxyz or .xyz."),
    ] = None,
    index: Annotated[str, typer.Option(metavar="INDEX", help="Frames of each file: 0, -1, :, -5:, ::10.")] = ":",
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="MODEL", help="Name of a model or path of a model file.")
    ] = "default",
    state: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS", help="State input of models that have one: a category, or 0.5,1.0 and the like."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1, ... [default: cuda if there is one, else cpu]"),
    ] = None,
    dtype: Annotated[output.Precision, typer.Option(help="Precision of the model.")] = output.Precision.FLOAT64,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but notes and errors.")] = False,
) -> None:
    """Predict energy, forces and stress, or the property that the model was trained for.

    Structures are taken as they are, all frames of each file. The table gives the stress of fully periodic structures in GPa, tension positive; files give it in eV/Å³.

    Exit status: 0 all fine, 1 some failed, 2 wrong usage.
    """
    if output_file is not None:
        _check_output(output_file, files)
    trained = output.load_model(model, device, dtype)
    given = _parse_state(state, categorical=trained.config.state == "categorical")
    if (given is None) != (trained.config.state == "none"):
        said = f"needs one, which `tribond info {model}` describes" if given is None else "takes none"
        raise typer.BadParameter(f"{model} {said}", param_hint="--state")
    results: list[Result] = []
    for name in files:
        results += _predict_file(name, index, trained, given)
    if output_file is not None:
        write_results(results, trained, output_file)
    if not quiet:
        print_results(results, trained)
    if any(result.prediction is None for result in results):
        raise typer.Exit(output.FAILED)


def _check_output(path: Path, files: list[str]) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(f"{path} must end in {', '.join(ENDINGS)}", param_hint="--output")
    if path.resolve() in {split_index(name)[0].resolve() for name in files}:
        raise typer.BadParameter(f"{path} is an input; inputs are never overwritten", param_hint="--output")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file", param_hint="--output")


def _parse_state(text: str | None, *, categorical: bool) -> "State | None":
    if text is None:
        return None
    try:
        return int(text) if categorical else [float(number) for number in text.split(",")]
    except ValueError as error:
        wanted = "the number of a category" if categorical else "numbers with commas in between"
        raise typer.BadParameter(f"{text!r} must be {wanted}", param_hint="--state") from error


def _predict_file(name: str, index: str, trained: Any, state: "State | None") -> list[Result]:
    frames: list[Frame] = []
    with output.failures_reported(name) as errors:
        frames = read_frames(name, index)
    if not frames:
        return [Result(name, error=errors[0])]
    try:
        with output.quiet_libraries():
            predictions = [_finite(it) for it in trained.predict([frame.atoms for frame in frames], state=state)]
    except Exception:  # noqa: BLE001, one by one finds the culprit, reports it, and keeps the others
        return [_predict_frame(frame, trained, state) for frame in frames]
    return [Result(frame.label, frame, prediction) for frame, prediction in zip(frames, predictions, strict=True)]


def _predict_frame(frame: Frame, trained: Any, state: "State | None") -> Result:
    prediction = None
    with output.failures_reported(frame.label) as errors, output.quiet_libraries():
        prediction = _finite(trained.predict(frame.atoms, state=state)[0])
    return Result(frame.label, frame, prediction, *errors)


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
