"""A potential as an ASE calculator."""

from copy import deepcopy
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator as ASECalculator
from ase.calculators.calculator import PropertyNotImplementedError, all_changes
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress

from tribond.errors import ConfigError
from tribond.graph.elements import check_elements
from tribond.graph.skin import DEFAULT_SKIN, VerletGraph
from tribond.models.force_field import ForceField, GivesSpread, Prediction, RecordsSteps, TakesState, unbatch
from tribond.models.property_model import PropertyModel
from tribond.models.trained_model import State

SPREADS = ("energy_std", "forces_std", "stress_std")  # results that ASE does not know


class Calculator(ASECalculator):
    """Energy (eV), energies (eV), forces (eV/Å) and stress (eV/Å³, Voigt order, ASE's sign) for ASE.

    Of an ensemble `results`, and `get_property`, have standard deviations over its members too: `energy_std` (eV),
    `forces_std` ((atoms, 3) eV/Å) and, of fully periodic structures, `stress_std` ((6,) eV/Å³, Voigt order).

    Args:
        potential: from `tribond.load` or `tribond.load_exported`, or any other `ForceField`.
        state: the state input of potentials that have one.
        skin: how much farther than bonds the list of neighbours reaches that one step leaves to the next, Å. Results
            do not depend on it, not by a bit; 0 searches for neighbours at every step. See `VerletGraph`.

    Raises:
        ConfigError: if the potential is something else, such as a model of one property; for a negative skin.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]
    ignored_changes: ClassVar[set[str]] = {"initial_charges", "initial_magmoms"}

    def __init__(
        self,
        potential: ForceField,
        *,
        state: State | None = None,
        skin: float = DEFAULT_SKIN,
    ) -> None:
        given: object = potential
        if isinstance(given, PropertyModel):
            msg = f"a Calculator needs a Potential; this is a model of one property, {given.name}"
            raise ConfigError(msg)
        if not isinstance(given, ForceField):
            msg = f"a Calculator needs a Potential, as tribond.load gives; not {potential!r}"
            raise ConfigError(msg)
        self._with_state = given.with_state if isinstance(given, TakesState) else None
        if state is not None and self._with_state is None:
            msg = f"{potential!r} takes no state input"
            raise ConfigError(msg)
        super().__init__()
        if isinstance(given, GivesSpread):
            # Of this one calculator: those of potentials have none.
            self.__dict__["implemented_properties"] = [*self.implemented_properties, *SPREADS]
        self._potential = given
        self._graph = VerletGraph(given.cutoff, given.threebody_cutoff, skin, given.device)
        self._state = deepcopy(state)
        self._recorder = given.recorder(skin) if state is None and isinstance(given, RecordsSteps) else None

    @property
    def potential(self) -> ForceField:
        """The potential; another one takes another calculator."""
        return self._potential

    @property
    def state(self) -> State | None:
        """The state input; another one takes another calculator."""
        return self._state

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """What has changed since the last calculation, by names of ASE's: exactly, and much faster than ASE finds out.

        Args:
            atoms: as they are now.
            tol: taken for ASE's sake; any change counts.
        """
        del tol
        before = self.atoms
        if before is None or len(before) != len(atoms):
            return list(all_changes)
        return [
            name
            for name, old, new in (
                ("positions", before.positions, atoms.positions),
                ("numbers", before.numbers, atoms.numbers),
                ("cell", before.cell.array, atoms.cell.array),
                ("pbc", before.pbc, atoms.pbc),
            )
            if not (old == new).all()
        ]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results`; everything comes from one evaluation.

        Args:
            atoms: to calculate; those of the last calculation if left out.
            properties: those that are wanted.
            system_changes: not needed: what has changed is seen here.

        Raises:
            StructureError: for atoms that make no sense or hold an element the potential does not know.
            PropertyNotImplementedError: when stress is asked of a system that is not fully periodic.
        """
        del system_changes
        self.results = {}  # those of other atoms, should anything below fail
        if atoms is not None:
            self.atoms = atoms.copy()
        prediction = self._predict()
        self.results = {
            "energy": prediction.energy,
            "free_energy": prediction.energy,
            "energies": prediction.atomic_energies,
            "forces": prediction.forces,
        }
        if prediction.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress)
        self.results |= _spread_of(prediction)
        if prediction.stress is None and {"stress", "stress_std"}.intersection(properties or ()):
            msg = f"stress needs a cell periodic along a, b and c; this one has pbc = {self.atoms.pbc.tolist()}"
            raise PropertyNotImplementedError(msg)

    def export_properties(self) -> Properties:
        """The results that ASE has a name for."""
        return Properties({name: value for name, value in self.results.items() if name in all_outputs})

    def _predict(self) -> Prediction:
        if self._recorder is not None and (recorded := self._recorder(self.atoms)) is not None:
            return recorded
        graph = self._graph(self.atoms)
        check_elements(self.atoms.numbers.tolist(), self.potential.elements)
        if self._with_state is not None:
            graph = self._with_state(graph, self.state)
        return unbatch(graph, self.potential.evaluate(graph))[0]


def _spread_of(prediction: Prediction) -> dict[str, Any]:
    spread = prediction.spread
    if spread is None:
        return {}
    found: dict[str, Any] = {"energy_std": spread.energy_std, "forces_std": spread.forces_std}
    if spread.stress_std is not None:
        found["stress_std"] = full_3x3_to_voigt_6_stress(spread.stress_std)
    return found
