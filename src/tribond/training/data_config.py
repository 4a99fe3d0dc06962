"""The sources in a training file: what is read, how much it counts, and how it is split."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tribond.data.labels import LABELS, Label, LabelKeys, StressUnit
from tribond.reading.content import Options

# Settings of a source that say how files are read.
OF_FILES = ("stress_unit", "energy_key", "forces_key", "stress_key", "virial_key", "format", "elements")


class Strict(BaseModel):
    """Settings that must be spelt as they are, and stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Weights(Strict):
    """What the terms of the loss are multiplied by for the structures of one source. Zero: the label is not learnt."""

    energy: float = Field(default=1.0, ge=0)
    forces: float = Field(default=1.0, ge=0)
    stress: float = Field(default=1.0, ge=0)


class SourceConfig(Strict):
    """One data source: structures of one level of theory, in files or in a store."""

    name: str
    files: list[str] = []  # relative to the training file; `*` allowed
    store: str | None = None  # instead of files: the folder that `tribond data build` made
    level: str | None = None  # which level of theory of the store, if it has several
    labels: list[Label] = Field(default=list(LABELS), min_length=1)
    stress_unit: StressUnit = "eV/A^3"
    energy_key: str | None = None  # names of the labels in the files, where they are not energy, forces and stress
    forces_key: str | None = None
    stress_key: str | None = None
    virial_key: str | None = None  # instead of stress_key: eV, a compressed crystal's is positive
    format: str | None = None  # of the files, where names and contents do not say it
    elements: list[str] = []  # of the types 1, 2, ... in files of LAMMPS
    reference_energies: str = "fit"  # "fit": of its own; or the name of the source whose zero of energy it shares
    repeat: float = Field(default=1.0, gt=0)  # times an epoch that a frame is seen
    share: float | None = Field(default=None, ge=0, le=1)  # of the structures seen; instead of `repeat`
    weights: Weights = Weights()
    in_validation: bool = True  # False: its compounds in the validation fold are left out altogether
    unknown_elements: Literal["error", "skip"] = "error"  # what to do with frames that the model has no embedding for
    max_force_eV_per_A: float = Field(default=100.0, gt=0)  # frames beyond are left out
    max_stress_GPa: float = Field(default=1000.0, gt=0)

    @model_validator(mode="after")
    def _one_stress(self) -> Self:
        if self.stress_key is not None and self.virial_key is not None:
            msg = f"source {self.name}: stress_key and virial_key name the same label; leave one out"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _files_or_store(self) -> Self:
        if (self.store is None) == (not self.files):
            msg = f"source {self.name}: name either files or a store"
            raise ValueError(msg)
        if self.store is None and self.level is not None:
            msg = f"source {self.name}: level chooses from a store; leave it out"
            raise ValueError(msg)
        known = [name for name in OF_FILES if getattr(self, name) != type(self).model_fields[name].get_default()]
        if self.store is not None and known:
            msg = f"source {self.name}: a store knows its {', '.join(known)}; give them to `tribond data build`"
            raise ValueError(msg)
        return self

    def keys(self) -> LabelKeys:
        """Names of the labels."""
        return LabelKeys(self.energy_key, self.forces_key, self.stress_key, self.virial_key)

    def reading(self) -> Options:
        """How the files are read."""
        return Options(self.format, tuple(self.elements))


class DataConfig(Strict):
    """Where structures come from and how they are split."""

    train: list[SourceConfig] = Field(min_length=1)
    validation: list[SourceConfig] = []  # their zero is that of the training source of the same name
    # Without `validation`, one compound in so many of `train` is held out, chosen by its formula; 0 holds out nothing.
    validation_folds: int = Field(default=10, ge=0)
    split_by: Literal["composition", "id"] = "composition"  # of stores also by id: structures of one stay together
    validation_fold: int = Field(default=0, ge=0)  # another number, another tenth: for cross-validation

    @model_validator(mode="after")
    def _seen(self) -> Self:
        for source in self.train:
            if source.share is not None and source.repeat != 1.0:
                msg = f"source {source.name}: share and repeat exclude each other; leave one out"
                raise ValueError(msg)
        for source in self.validation:
            if source.share is not None:
                msg = f"validation source {source.name}: every structure is validated once; leave out share"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [source.name for source in self.train]
        if len(set(names)) < len(names):
            msg = f"two sources have the same name: {names}"
            raise ValueError(msg)
        if "fit" in names:
            msg = "a source cannot be called 'fit'"
            raise ValueError(msg)
        own = [source.name for source in self.train if source.reference_energies in ("fit", source.name)]
        for source in [*self.train, *self.validation]:
            if source.reference_energies not in ("fit", *own):
                msg = f"source {source.name}: reference_energies must be 'fit' or one of those that fit: {own}"
                raise ValueError(msg)
        for source in self.validation:
            if source.reference_energies == "fit" and source.name not in names:
                msg = f"validation source {source.name}: name it like a training source, or say whose zero it shares"
                raise ValueError(msg)
        if self.validation_folds == 1 or self.validation_fold >= max(self.validation_folds, 1):
            msg = "validation_folds must be 0 or at least 2, and validation_fold less than that"
            raise ValueError(msg)
        if self.train[0].reference_energies not in ("fit", names[0]):
            msg = "the first training source fits reference energies of its own: they become the model's"
            raise ValueError(msg)
        return self

    def validation_names(self) -> list[str]:
        """Names of the sources that may validate, each once."""
        if self.validation:
            return list(dict.fromkeys(source.name for source in self.validation))
        return [source.name for source in self.train if source.in_validation and self.validation_folds]
