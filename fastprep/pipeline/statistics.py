"""Statistics of an array in one exact pass, and the range of input values a plan does not clip.

Sums are float64 about a value of the array, over pieces of fixed size added in order: the same numbers on any number
of threads. 39 million int16 voxels take 40 ms on one thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.ramp import Ramp
from fastprep.core.threads import run_slabs
from fastprep.pipeline.plan import Plan

#: Voxels of a piece: its float64 copy stays in the second-level cache.
_PIECE = 1 << 17
Limits = tuple[float, float]
_AS_STORED = Ramp()


@dataclass(frozen=True)
class Statistics:
    """Of the finite values, in stored units; NaN where there is none. ``outside`` counts values beyond each limit."""

    count: int
    minimum: float
    maximum: float
    mean: float
    std: float
    nan: int
    inf: int
    outside: tuple[tuple[int, int], ...]

    def to_dict(self, ramp: Ramp = _AS_STORED) -> dict[str, Any]:
        """The plain form, in the units ``ramp`` maps to."""
        ends = sorted(ramp.a * v + ramp.b for v in (self.minimum, self.maximum))
        return {
            "min": ends[0],
            "max": ends[1],
            "mean": ramp.a * self.mean + ramp.b,
            "std": abs(ramp.a) * self.std,
            "nan": self.nan,
            "inf": self.inf,
        }


def statistics(x: npt.NDArray[Any], limits: Sequence[Limits] = ()) -> Statistics:
    """Minimum, maximum, mean and standard deviation (of the population), and how many values lie beyond ``limits``."""
    flat = np.ascontiguousarray(x).reshape(-1)
    flat = flat.view(np.uint8) if flat.dtype == np.bool_ else flat
    pieces = -(-flat.size // _PIECE)
    extremes, sums = np.empty((pieces, 2)), np.empty((pieces, 2))
    counts, outside = np.zeros((pieces, 3), np.int64), np.zeros((pieces, len(limits), 2), np.int64)
    first = float(flat[0]) if flat.size else 0.0
    center = first if math.isfinite(first) else 0.0
    bounds = [_comparable(pair, flat.dtype) for pair in limits]

    def work(start: int, stop: int) -> None:
        wide = np.empty(_PIECE)
        for i in range(start, stop):
            piece = flat[i * _PIECE : (i + 1) * _PIECE]
            if piece.dtype.kind == "f" and not np.isfinite(piece.sum(dtype=np.float64)):
                piece = _finite(piece, counts[i])
            counts[i, 0] = piece.size
            extremes[i] = (piece.min(), piece.max()) if piece.size else (np.inf, -np.inf)
            _count_outside(piece, extremes[i], bounds, outside[i])
            centered = np.subtract(piece, center, out=wide[: piece.size], dtype=np.float64)
            sums[i, 0] = centered.sum()
            sums[i, 1] = np.square(centered, out=centered).sum()

    run_slabs(work, pieces)
    count, nan, inf = (int(n) for n in counts.sum(axis=0))
    beyond = tuple((int(a), int(b)) for a, b in outside.sum(axis=0))
    if not count:
        return Statistics(0, math.nan, math.nan, math.nan, math.nan, nan, inf, beyond)
    shift, square = math.fsum(sums[:, 0]) / count, math.fsum(sums[:, 1]) / count
    std = math.sqrt(max(0.0, square - shift * shift))
    low, high = float(extremes[:, 0].min()), float(extremes[:, 1].max())
    return Statistics(count, low, high, center + shift, std, nan, inf, beyond)


def unclipped(plan: Plan) -> list[Limits]:
    """Per channel, the stored values of the input between which no Ramp of the plan saturates."""
    ramps = [Ramp()]
    for step in plan.passes:
        ramps = [r.then(step.pre) for r in ramps]
        if step.kernel != "ramp":
            break
        ramps = [r.then(post) for r in ramps for post in step.post]
        if step.dtype is not None and np.dtype(step.dtype).kind in "iu":
            info = np.iinfo(step.dtype)
            ramps = [r.then(Ramp(1.0, 0.0, float(info.min), float(info.max))) for r in ramps]
    return [_saturation(r) for r in ramps]


def _saturation(ramp: Ramp) -> Limits:
    if ramp.a == 0:
        return (-math.inf, math.inf)
    # A window's edge is a round number of the file's units; a last bit must not move a whole grey level across it.
    low, high = sorted(round((end - ramp.b) / ramp.a, 6) for end in (ramp.lo, ramp.hi))
    return (low, high)


def _comparable(limits: Limits, dtype: np.dtype[Any]) -> tuple[float, float]:
    """The same limits as whole numbers for integers, which NumPy compares without widening the array."""
    low, high = limits
    if dtype.kind not in "iu":
        return low, high
    return (low if math.isinf(low) else math.ceil(low)), (high if math.isinf(high) else math.floor(high))


def _count_outside(
    piece: npt.NDArray[Any], ends: npt.NDArray[np.float64], bounds: Sequence[Limits], counts: npt.NDArray[np.int64]
) -> None:
    for k, (low, high) in enumerate(bounds):
        if ends[0] < low:
            counts[k, 0] = piece.size if ends[1] < low else np.count_nonzero(piece < low)
        if ends[1] > high:
            counts[k, 1] = piece.size if ends[0] > high else np.count_nonzero(piece > high)


def _finite(piece: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    nan = int(np.count_nonzero(np.isnan(piece)))
    finite: npt.NDArray[Any] = piece[np.isfinite(piece)]
    counts[1], counts[2] = nan, piece.size - nan - finite.size
    return finite
