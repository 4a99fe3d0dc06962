"""A potential as an ASE calculator."""

from typing import ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator as ASECalculator
from ase.calculators.calculator import PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from tribond.errors import ConfigError
from tribond.export.exported import ExportedPotential
from tribond.potential import Potential
from tribond.property_model import PropertyModel
from tribond.trained_model import State


class Calculator(ASECalculator):
    """Energy (eV), energies (eV), forces (eV/Å) and stress (eV/Å³, Voigt order, ASE's sign) for ASE.

    Args:
        potential: from `tribond.load` or `tribond.load_exported`.
        state: the state input of potentials that have one.

    Raises:
        ConfigError: if it is something else, such as a model of one property.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, potential: Potential | ExportedPotential | PropertyModel, *, state: State | None = None) -> None:
        given: object = potential
        if isinstance(given, PropertyModel):
            msg = f"a Calculator needs a Potential; this is a model of one property, {given.name}"
            raise ConfigError(msg)
        if not isinstance(given, Potential | ExportedPotential):
            msg = f"a Calculator needs a Potential, as tribond.load gives; not {potential!r}"
            raise ConfigError(msg)
        if isinstance(given, ExportedPotential) and state is not None:
            msg = "an exported potential takes no state input"
            raise ConfigError(msg)
        super().__init__()
        self.potential = given
        self.state = state

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results`; everything comes from one evaluation.

        Raises:
            StructureError: for atoms that make no sense or hold an element the potential does not know.
            PropertyNotImplementedError: when stress is asked of a system that is not fully periodic.
        """
        super().calculate(atoms, properties, system_changes)
        if isinstance(self.potential, ExportedPotential):
            (prediction,) = self.potential.predict(self.atoms)
        else:
            (prediction,) = self.potential.predict(self.atoms, state=self.state)
        self.results = {
            "energy": prediction.energy,
            "free_energy": prediction.energy,
            "energies": prediction.atomic_energies,
            "forces": prediction.forces,
        }
        if prediction.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress)
        elif properties is not None and "stress" in properties:
            msg = f"stress needs a cell periodic along a, b and c; this one has pbc = {self.atoms.pbc.tolist()}"
            raise PropertyNotImplementedError(msg)
