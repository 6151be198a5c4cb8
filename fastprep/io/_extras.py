"""Optional dependencies of the readers and writers, imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fastprep.core.errors import MissingExtraError


def require(module: str) -> Any:
    """The module, or MissingExtraError naming the extra that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        msg = f"{module} is not installed: pip install fastprep[scans] ({error})"
        raise MissingExtraError(msg) from error
