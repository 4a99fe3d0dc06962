"""A trained M3GNet that predicts properties of a structure: a formation energy, moduli, a heat capacity, a class."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import as_list
from tribond.models.trained_model import State, TrainedModel
from tribond.nn.config import Readout

if TYPE_CHECKING:
    from ase import Atoms

    from tribond.graph.build import AnyStructure


@dataclass(frozen=True)
class Target:
    """One number that a model predicts."""

    name: str  # such as "bulk modulus"
    unit: str  # such as "GPa"; empty for pure numbers


@dataclass(frozen=True, eq=False)
class PropertyPrediction:
    """The property of one structure."""

    value: float | NDArray[np.float64]  # a number, a probability for classes; (num_targets,) of models with several
    name: str  # what it is, such as "formation energy"
    unit: str  # such as "eV/atom"; empty for pure numbers, and where targets have units of their own
    targets: tuple[Target, ...] = ()  # (num_targets,) what each number is; of exclusive classes, the classes
    label: str | None = None  # of classes with names, the one that is most likely


class PropertyModel(TrainedModel):
    """An M3GNet that predicts properties of whole structures, ready to use.

    Attributes:
        model: the network, in evaluation mode.
        metadata: where it comes from; under "property", the name and unit of what it predicts, or of several targets.
    """

    readouts: ClassVar[tuple[Readout, ...]] = (
        *("weighted_atom", "weighted_sum", "set2set", "set2set_by_feature", "mean"),
        "sum",
    )
    needs: ClassVar[str] = "an intensive"

    @property
    def name(self) -> str:
        """What it predicts; "property" if the file does not say."""
        return str(self._stated().get("name", "property"))

    @property
    def unit(self) -> str:
        """Unit of what it predicts; empty if the file does not say, for pure numbers, and for several units."""
        return str(self._stated().get("unit", ""))

    @property
    def targets(self) -> tuple[Target, ...]:
        """(num_targets,) name and unit of every number that it predicts."""
        number = self.config.num_targets
        stated = self._stated().get("targets")
        if isinstance(stated, Sequence) and len(stated) == number and all(isinstance(it, Mapping) for it in stated):
            return tuple(Target(str(it.get("name", "property")), str(it.get("unit", ""))) for it in stated)
        if self.config.classification == "exclusive" and len(self.classes) == number:
            return tuple(Target(name, "") for name in self.classes)
        if number == 1:
            return (Target(self.name, self.unit),)
        return tuple(Target(f"{self.name} {index + 1}", self.unit) for index in range(number))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; of two, the probability is that of the second. Empty if it predicts none."""
        stated = self._stated().get("classes")
        return tuple(map(str, stated)) if isinstance(stated, Sequence) and not isinstance(stated, str) else ()

    @property
    def state_keys(self) -> tuple[str, ...]:
        """Under which keys of its training data the state input stood; empty if the file does not say."""
        keys = self._stated_state().get("keys")
        return tuple(map(str, keys)) if isinstance(keys, Sequence) and not isinstance(keys, str) else ()

    @property
    def state_categories(self) -> tuple[str, ...]:
        """Names of the categories of the state input; empty if it has none, or the file does not say."""
        names = self._stated_state().get("categories")
        return tuple(map(str, names)) if isinstance(names, Sequence) and not isinstance(names, str) else ()

    def state_of(self, values: Mapping[str, Any]) -> int | list[float]:
        """The state input that the info of a structure, or a row of a table, states.

        Args:
            values: with the keys of the training data.

        Raises:
            ConfigError: if a key is missing or its value makes no sense.
        """
        found = []
        for key in self.state_keys:
            value = values.get(key)
            if value is None:
                msg = f"there is no {key}, which this model takes as its state input"
                raise ConfigError(msg)
            found.append(value)
        if self.state_categories:
            if str(found[0]) not in self.state_categories:
                msg = f"{self.state_keys[0]} is {found[0]!s}, which is none of {', '.join(self.state_categories)}"
                raise ConfigError(msg)
            return self.state_categories.index(str(found[0]))
        try:
            return [float(value) for value in found]
        except (TypeError, ValueError) as error:
            msg = f"{', '.join(self.state_keys)} must be numbers, not {found}"
            raise ConfigError(msg) from error

    def states_of(self, structures: "Sequence[Atoms]") -> list[int | list[float]]:
        """The states that structures have in their info, one each.

        Raises:
            ConfigError: naming the first structure without.
        """
        states = []
        for index, atoms in enumerate(structures):
            try:
                states.append(self.state_of(atoms.info))
            except ConfigError as error:
                msg = f"structure {index}: {error}"
                raise ConfigError(msg) from error
        return states

    def _stated(self) -> Mapping[str, Any]:
        stated = self.metadata.get("property")
        return stated if isinstance(stated, Mapping) else {}

    def _stated_state(self) -> Mapping[str, Any]:
        stated = self._stated().get("state")
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
        targets = self.targets
        return [
            PropertyPrediction(
                float(values[0]) if len(values) == 1 else values, self.name, self.unit, targets, self._label(values)
            )
            for graph in self._batches(as_list(structures), state)
            for values in self.evaluate(graph).cpu().numpy()
        ]

    def _label(self, values: NDArray[np.float64]) -> str | None:
        classes = self.classes
        if not self.config.classification or not classes or not np.isfinite(values).all():
            return None
        if len(values) == 1 and len(classes) == 2:
            return classes[int(values[0] > 0.5)]
        return classes[int(np.argmax(values))] if len(values) == len(classes) else None
