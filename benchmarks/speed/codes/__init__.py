"""The codes that are compared, each behind the same few functions in a module of its own."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

PINS = Path(__file__).parents[2] / "peers"  # what is installed for a peer, to the last package

# The model of all codes; weights are random, from this seed.
BLOCKS, FEATURES, MAX_N, MAX_L, CUTOFF, THREEBODY_CUTOFF = 3, 64, 3, 3, 5.0, 4.0  # the cutoffs in Å
SEED = 0


@dataclass(frozen=True)
class Code:
    """One code in one way of using it.

    Attributes:
        label: for tables.
        module: with `load`, `calculator`, `predict_all`, `training_step` and `versions`; it is imported in the
            environment of the code alone.
        environment: its name; None is the one that this runs in.
        model: how its model differs from the others.
        options: for `load`.
        only: the kinds of cases that it takes part in; empty is all.
        on_demand: whether it takes part only if it is asked for by name.
    """

    label: str
    module: str
    environment: str | None
    model: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    only: tuple[str, ...] = ()
    on_demand: bool = False

    @property
    def pins(self) -> Path:
        """The requirement file of the environment."""
        return PINS / f"{self.environment}.txt"


CODES = {
    "tribond": Code("tribond", "tribond_code", None),
    "matgl": Code(
        "MatGL",
        "matgl_code",
        "matgl",
        model="one layer more in every gated MLP; bond basis of 9 functions instead of 3 (its default)",
    ),
    # Its `compile_model`, off by default there too: minutes of compiling for little on a CPU.
    "matgl-compiled": Code(
        "MatGL, compiled",
        "matgl_code",
        "matgl",
        options=(("compiled", True),),
        only=("step", "dynamics"),
        on_demand=True,
    ),
    "mattersim": Code("MatterSim", "mattersim_code", "mattersim", model="gated by the central atom"),
    "tensorflow": Code("m3gnet (TensorFlow)", "tensorflow_code", "tensorflow"),
}
USUAL = tuple(name for name, code in CODES.items() if not code.on_demand)
PEERS = tuple(name for name, code in CODES.items() if code.environment is not None)


def adapter(code: str) -> Any:
    """The module of a code; call it in its environment only.

    Raises:
        KeyError: for a code that there is not.
    """
    return import_module(f"{__name__}.{CODES[code].module}")
