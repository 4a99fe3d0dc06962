"""What distinguishes one M3GNet from another: a frozen config and named presets.

Five published codes compute five slightly different M3GNets from the same paper. Every difference is one field here;
docs/theory.md has the table with the reasons.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, Self, get_args, get_origin

from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from tribond.errors import ConfigError
from tribond.graph.elements import check_elements

Readout = Literal["extensive", "weighted_atom", "weighted_sum", "set2set", "set2set_by_feature", "mean", "sum"]
RadialBasis = Literal["smooth", "spherical_bessel"]


@dataclass(frozen=True, kw_only=True)
class M3GNetConfig:
    """Hyperparameters of an M3GNet; the defaults are the paper's.

    Raises:
        ConfigError: for values out of range, naming the field.
    """

    elements: tuple[str, ...]  # chemical symbols, in the order of the embedding's rows
    cutoff: float = 5.0  # Å, longest bond
    threebody_cutoff: float = 4.0  # Å, longest bond of an angle
    max_n: int = 3  # radial functions per angular momentum
    max_l: int = 3  # angular momenta l = 0 ... max_l - 1; at most 4
    bodies: Literal[3, 4] = 3  # atoms that a term of (1) joins, at most: 4 adds products of two angles, nn/four_body.py
    num_blocks: int = 3
    node_features: int = 64  # width of v_i
    edge_features: int = 64  # width of e_ij

    update_hidden: tuple[int, ...] = (64,)  # hidden widths of the gated MLPs of (4) and (5)
    readout_hidden: tuple[int, ...] = (64, 64)  # hidden widths of the readout's MLP

    edge_basis: RadialBasis = "smooth"  # e⁰_ij: (10)-(15), or all j_l(z_ln r / r_c)
    angle_radial_basis: RadialBasis = "spherical_bessel"  # radial part of (2)
    angle_gate: Literal["end", "centre"] = "end"  # the atom whose σ(W v + b) gates an angle in (2): k or i
    message_target: Literal["centre", "neighbour"] = "centre"  # the end of the bond that (5) adds its message to
    block_order: Literal["bond_first", "atom_first"] = "bond_first"
    atom_gate_activation: Literal["silu", "linear"] = "silu"  # of W_v⁰ e⁰ in (5); W_e⁰ e⁰ in (4) is always linear
    edge_gate_bias: bool = False  # bias of W_e⁰ and W_v⁰
    bond_embedding_bias: bool = False

    repulsion: Literal["none", "zbl"] = (
        "none"  # of nuclei that come too close, added to the energy: see nn/repulsion.py
    )
    repulsion_inner: float = 0.2  # up to this fraction of the sum of covalent radii it is whole ...
    repulsion_outer: float = 0.5  # ... and from this one on it is nothing

    readout: Readout = "extensive"
    readout_weight_hidden: tuple[int, ...] = (64,)  # hidden widths of the weights of "weighted_atom" and "weighted_sum"
    set2set_steps: int = 3
    set2set_layers: int = 1
    # A sigmoid after an intensive readout; "exclusive": a softmax over the targets, of which exactly one is true.
    classification: bool | Literal["exclusive"] = False
    num_targets: int = 1
    # A property is target_std · network + target_mean, in its own unit; of the readout "sum" the mean counts once an atom.
    # One number for all targets, or one for each.
    target_mean: float | tuple[float, ...] = 0.0
    target_std: float | tuple[float, ...] = 1.0
    target_is_log: bool | tuple[bool, ...] = False  # ... or the exponential of that

    state: Literal["none", "continuous", "projected", "categorical"] = "none"  # numbers as they are, or through a layer
    state_size: int = 0  # numbers in the input, or how many categories there are
    state_features: int = 64  # width of u after the first update
    state_hidden: tuple[int, ...] = (64,)  # hidden widths of the MLP of (6)

    def __post_init__(self) -> None:
        """Check every field."""
        self._check_choices()
        self._check_numbers()
        self._check_target()
        elements: object = self.elements
        if not isinstance(elements, tuple):
            _fail("elements", elements, "a tuple of chemical symbols")
        unknown = [symbol for symbol in self.elements if symbol not in atomic_numbers or symbol == "X"]
        if unknown or not self.elements or len(set(self.elements)) < len(self.elements):
            _fail("elements", unknown or self.elements, "distinct chemical symbols")
        self._check_repulsion()
        if self.threebody_cutoff > self.cutoff:
            _fail("threebody_cutoff", self.threebody_cutoff, f"at most the cutoff, {self.cutoff} Å")
        if (
            type(self.state_size) is not int
            or (self.state == "none") != (self.state_size == 0)
            or not 0 <= self.state_size <= WIDEST
        ):
            _fail("state_size", self.state_size, f"0 without a state input, and with one between 1 and {WIDEST}")
        if self.readout in {"weighted_atom", "weighted_sum"} and not self.readout_hidden:
            _fail("readout_hidden", self.readout_hidden, f"not empty for a {self.readout} readout")

    def _check_choices(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            of_type = [choice for choice in get_args(field.type) if type(choice) is type(value)]  # 3.0 is not 3
            if get_origin(field.type) is Literal and value not in of_type:
                options = ", ".join(map(repr, get_args(field.type)))
                _fail(field.name, value, f"one of {options}")

    def _check_numbers(self) -> None:
        for name in ("cutoff", "threebody_cutoff"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not SHORTEST <= value <= LONGEST:
                _fail(name, value, f"a length between {SHORTEST} and {LONGEST} Å")
        for name, most in MOST.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                _fail(name, value, f"an integer between 1 and {most}")
        for name in ("edge_gate_bias", "bond_embedding_bias"):
            if type(getattr(self, name)) is not bool:
                _fail(name, getattr(self, name), "True or False")
        for name in ("update_hidden", "readout_hidden", "readout_weight_hidden", "state_hidden"):
            widths = getattr(self, name)
            if not isinstance(widths, tuple) or len(widths) > MOST_LAYERS:
                _fail(name, widths, f"a tuple of at most {MOST_LAYERS} widths")
            if not all(type(width) is int and 1 <= width <= WIDEST for width in widths):
                _fail(name, widths, f"a tuple of widths between 1 and {WIDEST}")

    def _check_target(self) -> None:
        classification: object = self.classification
        if type(classification) is not bool and classification != "exclusive":
            _fail("classification", classification, "True, False or 'exclusive'")
        self._check_targets_number_by_number()
        if self.classification == "exclusive" and self.num_targets < 2:
            _fail("num_targets", self.num_targets, "at least 2 where classes exclude each other")
        if self.readout == "sum":
            if self.classification:
                _fail("classification", self.classification, "False for a sum over atoms")
            if self.target_is_log is not False:
                _fail("target_is_log", self.target_is_log, "False for a sum over atoms: its logarithm is no sum")
        if self.readout != "extensive":
            return
        if self.classification:
            _fail("classification", self.classification, "False for an extensive readout")
        if self.num_targets > 1:
            _fail("num_targets", self.num_targets, "1 for an extensive readout")
        if (self.target_mean, self.target_std, self.target_is_log) != (0.0, 1.0, False):
            target = (self.target_mean, self.target_std, self.target_is_log)
            _fail("target_mean, target_std, target_is_log", target, "left alone for an extensive readout")

    def _check_targets_number_by_number(self) -> None:
        for name in ("target_mean", "target_std", "target_is_log"):
            value: object = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            if isinstance(value, tuple) and len(value) != self.num_targets:
                _fail(name, value, f"one value, or one for each of {self.num_targets} targets")
            if name == "target_is_log":
                if any(type(it) is not bool for it in values):
                    _fail(name, value, "True or False")
            elif any(isinstance(it, bool) or not isinstance(it, int | float) or not math.isfinite(it) for it in values):
                _fail(name, value, "a finite number")
            elif name == "target_std" and min(values) <= 0:
                _fail(name, value, "positive")

    def _check_repulsion(self) -> None:
        for name in ("repulsion_inner", "repulsion_outer"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
                _fail(name, value, "a fraction of the sum of covalent radii, between 0 and 1")
        if self.repulsion_inner >= self.repulsion_outer:
            _fail("repulsion_inner", self.repulsion_inner, f"less than repulsion_outer, {self.repulsion_outer}")
        if self.repulsion == "none":
            return
        if self.readout != "extensive":
            _fail("repulsion", self.repulsion, "'none' for a model of a property")
        largest = max((covalent_radii[it] for it in self.atomic_numbers), default=0.0)
        if (reach := 2 * self.repulsion_outer * largest) > self.cutoff:
            _fail(
                "repulsion_outer",
                self.repulsion_outer,
                f"less: it reaches to {reach:.2f} Å, the cutoff is {self.cutoff} Å",
            )

    @property
    def num_edge_basis(self) -> int:
        """Radial functions in e⁰_ij."""
        return self.max_n if self.edge_basis == "smooth" else self.max_n * self.max_l

    @cached_property
    def atomic_numbers(self) -> tuple[int, ...]:
        """The elements as atomic numbers."""
        return tuple(atomic_numbers[symbol] for symbol in self.elements)

    def check_elements(self, atomic_numbers: Iterable[int]) -> None:
        """Raise UnknownElementError if one of the atoms is of an element that the model has no embedding for."""
        check_elements(atomic_numbers, self.elements)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        `bodies` stands there only if it is not three: model files without four-body terms can be read by versions of
        tribond that do not know of them, and keep their hashes.
        """
        values = asdict(self)
        if self.bodies == LEAST_BODIES:
            del values["bodies"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: if a field is unknown or missing.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            msg = f"unknown M3GNet settings {unknown}; known are {sorted(known)}"
            raise ConfigError(msg)
        if "elements" not in values:
            msg = "an M3GNet needs `elements`, the list of chemical symbols it shall know"
            raise ConfigError(msg)
        fixed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**fixed)


