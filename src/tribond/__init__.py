"""tribond: M3GNet, the graph network whose bonds listen to angles, as one PyTorch package.

    import tribond
    potential = tribond.load()
    potential.predict(atoms)[0].forces        # eV/Å
    atoms.calc = tribond.Calculator(potential)

Names are imported on first use, so that the command line can print its help without waiting for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tribond.checkpoints.registry import load, load_force_field, load_potential
    from tribond.export.exported import ExportedPotential, load_exported
    from tribond.export.package import export_potential
    from tribond.graph.atom_graph import AtomGraph
    from tribond.integrations.ase import Calculator
    from tribond.models.dispersion import with_dispersion, without_dispersion
    from tribond.models.ensemble import Ensemble
    from tribond.models.force_field import Prediction, Spread
    from tribond.models.potential import Potential
    from tribond.models.property_model import PropertyModel, PropertyPrediction
    from tribond.nn.config import M3GNetConfig
    from tribond.nn.m3gnet import M3GNet

_HOME = {
    "AtomGraph": "tribond.graph.atom_graph",
    "Calculator": "tribond.integrations.ase",
    "Ensemble": "tribond.models.ensemble",
    "ExportedPotential": "tribond.export.exported",
    "M3GNet": "tribond.nn.m3gnet",
    "M3GNetConfig": "tribond.nn.config",
    "Potential": "tribond.models.potential",
    "Prediction": "tribond.models.force_field",
    "PropertyModel": "tribond.models.property_model",
    "PropertyPrediction": "tribond.models.property_model",
    "Spread": "tribond.models.force_field",
    "export_potential": "tribond.export.package",
    "load": "tribond.checkpoints.registry",
    "load_exported": "tribond.export.exported",
    "load_force_field": "tribond.checkpoints.registry",
    "load_potential": "tribond.checkpoints.registry",
    "with_dispersion": "tribond.models.dispersion",
    "without_dispersion": "tribond.models.dispersion",
}

__all__ = [
    "AtomGraph",
    "Calculator",
    "Ensemble",
    "ExportedPotential",
    "M3GNet",
    "M3GNetConfig",
    "Potential",
    "Prediction",
    "PropertyModel",
    "PropertyPrediction",
    "Spread",
    "export_potential",
    "load",
    "load_exported",
    "load_force_field",
    "load_potential",
    "with_dispersion",
    "without_dispersion",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        msg = f"module 'tribond' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
