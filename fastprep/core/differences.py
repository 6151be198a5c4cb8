"""Differences: what one pass over two volumes tells of how they differ, put together from fixed chunks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Differences:
    """Of the finite ``d = b - a``: how many, sums of d, of its size and square, the largest size; how many are not."""

    count: int
    total: float
    absolute: float
    square: float
    largest: float
    nonfinite: int

    @classmethod
    def of_rows(cls, rows: npt.NDArray[Any]) -> Differences:
        """Rows in the order of the fields. Integers, and floats that are whole numbers, come to exact sums."""
        if not len(rows):
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0)
        count, total, absolute, square, largest, nonfinite = rows.T
        return cls(
            int(count.sum()), _sum(total), _sum(absolute), _sum(square), float(largest.max()), int(nonfinite.sum())
        )


def _sum(column: npt.NDArray[Any]) -> float:
    """Rounded once."""
    if column.dtype.kind != "f":
        return float(sum(map(int, column.tolist())))
    # fsum knows no sums beyond the largest float.
    with np.errstate(over="ignore", invalid="ignore"):
        plain = float(column.sum())
    return math.fsum(column) if math.isfinite(plain) else plain
