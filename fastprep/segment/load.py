"""load_segmenter: a Segmenter from text, as a pipeline file has it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastprep.core.errors import ArgumentError, ConfigError
from fastprep.pipeline import Pipeline
from fastprep.segment.protocol import Segmenter
from fastprep.segment.wrap import ModelSegmenter, as_segmenter


def load_segmenter(
    model: str,
    *,
    sha256: str | None = None,
    name: str | None = None,
    version: str | None = None,
    prepare: Pipeline | str | Path | Mapping[str, Any] | None = None,
    threshold: float = 0.5,
    activation: str | None = None,
    channel: int | None = None,
    slices: bool = False,
) -> Segmenter:
    """The Segmenter of a model named by a text.

    Parameters
    ----------
    model : "lungs.onnx"; "lungs.pt" of TorchScript; or "package.module:name", where a function, a module or a Segmenter
        is, and "package.module:name()" where calling it makes one. Such a name runs that package's code: load what
        you would install.
    sha256 : what the model's identity must have, all of it or at least its first 12 digits.
    name, version, prepare, threshold, activation, channel, slices : as `as_segmenter` has them.

    Raises
    ------
    ArgumentError
        A model of another SHA-256.
    ConfigError
        A name that leads nowhere.
    ReadError, MissingExtraError
        As `as_segmenter`.

    Examples
    --------
    >>> load_segmenter("fastprep.ops.foreground_mask:foreground_mask", name="head").identity["name"]
    'head'
    """
    is_file = Path(model).suffix.lower() in (".onnx", ".pt", ".pth")
    made = as_segmenter(
        _imported(model) if ":" in model and not is_file else model,
        name=name,
        version=version,
        prepare=prepare,
        threshold=threshold,
        activation=activation,
        channel=channel,
        slices=slices,
    )
    if sha256 is not None:
        _check(made.identity, sha256, model)
    return made.loaded_from(model) if isinstance(made, ModelSegmenter) else made


def _check(identity: Mapping[str, Any], sha256: str, model: str) -> None:
    wanted, found = str(sha256).lower(), identity.get("sha256")
    if not 12 <= len(wanted) <= 64 or set(wanted) - set("0123456789abcdef"):
        msg = f"sha256={sha256!r}: expected 64 hexadecimal digits, or at least the first 12"
        raise ArgumentError(msg)
    if found is None or not str(found).startswith(wanted):
        msg = f"model {model!r} has sha256 {found}, expected {wanted}: it is another model"
        raise ArgumentError(msg)


def _imported(text: str) -> Any:
    """What "package.module:name" names; called, where it ends with "()"."""
    module, _, rest = text.partition(":")
    called = rest.endswith("()")
    path = rest.removesuffix("()")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        msg = f"model={text!r}: {error}: expected a file .onnx or .pt, 'package.module:name' or 'package.module:name()'"
        raise ConfigError(msg) from error
    return found() if called else found
