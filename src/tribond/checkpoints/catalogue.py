"""The published M3GNets that tribond knows by name: `catalogue.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tribond.checkpoints.download import RemoteFile

PATH = Path(__file__).parent / "catalogue.toml"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One published model."""

    name: str
    code: str  # that made it
    format: Literal["tensorflow", "matgl_dgl", "matgl_pyg", "mattersim", "m3gnet_pytorch"]
    kind: Literal["potential", "property"]
    num_elements: int
    elements: str
    level_of_theory: str
    training_data: str
    published_errors: str
    licence: str
    citation: str
    files: tuple[RemoteFile, ...]  # the first one's checksum tells the model from any other
    aliases: tuple[str, ...] = ()
    parameters: int | None = None
    only_elements: tuple[str, ...] = ()  # symbols, where the file has more than the model was trained on
    property: Mapping[str, str] = field(default_factory=dict)  # name and unit of what a property model predicts

    def metadata(self) -> dict[str, Any]:
        """What a model file shall say of where it comes from."""
        stated = {
            "name": self.name,
            "origin": self.code,
            "level_of_theory": self.level_of_theory,
            "training_data": self.training_data,
            "licence": self.licence,
            "errors": self.published_errors,
            "citation": self.citation,
        }
        return stated | ({"property": dict(self.property)} if self.property else {})


@cache
def catalogue() -> Mapping[str, Entry]:
    """All entries by name."""
    records = tomllib.loads(PATH.read_text(encoding="utf-8"))["model"]
    return {record["name"]: _entry(record) for record in records}


def entry_named(name: str) -> Entry | None:
    """The entry of this name or alias, upper and lower case alike."""
    for entry in catalogue().values():
        if name.lower() in {known.lower() for known in (entry.name, *entry.aliases)}:
            return entry
    return None


def entry_with_checksum(sha256: str) -> Entry | None:
    """The entry whose first file has this checksum: the model, whatever its file is called now."""
    for entry in catalogue().values():
        if entry.files[0].sha256 == sha256:
            return entry
    return None


def _entry(record: dict[str, Any]) -> Entry:
    files = tuple(
        RemoteFile(name=file["name"], url=file["url"], sha256=file.get("sha256"), size=file.get("size"))
        for file in record.pop("files")
    )
    aliases, only_elements = tuple(record.pop("aliases", ())), tuple(record.pop("only_elements", ()))
    return Entry(files=files, aliases=aliases, only_elements=only_elements, **record)
