"""The command `tribond`: its verbs, and what happens when they fail."""

import io
import os
import signal
import sys
import threading
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from tribond.cli import lammps, models, options, output
from tribond.cli.convert import convert
from tribond.cli.export import export
from tribond.cli.info import info
from tribond.cli.predict import predict
from tribond.cli.relax import relax
from tribond.errors import ConfigError, ModelNotFoundError, TribondError

# Above UsageError, above BadParameter; some versions of typer have a click of their own, which cannot be imported.
CLICK_EXCEPTION: type[Exception] = typer.BadParameter.__mro__[2]
EXTRAS = {  # packages that only some verbs need, and the extra that brings them
    "lightning": "train",
    "tensorboard": "train",
    "pydantic": "train",
    "tqdm": "train",
    "yaml": "train",
    "lmdb": "train",
    "netCDF4": "md",
    "pyarrow": "screen",
    "duckdb": "screen",
    "ray": "ray",
    "pymatgen": "pymatgen",
    "phonopy": "properties",
    "seekpath": "properties",
    "phono3py": "properties",
}


class LazyCommand(TyperCommand):
    """A verb whose module is imported only when it is run, so that `tribond --help` needs nothing of it.

    The module has an attribute, `app` if nothing else is said, a typer.Typer.
    """

    def __init__(self, name: str, module: str, summary: str, app: str = "app") -> None:
        super().__init__(name, help=summary)
        self.module, self.app = module, app

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:  # noqa: D102, as click has it
        app = getattr(import_module(self.module), self.app)
        return typer.main.get_command(app).make_context(info_name, args, parent, **extra)


class Verbs(TyperGroup):
    """All verbs in the order in which people meet them; errors become one line and an exit status."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for command in (
            LazyCommand("md", "tribond.cli.md", "Run molecular dynamics."),
            LazyCommand("rdf", "tribond.cli.analysis", "Pair distributions of a trajectory.", "rdf_app"),
            LazyCommand("angles", "tribond.cli.analysis", "Angles between bonds in a trajectory.", "angles_app"),
            LazyCommand("diffusion", "tribond.cli.analysis", "Diffusion in trajectories.", "diffusion_app"),
            LazyCommand("vdos", "tribond.cli.analysis", "Velocity spectrum of a trajectory.", "vdos_app"),
            LazyCommand("eos", "tribond.cli.eos", "Equation of state: V0, B0 and B0'."),
            LazyCommand("elastic", "tribond.cli.elastic", "Elastic tensor and moduli."),
            LazyCommand("phonons", "tribond.cli.phonons", "Phonon bands, densities of states, thermal properties."),
            LazyCommand("qha", "tribond.cli.qha", "Thermal expansion and what else changes with temperature."),
            LazyCommand("conductivity", "tribond.cli.conductivity", "Lattice thermal conductivity."),
            LazyCommand("neb", "tribond.cli.neb", "Barrier between two minima."),
            LazyCommand("surface", "tribond.cli.surface", "Surface energies and the Wulff shape."),
            LazyCommand("defect", "tribond.cli.defect", "Vacancies, substitutions, interstitials and their cost."),
            LazyCommand("screen", "tribond.cli.screen", "Screen many structures by a pipeline in one file."),
            LazyCommand("data", "tribond.cli.data", "Make, look at and download stores of labelled structures."),
            LazyCommand("train", "tribond.cli.train", "Train or fine-tune a model."),
            LazyCommand(
                "finetune", "tribond.cli.finetune", "Fine-tune a potential on your data, without a file of settings."
            ),
            LazyCommand(
                "ensemble", "tribond.cli.ensemble", "Make one model of several, which knows how far they differ."
            ),
            LazyCommand("select", "tribond.cli.select", "Choose structures worth a label, for active learning."),
            LazyCommand("evaluate", "tribond.cli.evaluate", "Measure a model against reference data."),
            LazyCommand("bench", "tribond.cli.bench", "Measure how fast a potential is on this machine."),
        ):
            self.add_command(command)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002, D102, as click has it
        return [
            "relax",
            "predict",
            "md",
            "rdf",
            "angles",
            "diffusion",
            "vdos",
            "eos",
            "elastic",
            "phonons",
            "qha",
            "conductivity",
            "neb",
            "surface",
            "defect",
            "screen",
            "data",
            "train",
            "finetune",
            "ensemble",
            "select",
            "evaluate",
            "bench",
            "models",
            "info",
            "convert",
            "export",
            "lammps",
        ]

    def invoke(self, ctx: Any) -> Any:  # noqa: D102, as click has it
        try:
            return super().invoke(ctx)
        except (TribondError, OSError) as error:
            output.report(error)
            status = output.USAGE if isinstance(error, ModelNotFoundError | ConfigError) else output.FAILED
            raise typer.Exit(status) from error
        except ImportError as error:
            extra = EXTRAS.get((error.name or "").partition(".")[0])
            if extra is None or output.debugging():
                raise
            output.report(
                TribondError(f"this needs {error.name}, which is not installed: pip install 'tribond[{extra}]'")
            )
            raise typer.Exit(output.FAILED) from error
        except (CLICK_EXCEPTION, typer.Exit, typer.Abort):
            raise  # wrong usage, or the end
        except Exception as error:  # a mistake of ours, or no memory: one line, too
            output.report(error)
            raise typer.Exit(output.FAILED) from error


app = typer.Typer(
    cls=Verbs,
    name="tribond",
    help="M3GNet interatomic potentials: relax structures, run dynamics, predict, train and evaluate.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(cls=options.WithElements)(relax)
app.command(cls=options.WithElements)(predict)
app.command()(info)
app.command()(convert)
app.command()(export)
app.add_typer(models.app, name="models")
app.add_typer(lammps.app, name="lammps")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tribond {output.version()}")
        raise typer.Exit


@app.callback()
def set_up(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and warnings. Also by TRIBOND_DEBUG=1.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Handle the options that come before the verb."""
    if debug:
        os.environ["TRIBOND_DEBUG"] = "1"  # the environment, so that worker processes of a verb see it too


def _open_missing_streams() -> None:
    """Give a command that was started without standard streams (`>&-`) some that lead nowhere.

    Otherwise the next file that is opened gets their number, and what libraries print goes into it.
    """
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            setattr(sys, name, os.fdopen(number, mode))


def _stop(number: int, _frame: object) -> None:
    """End on SIGTERM as on Ctrl-C: temporary files are removed on the way out."""
    raise SystemExit(128 + number)


def main() -> None:
    """Entry point of the command."""
    _open_missing_streams()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # "?" for Å where the terminal has no Å
    app()


if __name__ == "__main__":
    main()