# Beyond these bounds, which no real model comes near, settings are nonsense, and may cost no time and memory.
SHORTEST, LONGEST = 0.1, 1000.0  # Å
LEAST_BODIES = 3
MOST_LAYERS = 100
LONGEST_SHOWN = 200  # letters of a wrong value in a message
WIDEST = 2**16
MOST = {
    "max_n": 100,
    "max_l": 4,  # real spherical harmonics are written out up to l = 3
    "num_blocks": 100,
    "node_features": WIDEST,
    "edge_features": WIDEST,
    "set2set_steps": 1000,
    "set2set_layers": MOST_LAYERS,
    "num_targets": WIDEST,
    "state_features": WIDEST,
}

# The 89 elements of the Materials Project's calculations: H to Pu without Po, At, Rn, Fr and Ra.
MATERIALS_PROJECT_ELEMENTS = tuple(s for s in chemical_symbols[1:95] if s not in ("Po", "At", "Rn", "Fr", "Ra"))

_PAPER = M3GNetConfig(elements=MATERIALS_PROJECT_ELEMENTS)
_MATGL_PYG = replace(
    _PAPER,
    edge_basis="spherical_bessel",
    update_hidden=(64, 64),
    readout_hidden=(64, 64, 64),
    atom_gate_activation="linear",
    bond_embedding_bias=True,
    readout_weight_hidden=(),
    set2set_layers=3,
)
_MATTERSIM = replace(
    _PAPER,
    elements=tuple(chemical_symbols[1:95]),
    max_n=4,
    max_l=4,
    node_features=128,
    edge_features=128,
    update_hidden=(128,),
    readout_hidden=(128, 128),
    angle_gate="centre",
)
PRESETS: Mapping[str, M3GNetConfig] = {
    "paper": _PAPER,  # and its TensorFlow code, m3gnet
    "matgl_pyg": _MATGL_PYG,  # MatGL 3 and later
    "matgl_dgl": replace(_MATGL_PYG, message_target="neighbour"),  # MatGL up to 2, weights of 2023 to 2025
    "mattersim": _MATTERSIM,  # MatterSim v1 1M; 5M is 256 features wide
    "m3gnet_pytorch": replace(
        _MATTERSIM,
        num_blocks=4,
        node_features=64,
        edge_features=64,
        update_hidden=(64,),
        readout_hidden=(64, 64),
        block_order="atom_first",
        atom_gate_activation="linear",
        edge_gate_bias=True,
    ),
}


def preset(name: str, **changes: Any) -> M3GNetConfig:
    """A named config, with some fields changed.

    Raises:
        ConfigError: if there is no such preset or field.
    """
    if name not in PRESETS:
        msg = f"unknown preset {name!r}; there are {', '.join(PRESETS)}"
        raise ConfigError(msg)
    return M3GNetConfig.from_dict(PRESETS[name].to_dict() | changes)


def _fail(name: str, value: object, wanted: str) -> None:
    shown = repr(value)
    shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]} ..."
    msg = f"M3GNet setting {name} = {shown} must be {wanted}"
    raise ConfigError(msg)
