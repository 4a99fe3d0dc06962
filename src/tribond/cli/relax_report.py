"""What `tribond relax` shows of its relaxations: tables on the terminal, and a plot of each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tribond.cli import output

if TYPE_CHECKING:
    from tribond.properties.relax_starts import Starts
    from tribond.properties.relaxation import Relaxation


@dataclass(frozen=True)
class Outcome:
    """What became of one structure."""

    label: str
    relaxation: "Relaxation | None" = None  # None if it failed
    written: list[Path] = field(default_factory=list)  # structure, trajectory, summary, plot
    starts: "Starts | None" = None  # where there were several

    @property
    def converged(self) -> bool:
        """All is well."""
        return self.relaxation is not None and self.relaxation.converged


def print_outcomes(outcomes: list[Outcome]) -> None:
    """One structure as a table of before and after, several as one row each."""
    only = outcomes[0].relaxation
    if len(outcomes) == 1 and only is None:
        return  # the error said it all
    for outcome in outcomes:
        if outcome.starts is not None:
            _print_starts(outcome.label, outcome.starts)
    if len(outcomes) == 1 and only is not None:
        _print_one(outcomes[0], only)
    else:
        _print_many(outcomes)


def _print_one(outcome: Outcome, relaxation: "Relaxation") -> None:

    from tribond.units import EV_PER_A3_TO_GPA

    def stress(state: dict[str, Any]) -> float:
        """What is left to the target, -p along the axes: zero for a converged cell under any pressure."""
        rows = enumerate(state["stress_eV_per_A3"])
        return max(
            abs(value * EV_PER_A3_TO_GPA + (relaxation.pressure_GPa if i == j else 0.0))
            for i, row in rows
            for j, value in enumerate(row)
        )

    terminal = output.console()
    terminal.print(f"[bold]{output.shown(outcome.label)}[/]: {_verdict(relaxation)}", soft_wrap=True)
    summary = relaxation.summary()
    before, after = summary["before"], summary["after"]
    table = output.plain_table("", "before", "after", right={"before", "after"})

    def row(name: str, show: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(name, show(before), show(after))

    row("energy (eV)", lambda state: f"{state['energy_eV']:.4f}")
    if before["constraint_energy_eV"] or after["constraint_energy_eV"]:
        row("of constraints (eV)", lambda state: f"{state['constraint_energy_eV']:.4f}")
        row("with constraints (eV)", lambda state: f"{state['energy_eV'] + state['constraint_energy_eV']:.4f}")
    row("energy (eV/atom)", lambda state: f"{state['energy_eV_per_atom']:.4f}")
    if relaxation.pressure_GPa:
        row("enthalpy (eV)", lambda state: f"{state['enthalpy_eV']:.4f}")
    row("largest force (eV/Å)", lambda state: f"{state['max_force_eV_per_A']:.4f}")
    if before["stress_eV_per_A3"] is not None:
        target = f", less the target of {relaxation.pressure_GPa:g} GPa" if relaxation.pressure_GPa else ""
        row(f"largest stress (GPa){target}", lambda state: f"{stress(state):.3f}")
    if before["volume_A3"] is not None:
        row("volume (Å³)", lambda state: f"{state['volume_A3']:.3f}")
        row("a, b, c (Å)", lambda state: "  ".join(f"{length:.4f}" for length in state["lengths_A"]))
        row("α, β, γ (°)", lambda state: "  ".join(f"{angle:.3f}" for angle in state["angles_degree"]))
        row("space group", lambda state: state["space_group"] or _no_group(state))
    elif before["area_A2"] is not None:
        row("area (Å²)", lambda state: f"{state['area_A2']:.3f}")
    terminal.print(table)
    terminal.print("wrote " + ", ".join(output.shown(str(path)) for path in outcome.written), soft_wrap=True)


def _print_starts(label: str, starts: "Starts") -> None:
    """How all starts ended, the lowest named."""
    terminal, best = output.console(), starts.best
    right = ("start", "steps", "above the lowest (meV/atom)")
    table = output.plain_table(right[0], "result", *right[1:], right=right)
    for it in starts.starts:
        name = str(it.number + 1) if it.number else "1, as given"
        if it.relaxation is None:
            table.add_row(name, f"[red]ran away[/]: {output.shown(it.problem)}")
            continue
        above = (it.enthalpy - best.enthalpy) / len(it.relaxation.final) * 1000
        word = "[green]converged[/]" if it.relaxation.converged else "[yellow]not converged[/]"
        table.add_row(name, word, str(it.relaxation.steps), f"{above:.2f}")
    terminal.print(table)
    chosen = f"start {best.number + 1}, the lowest; {starts.same} of {len(starts.starts)} ended there"
    terminal.print(f"{output.shown(label)}: {chosen}", soft_wrap=True)


def _no_group(state: dict[str, Any]) -> str:
    from tribond.properties.symmetry import LARGEST_SEARCHED

    return f"not searched (more than {LARGEST_SEARCHED} atoms)" if state["num_atoms"] > LARGEST_SEARCHED else "unknown"


def _print_many(outcomes: list[Outcome]) -> None:
    numbers = ["steps", "eV/atom", "fmax (eV/Å)", "ΔV"]
    table = output.plain_table("structure", "result", *numbers, "space group", "written", right=numbers)
    for outcome in outcomes:
        relaxation = outcome.relaxation
        if relaxation is None:
            table.add_row(output.shown(outcome.label), "[red]failed[/]")
            continue
        summary = relaxation.summary()
        before, after = summary["before"], summary["after"]
        change = "" if before["volume_A3"] is None else f"{after['volume_A3'] / before['volume_A3'] - 1:+.1%}"
        groups = dict.fromkeys(state["space_group"] or "" for state in (before, after))  # once, if it stayed
        table.add_row(
            output.shown(outcome.label),
            "[green]converged[/]" if relaxation.converged else "[yellow]not converged[/]",
            str(relaxation.steps),
            f"{after['energy_eV_per_atom']:.4f}",
            f"{after['fmax_eV_per_A']:.4f}",
            change,
            " → ".join(groups),
            output.shown(str(outcome.written[0])),
        )
    terminal = output.console()
    terminal.print(table)
    terminal.print(f"{sum(outcome.converged for outcome in outcomes)} of {len(outcomes)} converged")


def _verdict(relaxation: "Relaxation") -> str:
    if relaxation.converged:
        return f"[green]converged[/] after {relaxation.steps} steps"
    last = relaxation.history[-1].fmax_eV_per_A
    return (
        f"[yellow]not converged[/] after {relaxation.steps} steps: fmax {last:.4f} eV/Å, asked for "
        f"{relaxation.fmax_eV_per_A:g}; go on from the relaxed file, or allow more with --steps"
    )


def plot_relaxation(relaxation: "Relaxation", title: str, path: Path) -> None:
    """Energy (enthalpy under pressure), fmax and volume against step; no pyplot, so no global state and no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    history = relaxation.history
    steps = [step.step for step in history]
    natoms = len(relaxation.final)
    energies = [relaxation.enthalpy(step) / natoms for step in history]
    panels = [
        ("enthalpy\n(eV/atom)" if relaxation.pressure_GPa else "energy\n(eV/atom)", energies),
        ("fmax\n(eV/Å)", [max(step.fmax_eV_per_A, 1e-8) for step in history]),  # 0 by symmetry has no logarithm
    ]
    if history[0].volume is not None:
        panels.append(("volume\n(Å³)", [step.volume or 0.0 for step in history]))
    word, color, marker = ("converged", "tab:green", "o") if relaxation.converged else ("not converged", "tab:red", "X")
    figure = Figure(figsize=(7.0, 2.0 * len(panels) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), sharex=True)
    for axis, (label, values) in zip(axes, panels, strict=True):
        axis.plot(steps, values, color="tab:blue", linewidth=1.5, marker=".", markersize=4)
        axis.plot(steps[-1:], values[-1:], color=color, marker=marker, markersize=8, linestyle="none", label=word)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.margins(y=0.12)
    for axis in (axes[0], *axes[2:]):
        axis.ticklabel_format(axis="y", useOffset=False)
    axes[1].set_yscale("log")
    axes[1].axhline(relaxation.fmax_eV_per_A, color="gray", linestyle="--", linewidth=1, label="threshold")
    axes[1].legend(loc="upper right")
    axes[-1].set_xlabel(f"step of {relaxation.optimizer}")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    free = relaxation.cell_axes
    moved = f"atoms and {', '.join(free)}" if free else "atoms and cell" if relaxation.relax_cell else "atoms"
    pressure = f" at {relaxation.pressure_GPa:g} GPa" if relaxation.pressure_GPa else ""
    text = f"{title}: {word} after {relaxation.steps} steps ({moved}{pressure})"
    axes[0].set_title(text, fontsize="medium", parse_math=False)
    figure.savefig(path, dpi=150, format="png")
