"""Bad pixels replaced by the median of good ones around them; the others are copied."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.detector import LEAST_GOOD, MEND_REACH
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit, native, put

#: Values of a square that is just large enough: fewer than wanted inside it, and its outermost ring.
_MOST = LEAST_GOOD + 8 * MEND_REACH


def mend(x: npt.NDArray[Any], bad: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """``x`` and ``out`` (B, Z, Y, X), ``out`` contiguous; ``bad`` (1 or B, Z, Y, X), not zero where it is.

    A pixel is mended from the smallest centred square of its plane (3x3, 5x5, ... up to `MEND_REACH`) that has at least
    `LEAST_GOOD` good pixels within the image, NaN being none; the median of an even number is the mean of the two in
    the middle. Where no square has so many, the pixel stays as it is.
    """
    half = x.dtype == np.float16
    for b in range(len(x)):
        for z in range(x.shape[1]):
            marks = _plain(bad[min(b, len(bad) - 1), z] != 0)
            values, target = _plain(x[b, z]), out[b, z]
            target[...] = x[b, z]
            made = target.astype(np.float32) if half else target
            run_slabs(partial(_rows, values, marks, made), len(values))
            if half:
                target[...] = made


def _plain(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    line = np.ascontiguousarray(native(x))
    line = (line if line.flags.aligned else line.copy()).view()
    line.setflags(write=False)
    return line


@jit
def _rows(x: Any, bad: Any, out: Any, start: int, stop: int) -> None:
    found = np.empty(_MOST, np.float64)
    for y in range(start, stop):
        for j in range(x.shape[1]):
            if bad[y, j] != 0:
                _mend(x, bad, y, j, found, out)


@jit
def _mend(x: Any, bad: Any, y: int, j: int, found: Any, out: Any) -> None:
    height, width = x.shape
    count = 0
    for reach in range(1, MEND_REACH + 1):
        for v in range(max(0, y - reach), min(height, y + reach + 1)):
            # What is nearer has been seen: of rows in between the two ends alone.
            step = 1 if abs(v - y) == reach else 2 * reach
            for u in range(j - reach, j + reach + 1, step):
                if u < 0 or u >= width or bad[v, u] != 0:
                    continue
                value = np.float64(x[v, u])
                if value == value:
                    count = _insert(found, count, value)
        if count >= LEAST_GOOD:
            put(out[y], j, (found[(count - 1) // 2] + found[count // 2]) / 2)
            return


@jit
def _insert(found: Any, count: int, value: float) -> int:
    """One more into the ascending ``found``."""
    at = count
    while at > 0 and found[at - 1] > value:
        found[at] = found[at - 1]
        at -= 1
    found[at] = value
    return count + 1
