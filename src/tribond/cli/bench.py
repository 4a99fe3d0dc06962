"""`tribond bench`: how fast a potential is on this machine, how much memory it takes, and how far from the limit."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.errors import StructureError
from tribond.files import write_json

if TYPE_CHECKING:
    from ase import Atoms

    from tribond.models.potential import Potential
    from tribond.reading.content import Options
    from tribond.speed.measure import Measurement

GIGA = 1e9


def bench(
    model: options.ModelArgument = "default",
    largest: Annotated[
        int, typer.Option(min=1, metavar="ATOMS", help="Go up to so many atoms, or until memory runs out.")
    ] = 4096,
    structure: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Repeat this structure, FILE or FILE@INDEX. [default: silicon, or an element that the model knows]",
        ),
    ] = None,
    output_file: Annotated[Path | None, options.output("FILE", "Write everything measured as .json.")] = None,
    format: options.Format = None,  # noqa: A002 - the option's name
    elements: options.Elements = "",
    device: options.Device = None,
    dtype: options.Dtype = options.Precision.FLOAT32,
    quiet: options.Quiet = False,
) -> None:
    """Measure how fast a potential is on this machine.

    A step is the search for neighbours, energy, forces and stress of a crystal that is repeated to larger and larger sizes and whose atoms have moved a little. The table gives the median step, the most memory it took above what was taken before, and how many times the limit a step takes: the time that the matrix products alone need at the rate which matrix multiplication has here.

    Exit status: 0 all sizes measured or memory at an end, 1 the structure cannot be computed, 2 wrong usage.
    """
    if output_file is not None:
        options.check_file(output_file, [".json"], "--output", any_case=True)
    potential = output.load_potential(model, device, dtype)
    if potential.config.state != "none":
        raise typer.BadParameter(f"{model} needs a state input, which this verb cannot give", param_hint="MODEL")
    cell = _cell(structure, potential, options.reading(format, elements))
    from tribond.speed.limit import flops_per_bond, multiply_rate

    rate = multiply_rate(potential.device, potential.dtype)
    measured, stopped = _measure(potential, cell, largest, quiet=quiet)
    if output_file is not None:
        content: dict[str, Any] = {
            "tribond_version": output.version(),
            "model": output.model_record(potential),
            "machine": _machine(potential),
            "cell": cell.get_chemical_formula(),
            "matrix_multiplication_FLOP_per_s": rate,
            "matrix_products_FLOP_per_bond": flops_per_bond(potential.config),
            "sizes": [_record(it, potential, rate) for it in measured],
            "stopped": stopped,
        }
        write_json(output_file, content)
    if not quiet:
        _print(measured, potential, cell, rate)
        if output_file is not None:
            output.console().print(f"wrote {output_file}", markup=False, soft_wrap=True)


# `tribond` finds the verb here without importing this file for its help.
app = options.verb(bench)


def _cell(structure: str | None, potential: "Potential", reading: "Options") -> "Atoms":
    """What is repeated.

    Raises:
        StructureError: if the file holds no structure, one without a periodic axis, or one that cannot be computed.
    """
    if structure is None:
        from tribond.speed.crystals import crystal_of

        return crystal_of(potential.elements)
    from tribond.cli.structure_files import read_good_frame

    try:
        cell = read_good_frame(structure, reading).atoms
    except StructureError as error:
        msg = f"{structure}: {error}"
        raise StructureError(msg) from error
    if not cell.pbc.any():
        msg = f"{structure} is not periodic along any axis, so it cannot be repeated; give a crystal, slab or wire"
        raise StructureError(msg)
    try:
        potential.graph(cell)
    except StructureError as error:
        msg = f"{structure}: {error}"
        raise StructureError(msg) from error
    return cell


def _measure(
    potential: "Potential", cell: "Atoms", largest: int, *, quiet: bool
) -> "tuple[list[Measurement], str | None]":
    """All sizes that fit into memory, and why it stopped before the largest, if it did."""
    from tribond.speed.crystals import repeated
    from tribond.speed.measure import Stopwatch

    stopwatch = Stopwatch(potential)
    measured: list[Measurement] = []
    for times, atoms in _sizes(cell, largest):
        if measured and (shortage := stopwatch.shortage(measured[-1], atoms)):
            need, free = (f"{number / GIGA:.1f} GB" for number in shortage)
            stopped: str | None = f"{atoms:,} atoms would need about {need} of memory, and {free} are free"
        else:
            with _progress(f"{atoms:,} atoms", quiet=quiet):
                stopped = _attempt(stopwatch, repeated(cell, times), measured)
        if stopped:
            output.note(f"stopped: {stopped}")
            return measured, stopped
    return measured, None


def _attempt(stopwatch: Any, atoms: "Atoms", measured: "list[Measurement]") -> str | None:
    """Measure one more size; why that was not possible, if memory was at an end."""
    try:
        measured.append(stopwatch.measure(atoms))
    except (MemoryError, RuntimeError) as error:
        if not measured or not output.is_out_of_memory(error):
            raise
        return f"no memory for {len(atoms):,} atoms"
    return None


def _sizes(cell: "Atoms", largest: int) -> Iterator[tuple[int, int]]:
    """How often to repeat along each axis, and how many atoms that gives."""
    from tribond.speed.crystals import sizes

    periodic = int(cell.pbc.sum())
    for times in sizes(len(cell), largest, periodic):
        yield times, len(cell) * times**periodic


def _progress(text: str, *, quiet: bool) -> Any:
    """A line on the terminal while one size is measured."""
    terminal = output.console(stderr=True)
    terminal.quiet = quiet or not terminal.is_terminal
    return terminal.status(text)


def _machine(potential: "Potential") -> dict[str, Any]:
    """What the numbers hold for."""
    import platform

    import torch

    gpu = torch.cuda.get_device_name(potential.device) if potential.device.type == "cuda" else None
    return {
        "processor": platform.processor() or platform.machine(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _record(it: "Measurement", potential: "Potential", rate: float) -> dict[str, Any]:
    from tribond.speed.measure import limit_seconds

    return {
        "atoms": it.atoms,
        "bonds": it.bonds,
        "backend": it.backend,
        "median_s": it.median,
        "atom_steps_per_s": 1 / it.seconds_per_atom,
        "limit_s": limit_seconds(potential, it.bonds, rate),
        "peak_memory_bytes": it.peak_bytes,
        "steps_s": list(it.seconds),
    }


def _print(measured: "list[Measurement]", potential: "Potential", cell: "Atoms", rate: float) -> None:
    from tribond.speed.measure import limit_seconds

    columns = ("atoms", "bonds", "ms/step", "µs/atom", "atom·steps/s", "× limit", "memory, MB", "backend")
    table = output.plain_table(*columns, right=columns[:-1])
    for it in measured:
        limit = limit_seconds(potential, it.bonds, rate)
        table.add_row(
            f"{it.atoms:,}",
            f"{it.bonds:,}",
            f"{1e3 * it.median:.2f}",
            f"{1e6 * it.seconds_per_atom:.1f}",
            f"{1 / it.seconds_per_atom:,.0f}",
            f"{it.median / limit:.1f}" if limit else "",
            f"{it.peak_bytes / 1e6:.0f}",
            it.backend,
        )
    machine = _machine(potential)
    where = machine["gpu"] or f"CPU, {machine['threads']} threads"
    terminal = output.console()
    terminal.print(table)
    terminal.print(
        f"\n{potential.metadata.get('name', 'unnamed')} in {str(potential.dtype).removeprefix('torch.')} on {where}; "
        f"{cell.get_chemical_formula()} repeated; matrix multiplication {rate / GIGA:.0f} GFLOP/s",
        markup=False,
        soft_wrap=True,
    )
