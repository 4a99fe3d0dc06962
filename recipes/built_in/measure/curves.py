"""How validation errors fell in the course of a training, or of several one behind the other."""

import csv
from pathlib import Path

from matplotlib.figure import Figure

SOURCES = ("mptrj", "alexandria", "extreme")
QUANTITIES = {
    "energy": ("energy_meV_per_atom", "meV/atom"),
    "forces": ("forces_meV_per_A", "meV/Å"),
    "stress": ("stress_GPa", "GPa"),
}


def draw(runs: list[Path], picture: Path) -> None:
    """Draw the validation errors of every source against the step.

    Args:
        runs: Output folders of trainings, in the order in which each went on from the one before.
        picture: Where to write, *.svg or *.png.
    """
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    first = 0
    axes_of = dict(zip(QUANTITIES, figure.subplots(1, len(QUANTITIES)), strict=True))
    for number, run in enumerate(runs):
        with (run / "logs/csv/metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        validated = [row for row in rows if row.get("val/loss")]
        steps = [first + 1 + int(row["step"]) for row in validated]
        for quantity, axes in axes_of.items():
            column, unit = QUANTITIES[quantity]
            for color, source in enumerate(SOURCES):
                values = [float(row[f"val/{source}/{column}"]) for row in validated]
                label = source if number == 0 else None
                axes.plot(steps, values, ".-", color=f"C{color}", linewidth=1, markersize=3, label=label)
            axes.set(title=quantity, xlabel="step", ylabel=unit, yscale="log")
        first = steps[-1]
        for axes in axes_of.values() if run != runs[-1] else ():
            axes.axvline(first, color="gray", linewidth=0.6)
    axes_of["energy"].legend(frameon=False, fontsize="small")
    figure.savefig(picture)
