"""Statistics of an array in one exact pass, and the range of input values a plan does not clip.

Sums are float64, over pieces of fixed size added in order: the same numbers on any number of threads.
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
from fastprep.pipeline.passes import Barrier
from fastprep.pipeline.plan import Plan

#: Voxels of a piece: its float64 copy stays in the second-level cache.
_PIECE = 1 << 16
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
    center = _center(flat)
    bounds = [_comparable(pair, flat.dtype) for pair in limits]

    # NaN and infinity are counted, not warned of.
    @np.errstate(invalid="ignore", over="ignore")
    def work(start: int, stop: int) -> None:
        wide = np.empty(_PIECE)
        for i in range(start, stop):
            piece = flat[i * _PIECE : (i + 1) * _PIECE]
            sums[i] = _moments(piece, center, wide)
            if not np.isfinite(sums[i, 0]):
                piece = _finite(piece, counts[i])
                sums[i] = _moments(piece, center, wide)
            counts[i, 0] = piece.size
            extremes[i] = (piece.min(), piece.max()) if piece.size else (np.inf, -np.inf)
            _count_outside(piece, extremes[i], bounds, outside[i])

    run_slabs(work, pieces)
    count, nan, inf = (int(n) for n in counts.sum(axis=0))
    beyond = tuple((int(a), int(b)) for a, b in outside.sum(axis=0))
    if not count:
        return Statistics(0, math.nan, math.nan, math.nan, math.nan, nan, inf, beyond)
    shift, square = (float(total) / count for total in sums.sum(axis=0))
    std = math.sqrt(max(0.0, square - shift * shift))
    low, high = float(extremes[:, 0].min()), float(extremes[:, 1].max())
    return Statistics(count, low, high, center + shift, std, nan, inf, beyond)


def unclipped(plan: Plan, rescale: Ramp = _AS_STORED) -> list[Limits]:
    """Per channel, the physical values of the input between which no Ramp saturates, of those before any barrier.

    ``rescale`` is what the plan was compiled for: from the values it is given to physical ones.
    """
    ramps = [_AS_STORED]
    for step in plan.passes:
        if isinstance(step, Barrier):
            break
        ramps = [r.then(step.pre) for r in ramps]
        if step.kernel != "ramp":
            break
        ramps = [r.then(post) for r in ramps for post in step.post]
        if step.dtype is not None and np.dtype(step.dtype).kind in "iu":
            info = np.iinfo(step.dtype)
            ramps = [r.then(Ramp(1.0, 0.0, float(info.min), float(info.max))) for r in ramps]
    return [in_units(_saturation(r), rescale) for r in ramps]


def in_units(limits: Limits, ramp: Ramp) -> Limits:
    """Both ends through a Ramp without bounds, in order."""
    low, high = sorted(ramp.a * end + ramp.b for end in limits)
    return (low, high)


def inverse_of(ramp: Ramp) -> Ramp:
    """The Ramp without bounds that undoes one."""
    return Ramp(1 / ramp.a, -ramp.b / ramp.a)


def _saturation(ramp: Ramp) -> Limits:
    if ramp.a == 0:
        return (-math.inf, math.inf)
    return in_units((ramp.lo, ramp.hi), inverse_of(ramp))


def _comparable(limits: Limits, dtype: np.dtype[Any]) -> tuple[float, float]:
    """The same limits as whole numbers for integers, which NumPy compares without widening the array."""
    # A window's edge is a round number of the file's units; a last bit must not move a whole grey level across it.
    low, high = (round(end, 6) for end in limits)
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


def _center(flat: npt.NDArray[Any]) -> float:
    """A value to take sums about; 0 for narrow integers, whose squares are added up exactly."""
    if not flat.size or (flat.dtype.kind in "iu" and flat.dtype.itemsize <= 2):
        return 0.0
    first = float(flat[0])
    return first if math.isfinite(first) else 0.0


def _moments(piece: npt.NDArray[Any], center: float, wide: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Sum and sum of squares about ``center``, with ``wide`` to work in."""
    values = wide[: piece.size]
    np.copyto(values, piece)
    if center:
        values -= center
    total = float(values.sum())
    return total, float(np.square(values, out=values).sum())


def _finite(piece: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    nan = int(np.count_nonzero(np.isnan(piece)))
    finite: npt.NDArray[Any] = piece[np.isfinite(piece)]
    counts[1], counts[2] = nan, piece.size - nan - finite.size
    return finite
