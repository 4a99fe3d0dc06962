"""A potential as a model of torch-sim: many systems at once, relaxed or in dynamics, their state on the device.

    import torch_sim
    from tribond.integrations.torchsim import TorchSimModel

    model = TorchSimModel(tribond.load())
    relaxed = torch_sim.optimize(model.initial_state(structures), model, autobatcher=model.in_flight(), ...)

Runs with torch-sim 0.3 (Python 3.11) and 0.6 (from Python 3.12 on); docs/torchsim.md has examples of both.
"""

import warnings
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from ase.data import atomic_numbers
from torch import Tensor

try:
    import torch_sim
except ModuleNotFoundError as missing:
    if missing.name != "torch_sim":
        raise
    msg = "tribond.integrations.torchsim needs torch-sim: pip install 'tribond[torchsim]'"
    raise ModuleNotFoundError(msg, name="torch_sim") from missing
from torch_sim.autobatching import BinningAutoBatcher, InFlightAutoBatcher
from torch_sim.models.interface import ModelInterface

from tribond.errors import ConfigError, StructureError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.batch_skin import VerletBatch
from tribond.graph.build import as_atoms, as_list
from tribond.graph.checks import LARGEST_NUMBER, name_system
from tribond.graph.elements import check_elements
from tribond.graph.skin import DEFAULT_SKIN
from tribond.integrations.torchsim_memory import METRIC, batcher_settings, bytes_per_bond, most_bonds
from tribond.models.force_field import ForceField, TakesState
from tribond.models.trained_model import State, resolve_dtype

if TYPE_CHECKING:
    from tribond.graph.build import AnyStructure


