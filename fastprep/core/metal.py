"""Thresholds for metal: exact ones in stored numbers, and the one that a histogram tells."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastprep.core.ramp import Ramp

#: What a scan without a mode of metal is held to: no tissue is denser.
USUAL = 3000.0
#: The last value of scanners that store HU + 1024 in 12 bits.
CEILING = 3071.0
#: Where bone ends and metal begins at the earliest, and the width of a bin, in HU.
_BONE, _METAL, _WIDTH = 1500.0, 2500.0, 100.0
#: HU below the ceiling that still are it: scans that were resampled are floats.
ROUNDING = 0.5
#: Voxels at the ceiling that are no coincidence.
_SEVERAL = 2


def last_up_to(units: Ramp, hu: float) -> float:
    """The largest stored number of at most ``hu``: others are above ``hu`` exactly where they are above this one.

    ``units`` maps stored numbers to HU in float64, increasing and without bounds.
    """
    return hu if units.is_identity else _last(lambda x: units.a * x + units.b <= hu)


def last_below(units: Ramp, hu: float) -> float:
    """The largest stored number of less than ``hu``."""
    return math.nextafter(hu, -math.inf) if units.is_identity else _last(lambda x: units.a * x + units.b < hu)


def ends_at(ceiling: float, highest: float, voxels: int) -> bool:
    """Whether a scan is saturated: its highest value is the ceiling, up to rounding, and several voxels have it."""
    return abs(highest - ceiling) < ROUNDING and voxels >= _SEVERAL


def valley(hu: npt.NDArray[np.float64], counts: npt.NDArray[np.uint64], least: float) -> float | None:
    """The HU between bone and metal, from how often each value occurs; None without a mode of metal.

    The first valley of the histogram above bone (the mode method of Prewitt and Mendelsohn 1966): in bins of 100 HU
    from 1500 HU on, smoothed by (1, 2, 1) / 4, the lowest bin so far, c voxels, once a bin above 2500 HU holds more
    than 2 c + 3 sqrt(c) + 2 (twice the valley, beyond the noise of counting) and at least ``least`` voxels lie above
    the valley. Of several equal ones that follow each other it is the middle.
    """
    above = hu >= _BONE
    if not above.any():
        return None
    bins = np.bincount(((hu[above] - _BONE) // _WIDTH).astype(np.int64), counts[above].astype(np.float64))
    padded = np.pad(bins, 1, mode="edge")
    smooth = (padded[:-2] + 2 * bins + padded[2:]) / 4
    # From each bin to the end.
    beyond = np.cumsum(bins[::-1])[::-1]
    lowest = 0
    for k in range(1, len(bins)):
        c = smooth[lowest]
        if smooth[k] < c:
            lowest = k
        elif _BONE + k * _WIDTH >= _METAL and smooth[k] > 2 * c + 3 * math.sqrt(c) + 2 and beyond[lowest] >= least:
            last = lowest
            while smooth[last + 1] == c:
                last += 1
            return _BONE + (lowest + last + 1) / 2 * _WIDTH
    return None


def _last(holds: Callable[[float], bool]) -> float:
    """The largest float64 for which ``holds``, which does for all below it."""
    low, high = _place(-math.inf), _place(math.inf)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(_number(middle)) else (low, middle)
    return _number(low)


def _place(x: float) -> int:
    """Whole numbers in the order of the float64 they stand for."""
    bits: int = struct.unpack("<q", struct.pack("<d", abs(x)))[0]
    return -bits if x < 0 else bits


def _number(place: int) -> float:
    x: float = struct.unpack("<d", struct.pack("<q", abs(place)))[0]
    return -x if place < 0 else x
