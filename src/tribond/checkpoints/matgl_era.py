"""Which MatGL wrote a file: a version up to 2, or one from 3 on?

Names and shapes of the tensors are the same and so are the class versions, but (5) sums the messages onto the neighbour
up to version 2.2 and onto the centre since 3.0. What tells them apart, as read in the sources of 14 releases from 0.5 to
4.1:

- the module of a class: networks of `_m3gnet_pyg` are of 3.x; potentials of `_pes` are of 4.0. A potential of `_pes_dgl`
  around a network of `_m3gnet` is of 2.x, around one of `_m3gnet_dgl` of 3.0, which sums onto the centre with DGL too;
- arguments of a potential: `compile_model` came with 3.0.5, `calc_charge` with 2.0; class versions below 3 ended before
  1.3;
- `dropout` among the arguments of a network came with 1.3;
- the readout: `readout.set2set.lstm` is DGL's, `readout.lstm` PyTorch Geometric's; weights that are a single layer ended
  with 3.0, those with a hidden layer came after it.

`_m3gnet_dgl` alone says nothing: descriptions of older models were rewritten to it without a change of the weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tribond.checkpoints.choices import Dialect
from tribond.errors import CheckpointError

NAMES = {"matgl_dgl": "MatGL up to version 2", "matgl_pyg": "MatGL from version 3 on"}


@dataclass(frozen=True)
class Evidence:
    """What the files of a model say."""

    modules: tuple[str, str]  # of the outer class and of the network's
    potential_version: int | None  # class version of a potential; None if it is none
    potential_settings: Mapping[str, Any] | None  # its arguments; None if it is none
    network_settings: Mapping[str, Any]
    tensors: tuple[str, ...]  # names of the network's

    def dialect(self) -> Dialect | None:
        """What follows, or None if nothing does."""
        names = {module.rpartition(".")[2] for module in self.modules}
        given = self.potential_settings or {}
        is_potential = self.potential_settings is not None
        maybe_3_0 = "_m3gnet_dgl" in names
        old_potential = is_potential and ((self.potential_version or 0) < 3 or "calc_charge" not in given)
        readout = [name.removeprefix("readout.") for name in self.tensors if name.startswith("readout.")]
        old_readout = any(name.startswith(("set2set.", "weight.0.")) for name in readout)
        new_readout = any(name.startswith(("lstm.", "weight.layers.")) for name in readout)
        rules: list[tuple[bool, Dialect]] = [
            (bool(names & {"_m3gnet_pyg", "_pes"}), "matgl_pyg"),
            ("compile_model" in given, "matgl_pyg"),
            (old_potential, "matgl_dgl"),
            ("_pes_dgl" in names, "matgl_pyg" if maybe_3_0 else "matgl_dgl"),
            ("dropout" not in self.network_settings and not maybe_3_0, "matgl_dgl"),
            (old_readout and not maybe_3_0, "matgl_dgl"),
            (new_readout and not maybe_3_0, "matgl_pyg"),
        ]
        return next((dialect for holds, dialect in rules if holds), None)


def dialect_of(folder: Path, evidence: Evidence, told: Dialect | None) -> Dialect:
    """The dialect of a model: what its files say, or else what the user says.

    Raises:
        CheckpointError: if neither says anything, or both something else.
    """
    found = evidence.dialect()
    dialect = found or told
    if dialect is None:
        msg = (
            f"{folder} could be of MatGL up to version 2 or from version 3 on, and they compute different energies from "
            "it; say which: tribond.load(..., dialect='matgl_dgl') for up to 2, 'matgl_pyg' for from 3 on; or write it "
            "to a file of tribond's own by `tribond convert SRC model.safetensors --dialect matgl_dgl`"
        )
        raise CheckpointError(msg)
    if told is not None and told != dialect:
        msg = (
            f"{folder} is of {NAMES[dialect]}, as its files say; dialect={told!r} would compute other energies from it"
        )
        raise CheckpointError(msg)
    return dialect
