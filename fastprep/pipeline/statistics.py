"""Statistics of an array by the kernel of the z-score, and the range of input values a plan does not clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.moments import Moments
from fastprep.core.ramp import Ramp
from fastprep.core.threads import run_slabs
from fastprep.ops._masked import moments_of
from fastprep.pipeline.passes import Barrier
from fastprep.pipeline.plan import Plan

#: Voxels of a piece: what is compared stays in the cache.
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
    found = moments_of(flat.reshape(1, 1, -1), None)
    nan = int(np.count_nonzero(np.isnan(flat))) if found.nonfinite else 0
    finite = flat[np.isfinite(flat)] if found.nonfinite else flat
    beyond = tuple(_count_outside(finite, found, *_comparable(pair, flat.dtype)) for pair in limits)
    std = found.std if found.count else math.nan
    return Statistics(found.count, found.low, found.high, found.mean, std, nan, found.nonfinite - nan, beyond)


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


def _count_outside(flat: npt.NDArray[Any], found: Moments, low: float, high: float) -> tuple[int, int]:
    """How many values are below ``low``, and how many above ``high``."""
    counts = [[0, 0]]

    def work(start: int, stop: int) -> None:
        below = above = 0
        for i in range(start, stop):
            piece = flat[i * _PIECE : (i + 1) * _PIECE]
            below += int(np.count_nonzero(piece < low)) if found.low < low else 0
            above += int(np.count_nonzero(piece > high)) if found.high > high else 0
        counts.append([below, above])

    if found.low < low or found.high > high:
        run_slabs(work, -(-flat.size // _PIECE))
    below, above = (sum(column) for column in zip(*counts, strict=True))
    return below, above
