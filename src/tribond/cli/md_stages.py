"""The stages that `tribond md` is asked for, as settings: from --stage, from a YAML file, or from the options alone."""

from pathlib import Path
from typing import Any

import typer

from tribond.errors import ConfigError

LENGTHS = {"steps", "time_ps"}


def planned_stages(common: dict[str, Any], given: list[str], file: Path | None) -> list[dict[str, Any]]:
    """Stages of the file or of --stage, each on top of the options; or one of the options alone.

    Args:
        common: settings of the options.
        given: as --stage has them.
        file: as --stages has it.

    Raises:
        typer.BadParameter: for both, and for a stage that is no list of settings.
        ConfigError: for a file that holds no stages.
    """
    if given and file is not None:
        raise typer.BadParameter("give either --stage or --stages", param_hint="--stages")
    own = [_parse(text) for text in given] if file is None else _read(file)
    if not own:
        return [common]
    # A length of its own, in either unit, takes the place of the common one.
    return [
        {key: value for key, value in common.items() if not (key in LENGTHS and LENGTHS & it.keys())} | it for it in own
    ]


def _parse(text: str) -> dict[str, Any]:
    """'ensemble=npt,temperature_K=300:1200' as settings; - and _ are one."""
    settings: dict[str, Any] = {}
    for part in text.split(","):
        name, sign, value = part.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not sign or not name or not value.strip():
            raise typer.BadParameter(f"{part!r} must be SETTING=VALUE, as in temperature_K=300", param_hint="--stage")
        settings[name] = int(value) if name == "steps" and value.strip().isdigit() else value.strip()
    return settings


def _read(file: Path) -> list[dict[str, Any]]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no YAML: {' '.join(str(error).split())}") from error
    if isinstance(content, dict) and set(content) == {"stages"}:
        content = content["stages"]
    if not isinstance(content, list) or not content or not all(isinstance(it, dict) for it in content):
        raise ConfigError(f"{file} must hold a list of stages, each with settings such as ensemble: npt")
    return [{str(key).replace("-", "_"): value for key, value in it.items()} for it in content]
