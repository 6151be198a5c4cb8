"""Spectrum: how often numbers occur, in fixed memory, whatever their range.

A number is counted under the nearest one of 13 significant bits: sign, exponent and 12 bits of the mantissa of a
float32. So whole numbers up to 8192 in magnitude are counted as they are, others within 2**-13 of themselves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs

#: Bits of a float32 that are left out.
_DROPPED = 11
_KEYS = 1 << (32 - _DROPPED)
_SIGN = _KEYS >> 1
#: The largest finite key.
_TOP = np.uint32(0x7F7FFFFF >> _DROPPED)
#: Values whose keys are made at a time, so that these stay in the cache.
_CHUNK = 1 << 17


class Spectrum:
    """Counts by key; two of them add up.

    Examples
    --------
    >>> spectrum = Spectrum()
    >>> spectrum.add(np.array([-1024, 40, 40, 3071]))
    >>> [v.tolist() for v in spectrum.values_and_counts()]
    [[-1024.0, 40.0, 3071.0], [1, 2, 1]]
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_KEYS, np.int64)

    def add(self, values: npt.NDArray[np.generic], counts: npt.NDArray[np.generic] | None = None) -> None:
        """Count finite numbers, each once or so often."""
        if counts is not None:
            np.add.at(self.counts, keys(values), counts.astype(np.int64))
            return
        flat = values.reshape(-1)
        found = np.empty(flat.size, np.uint32)

        def some_keys(start: int, stop: int) -> None:
            for at in range(start, stop, _CHUNK):
                end = min(at + _CHUNK, stop)
                found[at:end] = keys(flat[at:end])

        run_slabs(some_keys, flat.size, smallest=_CHUNK)
        # The keys of one volume lie near each other.
        low = int(found.min(initial=_KEYS - 1))
        counted = np.bincount(found - np.uint32(low))
        self.counts[low : low + counted.size] += counted

    def merge(self, other: Spectrum) -> None:
        """Add the counts of another."""
        self.counts += other.counts

    def values_and_counts(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """The numbers that occur, in order, and how often each does."""
        there = np.flatnonzero(self.counts)
        magnitude = np.abs(there - _SIGN).astype(np.uint32) << np.uint32(_DROPPED)
        values = np.copysign(magnitude.view(np.float32).astype(np.float64), there - _SIGN)
        return values, self.counts[there]

    def __getstate__(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        there = np.flatnonzero(self.counts)
        return there, self.counts[there]

    def __setstate__(self, state: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]) -> None:
        self.__init__()  # type: ignore[misc]
        self.counts[state[0]] = state[1]


def keys(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint32]:
    """The keys of finite numbers, in the order of the numbers."""
    with np.errstate(over="ignore"):
        bits = values.astype(np.float32).view(np.uint32)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    magnitude += np.uint32(1 << (_DROPPED - 1))
    magnitude >>= np.uint32(_DROPPED)
    np.minimum(magnitude, _TOP, out=magnitude)
    # Negative numbers come first, the largest of them in front; minus zero is zero.
    below = np.uint32(_SIGN) - magnitude
    magnitude += np.uint32(_SIGN)
    return np.where(bits >> np.uint32(31), below, magnitude)
