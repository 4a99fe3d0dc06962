"""What the files of MatterSim and of M3GNet-Pytorch have in common.

Both multiply a one-hot vector of the atomic number, 0 for none, with a matrix where others look up a row; scale and
shift the energy by the element; keep the constants of their radial basis among the weights; and a moving average of
the weights beside them.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from tribond.checkpoints.transfer import Transfer
from tribond.errors import CheckpointError, ConfigError
from tribond.nn.basis import spherical_bessel_roots
from tribond.nn.config import M3GNetConfig

Weights = Literal["raw", "ema"]  # those that the home code computes with, or their moving average
CONSTANTS = ("rbf.", "sbf.", "normalizer.")  # of the state dict, not averaged


def choose_weights(
    path: Path, state: Mapping[str, Tensor], average: Mapping[str, Any] | None, weights: Weights
) -> dict[str, Tensor]:
    """The state dict with the weights that were asked for.

    The moving average is a bare list: its tensors are the trained ones of the state dict, in order.

    Args:
        path: the file, for messages.
        state: the weights that the home code computes with.
        average: what the file holds of the moving average, or None.
        weights: "raw" for `state` as it is, "ema" for the average.

    Raises:
        ConfigError: if `weights` is neither.
        CheckpointError: if there is no average in the file, or one that does not fit.
    """
    if weights not in get_args(Weights):
        msg = f"weights must be {' or '.join(map(repr, get_args(Weights)))}, not {weights!r}"
        raise ConfigError(msg)
    if weights == "raw":
        return dict(state)
    shadow = average.get("shadow_params") if isinstance(average, Mapping) else None
    if not shadow:
        msg = f"{path} holds no moving average of its weights; load it with weights='raw'"
        raise CheckpointError(msg)
    trained = [name for name in state if not name.startswith(CONSTANTS)]
    scaling = [name for name in state if name.startswith("normalizer.")]  # at the end, if it was trained
    names = trained if len(shadow) == len(trained) else trained + scaling
    if [tensor.shape for tensor in shadow] != [state[name].shape for name in names]:
        msg = f"{path}: the moving average does not fit the weights beside it; load it with weights='raw'"
        raise CheckpointError(msg)
    return dict(state) | dict(zip(names, shadow, strict=True))


def move_radial_constants(transfer: Transfer, config: M3GNetConfig) -> None:
    """Take the constants of the radial functions, (12) to (15), and see that they are those of the config.

    Raises:
        CheckpointError: if they are others, or if max_n and max_l differ: the home codes then pair the j_l of one
            angular momentum with the Y_l of another.
    """
    if config.max_n != config.max_l:
        msg = f"{transfer.path}: max_n = {config.max_n} and max_l = {config.max_l} must be equal in a file of this code"
        raise CheckpointError(msg)
    m = torch.arange(config.max_n, dtype=torch.float64)
    e = m**2 * (m + 2) ** 2 / (4 * (m + 1) ** 4 + 1)
    d = torch.ones_like(m)
    for i in range(1, config.max_n):
        d[i] = 1 - e[i] / d[i - 1]
    f = (-1) ** m * math.sqrt(2) * math.pi / config.cutoff**1.5 * (m + 1) * (m + 2) / (2 * m**2 + 6 * m + 5).sqrt()
    transfer.constant("rbf.r_max", config.cutoff)
    transfer.constant("rbf.en", e)
    transfer.constant("rbf.dn", d)
    transfer.constant("rbf.fnr_weights", f)
    transfer.constant("rbf.n_1_pi_cutoff", (m + 1) * math.pi / config.cutoff)
    transfer.constant("rbf.n_2_pi_cutoff", (m + 2) * math.pi / config.cutoff)
    transfer.constant("sbf.factor", math.sqrt(2 / config.cutoff**3))
    if "sbf.coef" in transfer:  # since 2026; the published files have none
        coefficients = transfer.take("sbf.coef")
        roots = torch.stack([coefficients[0, 0], *coefficients[1 : config.max_l, 1]])[:, : config.max_n]
        wanted = torch.tensor([spherical_bessel_roots(l, config.max_n) for l in range(config.max_l)])
        if not torch.allclose(roots, wanted.to(roots.dtype), rtol=1e-5):
            msg = f"{transfer.path}: 'sbf.coef' holds other roots of j_l than those of the equations"
            raise CheckpointError(msg)


def move_element_tables(transfer: Transfer) -> None:
    """The embedding, and scale and shift of the energy, without their rows for an atomic number of zero."""
    transfer.state["atom_embedding.weight"] = transfer.take("atom_embedding.mlp.0.linear.weight").T[1:]
    transfer.state["reference_energy.scale"] = transfer.take("normalizer.scale")[1:]
    transfer.state["reference_energy.reference"] = transfer.take("normalizer.shift")[1:]
    transfer.state["reference_energy.offset"] = torch.zeros(())


def move_gated(transfer: Transfer, target: str, source: str, depth: int, *, bias: bool = True) -> None:
    """A gated MLP of `depth` layers, as both codes name its branches."""
    core, gate = ([f"{source}.{branch}.{layer}.linear" for layer in range(depth)] for branch in ("g", "sigma"))
    transfer.gated_mlp(target, core, gate, bias=bias)


def check_settings(path: Path, settings: Mapping[str, Any], known: set[str]) -> None:
    """Raise CheckpointError unless the settings are exactly the known ones."""
    if unknown := sorted(settings.keys() - known):
        msg = f"{path} has settings that tribond does not know: {', '.join(unknown)}"
        raise CheckpointError(msg)
    if missing := sorted(known - settings.keys()):
        msg = f"{path} lacks the settings {', '.join(missing)}"
        raise CheckpointError(msg)
