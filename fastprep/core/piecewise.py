"""Piecewise: a piecewise-linear intensity map, as histogram standardisation is one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp

#: Knots of a kernel's table at most: a GPU keeps it in shared memory.
MOST_KNOTS = 64
#: What rounding may move a knot by, relative to where it is.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Piecewise:
    """Lines through the knots ``(xs[i], ys[i])``, the first and the last going on beyond. NaN passes through.

    Closed under composition with another and with a Ramp, whose bounds become flat parts.

    Examples
    --------
    Three landmarks of a scan to three of a standard scale:

    >>> scale = Piecewise((0, 400, 1000), (0, 50, 100))
    >>> scale([200, 700, 1600]).tolist()
    [25.0, 75.0, 150.0]
    >>> scale.then(Ramp(hi=100))([200, 700, 1600]).tolist()
    [25.0, 75.0, 100.0]
    """

    xs: tuple[float, ...]
    ys: tuple[float, ...]

    def __post_init__(self) -> None:
        xs, ys = tuple(map(float, self.xs)), tuple(map(float, self.ys))
        finite = all(map(math.isfinite, (*xs, *ys)))
        if not (len(xs) == len(ys) >= 2) or not finite or any(b <= a for a, b in pairwise(xs)):
            msg = f"Piecewise(xs={xs}, ys={ys}): expected two knots or more, finite, xs strictly increasing"
            raise ArgumentError(msg)
        object.__setattr__(self, "xs", xs)
        object.__setattr__(self, "ys", ys)

    @classmethod
    def from_ramp(cls, ramp: Ramp) -> Piecewise:
        """The same map as a Ramp."""
        if ramp.a == 0:
            return cls((0, 1), (ramp(0.0).item(),) * 2)
        line = cls((0, 1), (ramp.b, ramp.a + ramp.b))
        return line.then(Ramp(lo=ramp.lo, hi=ramp.hi))

    @property
    def slopes(self) -> tuple[float, ...]:
        """Of the lines between neighbouring knots; the first and the last are those beyond the ends too."""
        return tuple(_slopes(self.xs, self.ys))

    def __call__(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The map in float64: the definition kernels are held to."""
        return evaluate(x, np.array(self.xs), np.array(self.ys))

    def then(self, after: Ramp | Piecewise) -> Piecewise:
        """The map that applies this one, then ``after``."""
        if isinstance(after, Piecewise):
            return _compose(self, after)
        moved = Piecewise(self.xs, tuple(after.a * y + after.b for y in self.ys)) if after.a else None
        if moved is None:
            return Piecewise(self.xs[:2], (after(0.0).item(),) * 2)
        return _compose(moved, _clip(after.lo, after.hi)) if after.lo > -math.inf or after.hi < math.inf else moved

    def after(self, first: Ramp) -> Piecewise:
        """The map that applies ``first``, then this one."""
        return Piecewise.from_ramp(first).then(self) if first.a == 0 or not _is_line(first) else self._moved(first)

    def _moved(self, line: Ramp) -> Piecewise:
        knots = sorted(((x - line.b) / line.a, y) for x, y in zip(self.xs, self.ys, strict=True))
        return Piecewise(*zip(*knots, strict=True))

    def inverse(self) -> Piecewise:
        """The map back.

        Raises
        ------
        ArgumentError
            It is not strictly monotone.
        """
        knots = sorted(zip(self.ys, self.xs, strict=True))
        if not (all(s > 0 for s in self.slopes) or all(s < 0 for s in self.slopes)):
            msg = f"ys={self.ys}: expected strictly increasing or strictly decreasing values of a map to invert"
            raise ArgumentError(msg)
        return Piecewise(*zip(*knots, strict=True))


def through(xs: Iterable[float], ys: Iterable[float]) -> Piecewise | None:
    """The map through knots whose ``xs`` do not decrease: those of equal x become one, of their mean y; None of one."""
    merged: dict[float, list[float]] = {}
    for x, y in zip(xs, ys, strict=True):
        merged.setdefault(float(x), []).append(float(y))
    if len(merged) < 2:
        return None
    return Piecewise(tuple(merged), tuple(math.fsum(ys) / len(ys) for ys in merged.values()))


