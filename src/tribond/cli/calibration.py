"""The table of an ensemble's calibration, after its errors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tribond.cli import output

if TYPE_CHECKING:
    from tribond.evaluation.metrics import EvaluationReport


def print_calibration(reports: "Sequence[EvaluationReport]") -> None:
    """Of ensembles, how their spread compares with their errors."""
    from tribond.evaluation.files import calibrations

    columns = ("miscalibration area", "spread ×", "area then", "rank correlation")
    table = output.plain_table("data", "spread of", *columns, right=columns)
    for report in reports:
        for name, found in calibrations(report).items():
            numbers = (found.area, found.scale, found.scaled_area, found.rank_correlation)
            table.add_row(output.shown(report.name), name, *("" if it is None else f"{it:.3f}" for it in numbers))
    if table.row_count:
        terminal = output.console()
        terminal.print()
        terminal.print(table)
        terminal.print("spread ×: by what to multiply the spread for the smallest area (docs/uncertainty.md)")
