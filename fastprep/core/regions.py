"""What is known of each connected region: its size, its place and its values; sums are exact on every backend."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

#: A value's integer is told in two parts, so that no sum of either overflows: its lower bits, and what is above them.
LOW_BITS = 26
#: Integers of floats end here: floats of that size are whole numbers, and the parts of a sum stay below 2**63.
LARGEST = 2.0**52

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


class RegionTable(NamedTuple):
    """Of K regions, in their order, from the voxels of each.

    A value v is the integer i = v of an integer type, of floats i = rint(v scale), half to even, at most `LARGEST` and
    0 for NaN; ``high`` sums i >> LOW_BITS and ``low`` the bits below. A region without a voxel has a box of zeros, and
    as one without values ``least`` inf and ``most`` -inf.
    """

    #: (K,) how many.
    voxels: Int64
    #: (K, 3, 2) first index and the one after the last, of z, y, x.
    box: Int64
    #: (K, 3) sums of the indices z, y, x.
    index_sum: Int64
    #: (K,) sums of the values' upper and lower parts.
    high: Int64
    low: Int64
    #: (K,) the extremes of the values.
    least: Float64
    most: Float64
    #: (K,) voxels of at least the ceiling.
    capped: Int64


class Clusters(NamedTuple):
    """Regions above a threshold: ``table`` on the host, ``runs`` for the kernel ``paint`` where they were found."""

    table: RegionTable
    runs: Any


def scale_for(largest: float) -> float:
    """The power of two by which magnitudes up to ``largest`` become integers up to `LARGEST`."""
    _, exponent = math.frexp(largest)
    return math.ldexp(1.0, min(52 - exponent, 1023))


def sums(table: RegionTable, scale: float) -> Float64:
    """``(K,)`` sums of the values, rounded once; ``scale`` 1 of integer types."""
    # A power of two scales without rounding, as long as the sum is no subnormal number.
    totals = ((int(high) << LOW_BITS) + int(low) for high, low in zip(table.high, table.low, strict=True))
    return np.array([total / scale for total in totals], np.float64)


def least_above(threshold: float, dtype: np.dtype[Any], *, equal: bool = False) -> Any:
    """The least value of a type that is larger than ``threshold``, or with ``equal`` not less; None where none is.

    ``x > threshold`` is then ``x >= least_above(threshold, x.dtype)``, exactly, in the type of x.
    """
    if math.isnan(threshold):
        return None
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if math.isinf(threshold):
            return None if threshold > 0 else dtype.type(info.min)
        least = math.ceil(threshold) if equal else math.floor(threshold) + 1
        return dtype.type(max(least, int(info.min))) if least <= info.max else None
    with np.errstate(over="ignore"):
        near = dtype.type(threshold)
    if float(near) < threshold or (float(near) == threshold and not equal):
        if near == np.inf:
            return None
        near = np.nextafter(near, dtype.type(np.inf))
    return near