class TorchSimModel(ModelInterface):
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, tension positive) of a state of torch-sim.

    Neighbours are kept in one list for the whole batch, and searched for anew only in the systems that need it; systems
    may join and leave. Results do not depend on that.

    Args:
        potential: from `tribond.load` or `tribond.load_exported`, or any other `ForceField`.
        state: the state input of potentials that have one, the same for all systems.
        skin: how much farther than bonds the list of neighbours reaches that one step leaves to the next, Å.
        dtype: precision of the states that torch-sim keeps, and of the results, whatever the potential computes in.

    Raises:
        ConfigError: if the potential is something else or takes no state; for a skin or a dtype that is none.
    """

    def __init__(
        self,
        potential: ForceField,
        *,
        state: State | None = None,
        skin: float = DEFAULT_SKIN,
        dtype: torch.dtype | str = torch.float64,
    ) -> None:
        given: object = potential
        if not isinstance(given, ForceField):
            msg = f"a TorchSimModel needs a Potential, as tribond.load gives; not {potential!r}"
            raise ConfigError(msg)
        self._with_state = given.with_state if isinstance(given, TakesState) else None
        if state is not None and self._with_state is None:
            msg = f"{potential!r} takes no state input"
            raise ConfigError(msg)
        super().__init__()
        self._potential, self._input = given, deepcopy(state)
        self._neighbours = VerletBatch(given.cutoff, given.threebody_cutoff, skin, given.device)
        self._device, self._dtype = given.device, resolve_dtype(dtype)
        self._compute_stress = self._compute_forces = True
        self._memory_scales_with = METRIC
        self._known = torch.zeros(LARGEST_NUMBER + 1, dtype=torch.bool)
        self._known[[atomic_numbers[symbol] for symbol in given.elements]] = True
        self._known = self._known.to(given.device)
        self._looked_at = 0  # searches of the neighbours when systems were last looked at
        self._bytes_per_bond: float | None = None
        self._told: set[str] = set()

    @property
    def potential(self) -> ForceField:
        """What computes; another one takes another model."""
        return self._potential

    @property
    def searches(self) -> int:
        """How many systems have been searched for neighbours so far; without a skin it is one a system and step."""
        return self._neighbours.searches

    def initial_state(self, structures: "AnyStructure | Iterable[AnyStructure]") -> torch_sim.SimState:
        """Structures as a state of torch-sim, on the model's device and in its precision.

        torch-sim converts structures itself, too; version 0.3 silently makes molecules of slabs and wires.

        Args:
            structures: ASE Atoms, pymatgen Structures or Molecules, one or many; all periodic along the same axes.

        Raises:
            StructureError: for a structure that holds an element that the potential does not know, is periodic in another
                way than the others or than torch-sim allows, or has a left-handed cell; it says which.
        """
        atoms = [as_atoms(structure) for structure in as_list(structures)]
        if not atoms or not all(map(len, atoms)):
            msg = "a state of torch-sim needs at least one system, and systems with atoms"
            raise StructureError(msg)
        axes = [tuple(one.pbc.tolist()) for one in atoms]
        for system, one in enumerate(atoms):
            if axes[system] != axes[0]:
                msg = (
                    f"systems 0 and {system} have pbc {list(axes[0])} and {list(axes[system])}, and a state of torch-sim has "
                    "one for all systems: make a state for each kind"
                )
                raise StructureError(msg)
            try:
                check_elements(one.numbers.tolist(), self.potential.elements)
                if all(axes[0]) and one.cell.handedness < 0:
                    msg = (
                        "the lattice vectors are left-handed, whose volume torch-sim takes as negative: it would relax the cell "
                        "uphill; exchange two of them: atoms.set_cell(atoms.cell[[1, 0, 2]])"
                    )
                    raise StructureError(msg)
            except StructureError as error:
                name_system(error, system, len(atoms))
                raise
        state = torch_sim.io.atoms_to_state(atoms, self.device, self.dtype)
        if isinstance(state.pbc, bool) and any(axes[0]) != all(axes[0]):
            msg = f"pbc is {list(axes[0])}, and torch-sim before 0.6 knows only all axes or none: take 0.6 or tribond.Calculator"
            raise StructureError(msg)
        return state

    def forward(self, state: "torch_sim.SimState | Mapping[str, Any]", **_others: Any) -> dict[str, Tensor]:
        """Energy, forces and stress of a state; the state is only read.

        Args:
            state: on the model's device and in its precision; of torch-sim 0.3 its dictionary, too.

        Returns:
            energy (systems,) eV, forces (atoms, 3) eV/Å, stress (systems, 3, 3) eV/Å³, NaN unless fully periodic; in
            the model's precision.

        Raises:
            StructureError: for a system that makes no sense or holds an unknown element; it says which.
            ConfigError: for a state of another precision or elsewhere.
        """
        if isinstance(state, Mapping):
            state = torch_sim.SimState(**{"masses": torch.ones_like(state["atomic_numbers"]), **state})
        result = self.potential.evaluate(self.graph(state))
        given = {"energy": result.energy, "forces": result.forces, "stress": result.stress}
        return {name: value.detach().to(self.dtype) for name, value in given.items()}

    def graph(self, state: "torch_sim.SimState") -> AtomGraph:
        """The graph of a state, as the potential takes it.

        Raises:
            StructureError, ConfigError: as `forward` does.
        """
        if state.positions.dtype != self.dtype:
            msg = f"the state is {state.positions.dtype} and this model {self.dtype}: state.to(dtype={self.dtype})"
            raise ConfigError(msg)
        if state.positions.device != self._known.device:
            msg = (
                f"the state is on {state.positions.device} and the potential on {self._known.device}: move one of them"
            )
            raise ConfigError(msg)
        pbc = torch.as_tensor(state.pbc, device=state.positions.device)
        graph = self._neighbours(
            positions=state.positions,
            cell=state.row_vector_cell,
            pbc=pbc.expand(len(state.cell), 3),
            atomic_numbers=state.atomic_numbers,
            system_index=state.system_idx,
        )
        if self._neighbours.searches != self._looked_at:  # else all systems have passed before; a GPU is not waited for
            if not bool(self._known[graph.atomic_numbers].all()):
                self._refuse_elements(graph)
            self._tell(state, graph)
            self._looked_at = self._neighbours.searches
        if self._with_state is None:
            return graph
        one = self._with_state(graph, self._input)
        return (
            one if one.state is None else replace(one, state=one.state.expand(graph.num_systems, *one.state.shape[1:]))
        )

    def _refuse_elements(self, graph: AtomGraph) -> None:
        first = int((~self._known[graph.atomic_numbers]).nonzero()[0])
        system = int(graph.system_index[first])
        try:
            check_elements(graph.atomic_numbers[graph.system_index == system].tolist(), self.potential.elements)
        except StructureError as error:
            name_system(error, system, graph.num_systems)
            raise

    def _tell(self, state: "torch_sim.SimState", graph: AtomGraph) -> None:
        """Warn, once each, of what torch-sim takes for something else than it is."""
        handed = torch.linalg.det(graph.cell)
        if bool((handed[graph.pbc.all(dim=1)] < 0).any()):
            system = int((handed < 0).nonzero()[0])
            self._warn(
                f"the lattice vectors of system {system} are left-handed: energy, forces and stress are right, but torch-sim "
                "takes its volume as negative and relaxes the cell uphill; exchange two lattice vectors before"
            )
        if isinstance(state.pbc, bool) and not state.pbc and bool(graph.cell.any()):
            self._warn(
                "the state has a cell and pbc = False: computed without periodic images. torch-sim before 0.6 turns slabs and "
                "wires into this silently; TorchSimModel.initial_state refuses them"
            )

    def _warn(self, message: str) -> None:
        kind = message[:20]
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, stacklevel=2)

    def bytes_per_bond(self) -> float:
        """Memory that an evaluation takes, neighbours included, for each bond; measured once, on a crystal."""
        if self._bytes_per_bond is None:
            self._bytes_per_bond = bytes_per_bond(self)
        return self._bytes_per_bond

    def in_flight(self, max_bonds: int | None = None, **settings: Any) -> InFlightAutoBatcher:
        """The autobatcher for `torch_sim.optimize`, of as many systems at once as memory holds.

        torch-sim's own guess tries batches until memory is full, and does not work on CPUs.

        Args:
            max_bonds: bonds of a batch; without it `torchsim_memory.most_bonds`.
            settings: others of `torch_sim.InFlightAutoBatcher`.
        """
        return InFlightAutoBatcher(model=self, **batcher_settings(self, max_bonds or most_bonds(self), settings))

    def binning(self, max_bonds: int | None = None, **settings: Any) -> BinningAutoBatcher:
        """The autobatcher for `torch_sim.integrate` and `torch_sim.static`; as `in_flight`."""
        return BinningAutoBatcher(model=self, **batcher_settings(self, max_bonds or most_bonds(self), settings))
