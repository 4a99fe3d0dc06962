"""A trained M3GNet that predicts one property of a structure: a formation energy, a band gap, a class."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import as_list
from tribond.models.trained_model import State, TrainedModel
from tribond.nn.config import Readout

if TYPE_CHECKING:
    from tribond.graph.build import AnyStructure


@dataclass(frozen=True, eq=False)
class PropertyPrediction:
    """The property of one structure."""

    value: float | NDArray[np.float64]  # a number, a probability for classes; (num_targets,) of models with several
    name: str  # what it is, such as "formation energy"
    unit: str  # such as "eV/atom"; empty for pure numbers


class PropertyModel(TrainedModel):
    """An M3GNet with an intensive readout, ready to use.

    Attributes:
        model: the network, in evaluation mode.
        metadata: where it comes from; under "property", the name and unit of what it predicts.
    """

    readouts: ClassVar[tuple[Readout, ...]] = ("weighted_atom", "weighted_sum", "set2set", "set2set_by_feature", "mean")
    needs: ClassVar[str] = "an intensive"

    @property
    def name(self) -> str:
        """What it predicts; "property" if the file does not say."""
        return str(self._stated().get("name", "property"))

    @property
    def unit(self) -> str:
        """Unit of what it predicts; empty if the file does not say, and for pure numbers."""
        return str(self._stated().get("unit", ""))

    def _stated(self) -> Mapping[str, object]:
        stated = self.metadata.get("property")
        return stated if isinstance(stated, Mapping) else {}

    def evaluate(self, graph: AtomGraph) -> Tensor:
        """The property of every system of a batch.  (systems, num_targets), float64."""
        with torch.no_grad():
            return self.model.property(graph.edge_vectors(), graph)

    def predict(
        self, structures: "AnyStructure | Iterable[AnyStructure]", *, state: State | None = None
    ) -> list[PropertyPrediction]:
        """The property of one or many structures, evaluated in batches.

        Args:
            structures: ASE Atoms, pymatgen Structure or Molecule, or an iterable of them; only read.
            state: for models with a state input: one for all structures, or one for each.

        Returns:
            One prediction a structure, in order; for one structure, a list of one.

        Raises:
            StructureError: for a structure that makes no sense or holds an unknown element; it says which.
            ConfigError: for a state that is missing, not wanted or does not fit.
        """
        return [
            PropertyPrediction(float(values[0]) if len(values) == 1 else values, self.name, self.unit)
            for graph in self._batches(as_list(structures), state)
            for values in self.evaluate(graph).cpu().numpy()
        ]
