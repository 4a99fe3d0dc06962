"""What `tribond md` says before it runs: cells that are allowed and seldom meant."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tribond.cli import output

if TYPE_CHECKING:
    from ase import Atoms

NARROW = 8.0  # Å | twice the range of common bonds; atoms of a narrower cell meet their own images


def tell_cell(
    atoms: "Atoms", stages: Sequence[Mapping[str, Any]], repeat: Sequence[int] | None, min_length_A: float | None
) -> None:
    """Notes on a cell of a few atoms, and on a barostat that would squeeze the vacuum of a slab.

    Args:
        atoms: the input.
        stages: settings of each.
        repeat: of the cell along a, b and c.
        min_length_A: as `run_md` has it.
    """
    import numpy as np

    from tribond.properties.start import VACUUM, vacuum

    if not atoms.pbc.any() or (atoms.pbc.all() and atoms.cell.rank < 3) or not len(atoms):
        return  # nothing to say, or an error that follows
    heights = 1 / np.linalg.norm(atoms.cell.complete().reciprocal().array, axis=1)
    widths = heights * (1 if repeat is None else np.asarray(repeat))
    if min_length_A:
        widths = np.maximum(widths, min_length_A)
    width = float(widths[atoms.pbc].min())
    if width < NARROW:
        output.note(
            f"the cell is only {width:.1f} Å wide, and atoms meet their own images, which move like them; "
            "--min-length-A 12 repeats it"
        )
    if atoms.pbc.all() and any(str(stage.get("ensemble", "")).startswith("npt") for stage in stages):
        thickest = max(vacuum(atoms))
        if thickest > VACUUM:
            output.note(
                f"this cell has {thickest:.1f} Å of vacuum, as slabs and molecules have: its pressure and volume mean "
                "nothing, and a barostat squeezes the vacuum; choose an nvt ensemble"
            )
