"""What `tribond relax` says beside its results: open axes, vacuum, atoms out of reach, results that it replaces."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tribond.cli import output
from tribond.cli.relax_report import Outcome
from tribond.cli.structure_files import Frame


def note_replaced(targets: Sequence[Path], settings: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Say that results of an earlier relaxation will be replaced, and how it was another one.

    Args:
        targets: structure, trajectory, summary and plot.
        settings: of this relaxation.
        model: its record.
    """
    there = [path.name for path in targets if path.exists()]
    if not there:
        return
    text = f"{', '.join(there)} of an earlier relaxation will be replaced; another folder (-o) keeps them"
    try:
        old = json.loads(targets[2].read_text(encoding="utf-8"))
        before = {
            "model": old["model"].get("name"),
            **{key: old["settings"][key] for key in settings if key in old["settings"]},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        before = {}  # not one of ours
    now = {"model": model.get("name"), **settings}
    changes = [f"{key} was {value} and is now {now[key]}" for key, value in before.items() if value != now[key]]
    output.note(f"{text} ({'; '.join(changes)})" if changes else text)


def note_open_axes(frame: Frame, cutoff: float) -> None:
    """Tell what becomes of the cell of molecules and slabs, whether or not they were declared as such."""
    import numpy as np

    from tribond.graph.checks import SMALLEST_RELATIVE_VOLUME
    from tribond.properties.cell_axes import own_axes

    atoms = frame.atoms
    if not atoms.pbc.all():
        periodic = "".join(axis for axis, on in zip("abc", atoms.pbc, strict=True) if on)
        axes = own_axes(atoms)
        if axes:
            what = f"{'area' if len(axes) == 2 else 'length'} along {' and '.join(axes)}"
            output.note(
                f"{frame.label} is periodic along {' and '.join(axes)} alone: relaxing its atoms and its {what}; if it is a "
                "slab of a crystal, --fix-cell keeps that crystal's lattice"
            )
        elif periodic:
            output.note(
                f"{frame.label} has fixed atoms and is not periodic along all axes: relaxing its atoms, keeping its cell "
                f"(--cell-axes {periodic} relaxes that, too)"
            )
        else:
            output.note(f"{frame.label} is not periodic along any axis: relaxing its atoms, keeping its cell")
        return
    flat = not atoms.cell.volume > SMALLEST_RELATIVE_VOLUME * np.prod(atoms.cell.lengths())  # NaN counts as flat
    if flat or not np.isfinite(atoms.positions).all():
        return  # an error that the model will explain
    fractional = np.sort(atoms.get_scaled_positions(), axis=0)
    gaps = np.diff(fractional, axis=0, append=fractional[:1] + 1).max(axis=0)  # largest empty layer along each axis
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    for axis, width in zip("abc", gaps * heights, strict=True):
        if width > cutoff:
            output.note(
                f"{frame.label} has {width:.1f} Å of vacuum along {axis}, more than the model sees across; if it is a "
                f"slab or a molecule, --fix-cell keeps its cell, and --cell-axes {'abc'.replace(axis, '')} keeps {axis}"
            )


def note_lonely_atoms(outcome: Outcome, cutoff: float) -> None:
    """Atoms out of each other's reach feel no force: they look relaxed, but may just have flown apart."""
    import numpy as np

    from tribond.graph.neighbors import neighbor_list

    if outcome.relaxation is None:
        return
    atoms = outcome.relaxation.final
    centres, *_ = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    lonely = len(atoms) - len(np.unique(centres))
    if lonely:
        output.note(
            f"{outcome.label} ends with {lonely} of {len(atoms)} atoms without a neighbour in the model's reach of "
            f"{cutoff:g} Å: nothing holds them where they are"
        )
