"""What stands in the file of a screening: sources, steps, what is kept. Checked in full before anything is read."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tribond.errors import ConfigError


class Strict(BaseModel):
    """Settings that must be spelt as they are, and stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Source(Strict):
    """Structures from one place: exactly one of `files`, `parquet`, `optimade` and `prototypes`."""

    files: list[str] | None = None  # files, folders, patterns, archives, databases of ASE; FILE@INDEX
    parquet: list[str] | None = None  # results of an earlier screening, with their structures
    optimade: list[str] | None = None  # answers of OPTIMADE's /structures as JSON, or one structure a line
    prototypes: list[str] | None = None  # files of crystals whose elements are replaced
    substitute: dict[str, list[str]] | None = None  # element of the prototype: elements that come to its sites
    charge_balance: bool = True  # only what pymatgen can give oxidation states that add up to zero
    same_element: bool = False  # also the same element on sites of several elements of the prototype
    scale_volume: bool = True  # by covalent radii; else the cell of the prototype
    format: str | None = None  # of the files, where names and contents do not say it

    _lists = field_validator("files", "parquet", "optimade", "prototypes", mode="before")(_listed)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [name for name in ("files", "parquet", "optimade", "prototypes") if getattr(self, name)]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            raise ValueError(f"a source has one of files, parquet, optimade and prototypes; this has {found}")
        if bool(self.prototypes) != bool(self.substitute):
            raise ValueError("prototypes and substitute belong together: say which elements take whose place")
        return self

    @property
    def kind(self) -> str:
        """The key that it has."""
        return next(name for name in ("files", "parquet", "optimade", "prototypes") if getattr(self, name))

    @property
    def names(self) -> list[str]:
        """Of its files."""
        return list(getattr(self, self.kind))


class Deduplicate(Strict):
    """One of all structures that pymatgen's StructureMatcher takes for the same: the first one."""

    kind: Literal["deduplicate"] = "deduplicate"
    ltol: float = Field(default=0.2, gt=0)
    stol: float = Field(default=0.3, gt=0)
    angle_tol_degree: float = Field(default=5.0, gt=0)


class Predict(Strict):
    """Energy, forces and stress of the structures as they are."""

    kind: Literal["predict"] = "predict"
    batch_atoms: int = Field(default=512, ge=1)


class Relax(Strict):
    """Relaxations, with the settings of `tribond relax`."""

    kind: Literal["relax"] = "relax"
    fmax_eV_per_A: float = Field(default=0.005, gt=0)
    steps: int = Field(default=500, ge=1)
    optimizer: Literal["LBFGS", "BFGS", "FIRE", "FIRE2"] = "LBFGS"
    relax_cell: bool = True
    pressure_GPa: float = 0.0
    fix_symmetry: bool = False
    cell_axes: str | None = None


class FormationEnergy(Strict):
    """From the most stable of the references of each element."""

    kind: Literal["formation_energy"] = "formation_energy"


class AboveHull(Strict):
    """Above the convex hull of the references, below it negative."""

    kind: Literal["above_hull"] = "above_hull"


class BulkModulus(Strict):
    """By an equation of state, or from the elastic tensor (Voigt-Reuss-Hill)."""

    kind: Literal["bulk_modulus"] = "bulk_modulus"
    method: Literal["eos", "elastic"] = "eos"
    volume_range: tuple[float, float] = (0.94, 1.06)  # of the equation of state
    points: int = Field(default=7, ge=5)
    fmax_eV_per_A: float = Field(default=0.002, gt=0)
    relax_shape: bool = True  # of the equation of state: at constant shape crystals that are not cubic are too stiff


class Filter(Strict):
    """What goes on: rows for which an expression of SQL over the columns is true."""

    kind: Literal["filter"] = "filter"
    expression: str = Field(min_length=1)


Step: TypeAlias = Deduplicate | Predict | Relax | FormationEnergy | AboveHull | BulkModulus | Filter
STEPS: dict[str, type[Strict]] = {
    "deduplicate": Deduplicate,
    "predict": Predict,
    "relax": Relax,
    "formation_energy": FormationEnergy,
    "above_hull": AboveHull,
    "bulk_modulus": BulkModulus,
    "filter": Filter,
}
WITH_MODEL = {"predict", "relax", "bulk_modulus"}
WITH_REFERENCES = {"formation_energy", "above_hull"}


