"""`tribond predict`: energy, forces and stress of structures as they are."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import output
from tribond.cli.structure_files import Frame, read_frames, split_index
from tribond.errors import StructureError
from tribond.files import atomic_path

if TYPE_CHECKING:
    from tribond.potential import Potential, Prediction

ENDINGS = {".json": "json", ".extxyz": "extxyz", ".xyz": "extxyz"}


@dataclass(frozen=True)
class Result:
    """What came of one structure."""

    label: str
    frame: Frame | None = None  # None if it could not be read
    prediction: "Prediction | None" = None  # None if it failed
    error: str | None = None


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
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write energies, forces and stresses as .json, .extxyz or .xyz."
        ),
    ] = None,
    index: Annotated[str, typer.Option(metavar="INDEX", help="Frames of each file: 0, -1, :, -5:, ::10.")] = ":",
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="MODEL", help="Name of a model or path of a model file.")
    ] = "default",
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1, ... [default: cuda if there is one, else cpu]"),
    ] = None,
    dtype: Annotated[output.Precision, typer.Option(help="Precision of the model.")] = output.Precision.FLOAT64,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but notes and errors.")] = False,
) -> None:
    """Predict energy, forces and stress.

    Structures are taken as they are, all frames of each file. The table gives the stress of fully periodic structures in GPa, tension positive; files give it in eV/Å³.

    Exit status: 0 all fine, 1 some failed, 2 wrong usage.
    """
    if output_file is not None:
        _check_output(output_file, files)
    potential = output.load_potential(model, device, dtype)
    results: list[Result] = []
    for name in files:
        results += _predict_file(name, index, potential)
    if output_file is not None:
        _write(results, potential, output_file)
    if not quiet:
        _print_results(results)
    if any(result.prediction is None for result in results):
        raise typer.Exit(output.FAILED)


def _check_output(path: Path, files: list[str]) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(f"{path} must end in {', '.join(ENDINGS)}", param_hint="--output")
    if path.resolve() in {split_index(name)[0].resolve() for name in files}:
        raise typer.BadParameter(f"{path} is an input; inputs are never overwritten", param_hint="--output")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file", param_hint="--output")


def _predict_file(name: str, index: str, potential: "Potential") -> list[Result]:
    frames: list[Frame] = []
    with output.failures_reported(name) as errors:
        frames = read_frames(name, index)
    if not frames:
        return [Result(name, error=errors[0])]
    try:
        with output.quiet_libraries():
            predictions = [_finite(it) for it in potential.predict([frame.atoms for frame in frames])]
    except Exception:  # noqa: BLE001, one by one finds the culprit, reports it, and keeps the others
        return [_predict_frame(frame, potential) for frame in frames]
    return [Result(frame.label, frame, prediction) for frame, prediction in zip(frames, predictions, strict=True)]


def _predict_frame(frame: Frame, potential: "Potential") -> Result:
    prediction = None
    with output.failures_reported(frame.label) as errors, output.quiet_libraries():
        prediction = _finite(potential.predict(frame.atoms)[0])
    return Result(frame.label, frame, prediction, *errors)


def _finite(prediction: "Prediction") -> "Prediction":
    """The prediction, if it is one.

    Raises:
        StructureError: if a number in it is not finite.
    """
    import numpy as np

    if not (np.isfinite(prediction.energy) and np.isfinite(prediction.forces).all()):
        raise StructureError("the model gives no finite energy and forces here; it cannot describe this structure")
    return prediction


def _print_results(results: list[Result]) -> None:
    from rich.markup import escape

    from tribond.units import EV_PER_A3_TO_GPA

    numbers = ["atoms", "energy (eV)", "energy (eV/atom)", "fmax (eV/Å)"]
    components = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}
    titles = [f"σ {name}" for name in components]
    table = output.plain_table("structure", "formula", *numbers, *titles, right=[*numbers, *titles])
    any_stress = False
    for result in results:
        if result.frame is None or result.prediction is None:
            table.add_row(escape(result.label), "[red]failed[/]")
            continue
        energy, stress, natoms = result.prediction.energy, result.prediction.stress, len(result.frame.atoms)
        row = [str(natoms), f"{energy:.4f}", f"{energy / natoms:.4f}", f"{_fmax(result.prediction):.4f}"]
        if stress is not None:
            any_stress = True
            row += [f"{stress[axes] * EV_PER_A3_TO_GPA:.3f}" for axes in components.values()]
        table.add_row(escape(result.label), result.frame.atoms.get_chemical_formula(), *row)
    terminal = output.console()
    terminal.print(table)
    if any_stress:
        terminal.print("σ: stress in GPa, tension positive")


def _fmax(prediction: "Prediction") -> float:
    import numpy as np

    return float(np.linalg.norm(np.asarray(prediction.forces), axis=1).max())


def _write(results: list[Result], potential: "Potential", path: Path) -> None:
    if ENDINGS[path.suffix.lower()] == "json":
        structures = [_record(result) for result in results]
        record = output.model_record(potential)
        output.write_json(path, {"tribond_version": output.version(), "model": record, "structures": structures})
    else:
        _write_extxyz(results, path)


def _record(result: Result) -> dict[str, Any]:
    import numpy as np

    frame, prediction = result.frame, result.prediction
    if frame is None or prediction is None:
        return {"input": result.label, "error": result.error}
    natoms = len(frame.atoms)
    return {
        "input": str(frame.path),
        "frame": frame.number,
        "formula": frame.atoms.get_chemical_formula(),
        "num_atoms": natoms,
        "energy_eV": prediction.energy,
        "energy_eV_per_atom": prediction.energy / natoms,
        "fmax_eV_per_A": _fmax(prediction),
        "stress_eV_per_A3": None if prediction.stress is None else prediction.stress.tolist(),
        "forces_eV_per_A": np.asarray(prediction.forces).tolist(),
        "atomic_energies_eV": prediction.atomic_energies.tolist(),
    }


def _write_extxyz(results: list[Result], path: Path) -> None:
    """All structures that went well, as one trajectory that carries energy, forces and stress."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write
    from ase.stress import full_3x3_to_voigt_6_stress

    images = []
    for result in results:
        prediction = result.prediction
        if result.frame is None or prediction is None:
            continue
        atoms = result.frame.atoms.copy()
        atoms.info["source"] = result.label
        stress = {} if prediction.stress is None else {"stress": full_3x3_to_voigt_6_stress(prediction.stress)}
        atoms.calc = SinglePointCalculator(atoms, energy=prediction.energy, forces=prediction.forces, **stress)
        images.append(atoms)
    if not images:
        output.note(f"nothing to write to {path}: every structure failed")
        return
    with atomic_path(path) as temporary, output.quiet_libraries():
        write(str(temporary), images, format="extxyz")
