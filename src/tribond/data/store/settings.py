"""How the files of a store are to be read."""

from dataclasses import dataclass, field

from tribond.data.labels import LabelKeys, StressUnit
from tribond.reading.content import Options

ID_KEYS = ("material_id", "mp_id", "mat_id", "matpes_id", "structure_id", "id", "identifier")


@dataclass(frozen=True)
class ReadSettings:
    """What the user says about the files.

    Attributes:
        stress_unit: of all files but VASP's own, which have kbar; None: what each format is known to have, else eV/Å³.
        keys: names of the labels, where they are not ASE's; VASP's own files have no other names.
        id_key: name of what tells which material a structure is of; None: the usual ones.
        options: format, and elements of types.
        vasp_energy: "e0", extrapolated to no smearing, or "free", of which the forces are derivatives.
    """

    stress_unit: StressUnit | None = None
    keys: LabelKeys = field(default_factory=LabelKeys)
    id_key: str | None = None
    options: Options = field(default_factory=Options)
    vasp_energy: str = "e0"

    def unit(self, usual: StressUnit = "eV/A^3") -> StressUnit:
        """Of stresses in a file whose format usually has this one."""
        return self.stress_unit or usual

    @property
    def id_keys(self) -> tuple[str, ...]:
        """Names to look for, the first that is there counts."""
        return ID_KEYS if self.id_key is None else (self.id_key,)
