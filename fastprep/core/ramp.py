"""Ramp: the one intensity map that clip, window, rescale and inversion all are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError


@dataclass(frozen=True)
class Ramp:
    """``y = clip(a * x + b, lo, hi)``, closed under composition. NaN passes through.

    Examples
    --------
    Stored CT values to HU, then the lung window to [0, 1], are one Ramp:

    >>> hu = Ramp(a=1.0, b=-1024.0)
    >>> lung = Ramp(a=1 / 1500, b=1350 / 1500, lo=0.0, hi=1.0)
    >>> hu.then(lung)(np.array([0, 424, 2000])).tolist()
    [0.21733333333333338, 0.5, 1.0]
    """

    a: float = 1.0
    b: float = 0.0
    lo: float = -math.inf
    hi: float = math.inf

    def __post_init__(self) -> None:
        if not (math.isfinite(self.a) and math.isfinite(self.b)) or not self.lo <= self.hi:
            msg = f"Ramp(a={self.a}, b={self.b}, lo={self.lo}, hi={self.hi}): expected finite a and b, and lo <= hi"
            raise ArgumentError(msg)

    @classmethod
    def between(cls, x: tuple[float, float], y: tuple[float, float], *, clip: bool = True) -> Ramp:
        """The Ramp through ``(x[0], y[0])`` and ``(x[1], y[1])``, held inside ``y`` when ``clip``."""
        a = (y[1] - y[0]) / (x[1] - x[0])
        lo, hi = (min(y), max(y)) if clip else (-math.inf, math.inf)
        return cls(a, y[0] - a * x[0], lo, hi)

    @property
    def is_identity(self) -> bool:
        """True when ``y == x`` for every x."""
        return self == Ramp()

    def then(self, after: Ramp) -> Ramp:
        """The Ramp that applies this one, then ``after``."""
        # 0 * inf has no value, and a constant needs no bounds of the first map.
        if after.a == 0:
            return Ramp(0.0, after.b, after.lo, after.hi)
        ends = sorted(after._at(end) for end in (self.lo, self.hi))
        return Ramp(after.a * self.a, after.a * self.b + after.b, ends[0], ends[1])

    def _at(self, x: float) -> float:
        return min(max(self.a * x + self.b, self.lo), self.hi)

    def __call__(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The map in float64: the definition kernels are held to."""
        return np.clip(self.a * np.asarray(x, dtype=np.float64) + self.b, self.lo, self.hi)

    def to_tuple(self) -> tuple[float, float, float, float]:
        """``(a, b, lo, hi)``, the form kernels take."""
        return (self.a, self.b, self.lo, self.hi)
