"""What lies beyond an image, in the units at hand: a number, or one that only a barrier will tell.

Air is 0 in an MR image. After a z-score it is ``(0 - mean) / std``, which is known when the image is: padding then is
as dark as the background, not as bright as the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fastprep.core.piecewise import Piecewise
from fastprep.core.ramp import Ramp
from fastprep.core.voi import VoiTable

#: What barriers measured, by the barrier's number.
Measured = Mapping[int, Ramp | Piecewise]


@dataclass(frozen=True, repr=False)
class Later:
    """``base`` through every map of ``path``: a barrier's by its number, or a kernel with its Ramp or table."""

    base: float
    path: tuple[int | tuple[str, Ramp | VoiTable], ...]

    def __repr__(self) -> str:
        return f"what {self.base:g} becomes"


Fill = float | Later


def mapped(fill: Fill, function: Ramp | VoiTable, kernel: str = "ramp") -> Fill:
    """The fill after an intensity step."""
    if isinstance(fill, Later):
        return Later(fill.base, (*fill.path, (kernel, function)))
    return _through(fill, function, kernel)


def measured(fill: Fill, number: int) -> Later:
    """The fill after the map that barrier ``number`` will measure."""
    base, path = (fill.base, fill.path) if isinstance(fill, Later) else (fill, ())
    return Later(base, (*path, number))


def told(fill: Fill, maps: Measured) -> float:
    """The fill as a number, once the barriers have measured."""
    if not isinstance(fill, Later):
        return fill
    value = fill.base
    for step in fill.path:
        value = float(maps[step](value)) if isinstance(step, int) else _through(value, step[1], step[0])
    return value


def _through(x: float, ramp: Ramp | VoiTable, kernel: str) -> float:
    if kernel == "ramp" or isinstance(ramp, VoiTable):
        return float(ramp(x))
    # 1 / (1 + exp(-t)) without its overflow.
    return ramp.lo + (ramp.hi - ramp.lo) * (1 + math.tanh((ramp.a * x + ramp.b) / 2)) / 2
