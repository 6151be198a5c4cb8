"""Named intensity ranges of CT, in HU. A clip range keeps what a model may need; a window is what a reader looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from fastprep.core.errors import ArgumentError

#: (lo, hi): values beyond are clipped.
CLIP_RANGES: dict[str, tuple[float, float]] = {
    "full": (-1000.0, 1000.0),
    "soft_tissue": (-200.0, 400.0),
    "bone": (-200.0, 3000.0),
    "lung": (-1500.0, 600.0),
}

#: (level, width) of display windows.
WINDOWS: dict[str, tuple[float, float]] = {
    "lung": (-600.0, 1500.0),
    "mediastinum": (50.0, 350.0),
    "soft_tissue": (40.0, 400.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
}

V = TypeVar("V")


def find_preset(table: Mapping[str, V], name: str) -> V:
    """The entry ``name``, or ArgumentError with the names there are."""
    if name not in table:
        msg = f"preset={name!r}: expected one of {', '.join(table)}"
        raise ArgumentError(msg)
    return table[name]
