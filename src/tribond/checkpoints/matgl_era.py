"""Which MatGL wrote a file: a version up to 2, or one from 3 on?

Names and shapes of the tensors are the same and so are the class versions, but (5) sums the messages onto the neighbour
up to version 2.2 and onto the centre since 3.0. What tells them apart, as read in the sources of 14 releases from 0.5 to
4.1:

- the module of a class: `_m3gnet_pyg`, `_pes_pyg` and `_pes` exist only from 3.0 on, `_pes_dgl` with `_m3gnet` only in 2.x;
- arguments of a potential: `compile_model` came with 3.0.5, `calc_charge` with 2.0; `calc_site_wise` and class versions
  below 3 ended before 1.3;
- `dropout` among the arguments of a network came with 1.3;
- the readout: `readout.set2set.lstm` is DGL's, `readout.lstm` PyTorch Geometric's; weights that are a single layer ended
  with 3.0, those with a hidden layer came after it.

None of it is a guess; a file that has none of it is refused, and the user is asked.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from tribond.errors import CheckpointError

Dialect = Literal["matgl_dgl", "matgl_pyg"]


def matgl_era(
    folder: Path,
    *,
    modules: tuple[str, str],
    potential_version: int | None,
    potential_settings: Mapping[str, Any] | None,
    network_settings: Mapping[str, Any],
    tensors: Iterable[str],
) -> Dialect:
    """The dialect of a model.

    Args:
        folder: for messages.
        modules: where the outer class and the network's class lived.
        potential_version: class version of a potential; None if it is none.
        potential_settings: its arguments; None if it is none.
        network_settings: arguments of the network.
        tensors: names of the network's tensors.

    Raises:
        CheckpointError: if nothing in the files tells.
    """
    names = {module.rpartition(".")[2] for module in modules}
    given = potential_settings or {}
    is_potential, since_3_0 = potential_settings is not None, "_m3gnet_dgl" in names
    old_potential = is_potential and ((potential_version or 0) < 3 or "calc_charge" not in given)
    readout = [name.removeprefix("readout.") for name in tensors if name.startswith("readout.")]
    old_readout = any(name.startswith(("set2set.", "weight.0.")) for name in readout)
    new_readout = any(name.startswith(("lstm.", "weight.layers.")) for name in readout)
    evidence: list[tuple[bool, Dialect]] = [
        (bool(names & {"_m3gnet_pyg", "_pes_pyg", "_pes", "models"}), "matgl_pyg"),
        ("compile_model" in given, "matgl_pyg"),
        (old_potential, "matgl_dgl"),
        ("_pes_dgl" in names, "matgl_pyg" if since_3_0 else "matgl_dgl"),  # 3.0 with DGL sums onto the centre too
        ("dropout" not in network_settings and not since_3_0, "matgl_dgl"),
        (old_readout and not since_3_0, "matgl_dgl"),
        (new_readout and not since_3_0, "matgl_pyg"),
    ]
    for holds, dialect in evidence:
        if holds:
            return dialect
    msg = (
        f"{folder} could be of MatGL up to version 2 or from version 3 on, and they compute different energies from it; "
        "say which: dialect='matgl_dgl' (up to 2) or 'matgl_pyg' (from 3 on), on the command line --dialect"
    )
    raise CheckpointError(msg)
