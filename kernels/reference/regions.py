"""What is known of each region of a label volume."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fastprep.core.regions import RegionTable
from fastprep.kernels.reference._components import table_of


def regions(
    labels: npt.NDArray[Any], count: int, x: npt.NDArray[Any] | None, ceiling: float, scale: float
) -> RegionTable:
    """The table of labels 1 to ``count`` of ``labels`` (Z, Y, X), whole numbers or bool; others are ignored.

    The values are those of ``x``, of that shape and any type of numbers, or none; `RegionTable` tells what ``ceiling``
    and ``scale`` are.
    """
    return table_of(labels, count, x, ceiling, scale)
