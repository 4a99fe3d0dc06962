"""Tables of `tribond evaluate` and `tribond train`: errors of potentials by set and by element."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tribond.cli import output
from tribond.cli.calibration import print_calibration

if TYPE_CHECKING:
    from tribond.evaluation.metrics import Errors, EvaluationReport

MOST_ELEMENTS = 12  # rows of elements on the terminal; elements.csv has them all
NUMBERS = ("MAE", "RMSE", "largest", "compared")


def print_reports(reports: "Sequence[EvaluationReport]") -> None:
    """Print the errors of every set, of all together, and of the elements with the largest errors."""
    from tribond.evaluation.metrics import make_report

    table = output.plain_table("data", "quantity", "MAE", "RMSE", "largest", "compared", right=NUMBERS)
    shown = list(reports)
    if len(reports) > 1:
        shown.append(make_report("all", [result for report in reports for result in report.results]))
    for report in shown:
        head = [output.shown(report.name), f"{report.frames} structures, {report.atoms} atoms"]
        for label, errors, digits in _quantities(report):
            numbers = [f"{value:.{digits}f}" for value in (errors.mae, errors.rmse, errors.largest)]
            table.add_row(head.pop(0) if head else "", label, *numbers, str(errors.count))
        for rest in head:
            table.add_row(rest)
    terminal = output.console()
    terminal.print(table)
    terminal.print(
        "shifted: after the shift of the elements' energies that fits best; forces over components, stress over 9"
    )
    print_calibration(shown)
    _print_elements(shown[-1])


def _quantities(report: "EvaluationReport") -> Iterator[tuple[str, "Errors", int]]:
    rows = (
        ("energy (meV/atom)", report.energy, 2),
        ("energy, shifted (meV/atom)", report.energy_shifted, 2),
        ("forces (meV/Å)", report.forces, 2),
        ("stress (GPa)", report.stress, 4),
    )
    for label, errors, digits in rows:
        if errors is not None:
            yield label, errors, digits


def _print_elements(report: "EvaluationReport") -> None:
    """Forces and energy shifts by element; of many elements those with the largest errors."""
    elements = sorted(report.elements, key=lambda element: -(element.forces.mae if element.forces else 0.0))
    columns = ("atoms", "force MAE (meV/Å)", "force RMSE (meV/Å)", "energy shift (eV)")
    table = output.plain_table("element", *columns, right=columns)
    for element in elements[:MOST_ELEMENTS]:
        forces = ["", ""] if element.forces is None else [f"{element.forces.mae:.2f}", f"{element.forces.rmse:.2f}"]
        shift = "" if element.energy_shift is None else f"{element.energy_shift:+.4f}"
        table.add_row(element.symbol, str(element.atoms), *forces, shift)
    terminal = output.console()
    terminal.print()
    terminal.print(table)
    if len(elements) > MOST_ELEMENTS:
        terminal.print(f"the {MOST_ELEMENTS} worst of {len(elements)} elements; elements.csv has all")
