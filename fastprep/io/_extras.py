"""Optional dependencies, imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fastprep.core.errors import MissingExtraError

#: The extra that brings a module, where it is not ``scans``.
_EXTRAS = {"matplotlib": "report", "onnxruntime": "onnx", "torch": "torch"}


def require(module: str) -> Any:
    """The module, or MissingExtraError naming the extra that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        extra = _EXTRAS.get(module.partition(".")[0], "scans")
        msg = f"{module} is not installed: pip install fastprep[{extra}] ({error})"
        raise MissingExtraError(msg) from error