def evaluate(x: npt.ArrayLike, xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The lines through knots in float64; knots that are NaN at the end are none."""
    starts, values, slopes, ends = segments(xs[None], ys[None], np.float64)
    x = np.asarray(x, np.float64)
    held = np.where(x < ends[0, 0], ends[0, 0], np.where(x > ends[0, 1], ends[0, 1], x))
    which = np.searchsorted(starts[0, 1 : np.count_nonzero(starts[0] == starts[0])], held, side="right")
    which = np.where(np.isnan(held), 0, which)
    return np.asarray(values[0, which] + slopes[0, which] * (held - starts[0, which]))


def segments(xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64], dtype: Any) -> tuple[npt.NDArray[Any], ...]:
    """Tables (K, P) as kernels take them: where lines start, values there, slopes, and the ends (K, 2).

    Starts in unused places are NaN. A line starts where its knot is in ``dtype``, and its value is the one there. What
    lies beyond the ends moves to them first: they are infinite but where the outermost line is flat, for infinity times
    0 is no number.
    """
    starts = np.full(xs.shape, np.nan, dtype)
    values, slopes = np.zeros(xs.shape, dtype), np.zeros(xs.shape, dtype)
    ends = np.empty((len(xs), 2), dtype)
    for k in range(len(xs)):
        n = int(np.count_nonzero(xs[k] == xs[k])) - 1
        slope = _slopes(xs[k, : n + 1], ys[k, : n + 1])
        starts[k, :n] = xs[k, :n]
        values[k, :n] = ys[k, :n] + slope * (starts[k, :n].astype(np.float64) - xs[k, :n])
        slopes[k, :n] = slope
        ends[k] = xs[k, 0] if slope[0] == 0 else -np.inf, xs[k, n] if slope[-1] == 0 else np.inf
    return starts, values, slopes, ends


def _slopes(xs: Sequence[float] | npt.NDArray[np.float64], ys: Any) -> npt.NDArray[np.float64]:
    return np.asarray(np.diff(ys) / np.diff(xs))


def _is_line(ramp: Ramp) -> bool:
    return ramp.lo == -math.inf and ramp.hi == math.inf


def _clip(lo: float, hi: float) -> Piecewise:
    """Whatever is below ``lo`` to it, above ``hi`` to it."""
    if lo == hi:
        return Piecewise((lo, lo + _far(lo)), (lo, lo))
    if lo == -math.inf:
        return Piecewise((hi - _far(hi), hi, hi + _far(hi)), (hi - _far(hi), hi, hi))
    if hi == math.inf:
        return Piecewise((lo - _far(lo), lo, lo + _far(lo)), (lo, lo, lo + _far(lo)))
    far = _far(lo, hi)
    return Piecewise((lo - far, lo, hi, hi + far), (lo, lo, hi, hi))


def _far(*xs: float) -> float:
    """A power of two that is no small step at any of ``xs``."""
    return float(2.0 ** math.ceil(math.log2(max(1.0, *map(abs, xs)))))


def _compose(first: Piecewise, second: Piecewise) -> Piecewise:
    """Knots where either has one: those of ``second`` come to lie where ``first`` reaches them.

    Its outermost two do so on one line, which therefore goes on beyond as theirs does.
    """
    xs, ys, slopes = first.xs, first.ys, first.slopes
    last = len(xs) - 1
    knots = dict(zip(xs, second(ys).tolist(), strict=True))
    size = max(map(abs, xs))
    for x, y in zip(second.xs, second.ys, strict=True):
        for i in range(-1, last + 1):
            # Line i goes from knot i to the next; before the first and after the last it goes on.
            at = min(max(i, 0), last - 1)
            if slopes[at] == 0:
                continue
            found = xs[at] + (x - ys[at]) / slopes[at]
            below, above = (-math.inf if i < 0 else xs[i]), (math.inf if i == last else xs[i + 1])
            near = _ROUNDING * max(size, abs(found))
            if below + near < found < above - near:
                knots[found] = y
    return Piecewise(*zip(*_pruned(sorted(knots.items())), strict=True))


def _pruned(knots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without the knots on the straight line between their neighbours."""
    kept = knots[:1]
    for i in range(1, len(knots) - 1):
        (x0, y0), (x, y), (x1, y1) = kept[-1], knots[i], knots[i + 1]
        straight = y0 + (y1 - y0) * ((x - x0) / (x1 - x0))
        if abs(straight - y) > 4 * np.finfo(float).eps * max(abs(y0), abs(y), abs(y1)):
            kept.append(knots[i])
    return [*kept, knots[-1]]
