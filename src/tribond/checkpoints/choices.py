"""What a user may have to say about another code's file."""

from typing import Any, Literal, get_args

from tribond.errors import ConfigError

Dialect = Literal["matgl_dgl", "matgl_pyg"]  # MatGL up to version 2, or from 3 on
Weights = Literal["raw", "ema"]  # those that the home code computes with, or their moving average


def check_choices(dialect: object, weights: object) -> None:
    """Raise ConfigError for a choice that there is not."""
    choices: list[tuple[str, object, Any]] = [("dialect", dialect, Dialect), ("weights", weights, Weights)]
    for name, value, kinds in choices:
        if value not in get_args(kinds) and not (name == "dialect" and value is None):
            msg = f"{name} must be {' or '.join(map(repr, get_args(kinds)))}, not {value!r}"
            raise ConfigError(msg)