class References(Strict):
    """Phases that formation energies and hulls are measured against."""

    files: list[str] = Field(min_length=1)
    energies: Literal["relax", "predict", "file"] = "relax"  # by the same potential, or those in the files
    format: str | None = None

    _lists = field_validator("files", mode="before")(_listed)


class Settings(Strict):
    """A screening."""

    model: str = "default"
    dtype: Literal["float32", "float64"] = "float64"
    sources: list[Source] = Field(min_length=1)
    steps: list[Annotated[Step, Field(discriminator="kind")]] = Field(min_length=1)
    references: References | None = None
    results: str = "results.parquet"
    structures: Literal["column", "none"] | str = "structures.extxyz"  # noqa: PYI051, the words stand for the reader
    rank_by: str | None = None  # column; the lowest are the best, with a minus in front the highest
    shard_size: int | None = Field(default=None, ge=1)  # structures; None: few at first, then more, see plan.py
    time_limit_s: float = Field(default=3600.0, gt=0, le=1e8)  # for one structure in one step

    @field_validator("steps", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return [_step(it) for it in value] if isinstance(value, list) else value

    @field_validator("results")
    @classmethod
    def _results(cls, value: str) -> str:
        if not value.endswith(".parquet") or Path(value).name != value:
            raise ValueError("must be a name that ends in .parquet; --output chooses the folder")
        return value

    @field_validator("structures")
    @classmethod
    def _structures(cls, value: str) -> str:
        if value not in {"column", "none"} and (not value.endswith((".extxyz", ".xyz")) or Path(value).name != value):
            raise ValueError("must be a name that ends in .extxyz, or column (of the results), or none")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        energies = False
        pressed = 0.0
        for number, step in enumerate(self.steps):
            if isinstance(step, Relax | Predict):
                pressed = step.pressure_GPa if isinstance(step, Relax) else 0.0
            if step.kind in WITH_REFERENCES and pressed:
                raise ValueError(f"steps.{number}: {step.kind} is for structures at zero pressure, not {pressed:g} GPa")
            energies = energies or step.kind in {"predict", "relax"}
            if step.kind in WITH_REFERENCES and not energies:
                raise ValueError(f"steps.{number}: {step.kind} needs energies; put predict or relax before it")
            if step.kind in WITH_REFERENCES and self.references is None:
                raise ValueError(f"steps.{number}: {step.kind} needs `references`, files of the phases to compare with")
        return self

    @property
    def needs_model(self) -> bool:
        """Whether anything is computed with the potential."""
        return any(step.kind in WITH_MODEL for step in self.steps)


def _step(value: Any) -> Any:
    """A name, or a name with its settings, as what pydantic reads."""
    if isinstance(value, dict) and value.get("kind") in STEPS:
        return value  # as a plan has it
    name: Any = value
    settings: Any = None
    if isinstance(value, dict) and len(value) == 1:
        ((name, settings),) = value.items()
    if not isinstance(name, str) or name not in STEPS:
        known = ", ".join(STEPS)
        raise ValueError(f"{value!r} is no step; write one of {known}, with settings as `- relax: {{steps: 200}}`")
    if name == "filter" and isinstance(settings, str):
        settings = {"expression": settings}
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise ValueError(f"the settings of {name} must be names with values, not {settings!r}")  # noqa: TRY004, pydantic's
    return {**settings, "kind": name}


def read_settings(path: Path) -> Settings:
    """Read and check the file of a screening.

    Raises:
        ConfigError: if it cannot be read; or naming each key that is wrong, its value and what may stand there.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold `sources:` and `steps:`, not {type(content).__name__}")
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"  {_explained(dict(it))}" for it in error.errors())
        raise ConfigError(f"{path} has settings that cannot be used:\n{problems}") from error


def _explained(problem: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "file"
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return f"{where}: unknown key (value {value!r}); known here: {', '.join(_known(problem['loc'][:-1]))}"
    if kind == "missing":
        return f"{where}: missing"
    text = problem["msg"].removeprefix("Value error, ")
    simple = isinstance(value, str | int | float | bool) or value is None
    return f"{where}: {text[:1].lower()}{text[1:]}{f', not {value!r}' if simple else ''}"


def _known(loc: tuple[Any, ...]) -> list[str]:
    """The keys that may stand at a place in the file."""
    model: type[Strict] = Settings
    for part in loc:
        if part == "sources":
            model = Source
        elif part == "references":
            model = References
        elif part in STEPS:
            model = STEPS[part]
    return [name for name in model.model_fields if name != "kind"]
