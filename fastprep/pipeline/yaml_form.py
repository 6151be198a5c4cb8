"""Pipelines as YAML text: presets that ship, and files of the user's."""

from __future__ import annotations

from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

from fastprep.core.errors import ConfigError, MissingExtraError
from fastprep.pipeline.values import unknown


def presets() -> list[str]:
    """Names of the pipelines that ship."""
    folder = files("fastprep.pipeline") / "presets"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def text_of_preset(name: str) -> str:
    """The YAML of a pipeline that ships, comments included.

    Raises
    ------
    ConfigError
        There is none of this name; the nearest is offered.
    """
    if name not in presets():
        raise ConfigError(unknown("preset", name, dict.fromkeys(presets())))
    return (files("fastprep.pipeline") / "presets" / f"{name}.yaml").read_text("utf-8")


def read(name_or_path: str | Path) -> Any:
    """The parsed YAML of a preset's name, or of a file."""
    text = str(name_or_path)
    if text in presets():
        return parse(text_of_preset(text), text)
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        raise ConfigError(unknown("pipeline", text, dict.fromkeys(presets())))
    try:
        return parse(path.read_text("utf-8"), text)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{text}: cannot be read as a pipeline: {error}"
        raise ConfigError(msg) from error


def parse(text: str, where: str) -> Any:
    """YAML 1.2 to plain objects; duplicate keys, tags and anything executable are errors."""
    yaml = _yaml()
    from ruamel.yaml.error import YAMLError

    try:
        return yaml.load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        msg = f"{where} is no YAML: {error}"
        raise ConfigError(msg) from error


def dump(form: dict[str, Any]) -> str:
    """Plain objects to YAML, keys in their order."""
    stream = StringIO()
    _yaml().dump(form, stream)
    return stream.getvalue()


def _yaml() -> Any:
    try:
        from ruamel.yaml import YAML
    except ImportError as error:
        msg = "pipelines as YAML need ruamel.yaml: pip install 'fastprep[scans]'"
        raise MissingExtraError(msg) from error
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    yaml.default_flow_style = None
    yaml.width = 160
    return yaml
