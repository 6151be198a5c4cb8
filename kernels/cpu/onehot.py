"""Labels by one-hot linear interpolation: the label with the largest interpolated weight, the lowest on a tie."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import Source, jit, source


def onehot(x: npt.NDArray[Any], out: npt.NDArray[Any], matrix: npt.NDArray[np.float64], outside: float) -> None:
    """``out[b, p] = argmax_c linear(x[b] == c) at matrix @ p``.

    ``x`` (B, Z, Y, X) and ``out`` (B, z, y, x) of one dtype; outside the field of view, ``outside``.
    """
    src = source(x)
    target = out.view(np.uint8) if out.dtype == np.bool_ else out
    fill = target.dtype.type(outside)
    size = np.array(x.shape[1:], dtype=np.int64)
    run_slabs(lambda start, stop: _onehot(src, size, target, matrix, fill, start, stop), out.shape[0] * out.shape[1])


@jit
def _onehot(src: Source, size: Any, out: Any, matrix: Any, fill: Any, start: int, stop: int) -> None:
    depth = out.shape[1]
    label = np.empty(8, out.dtype)
    weight = np.empty(8, np.float64)
    steps = (src.sz, src.sy, src.sx)
    low = np.empty(3, np.int64)
    high = np.empty(3, np.int64)
    share = np.empty(3, np.float64)
    for plane in range(start, stop):
        b, z = plane // depth, plane % depth
        base = src.start + b * src.sb
        for y in range(out.shape[2]):
            for x in range(out.shape[3]):
                inside = True
                for axis in range(3):
                    c = matrix[axis, 0] * z + matrix[axis, 3] + matrix[axis, 1] * y + matrix[axis, 2] * x
                    inside = inside and -0.5 <= c < size[axis] - 0.5
                    f = math.floor(c)
                    share[axis] = c - f
                    low[axis] = min(max(int(f), 0), size[axis] - 1) * steps[axis]
                    high[axis] = min(max(int(f) + 1, 0), size[axis] - 1) * steps[axis]
                if not inside:
                    out[b, z, y, x] = fill
                    continue
                count = 0
                for corner in range(8):
                    up_z, up_y, up_x = corner >> 2, (corner >> 1) & 1, corner & 1
                    at = base + (high[0] if up_z else low[0]) + (high[1] if up_y else low[1])
                    value = src.flat[at + (high[2] if up_x else low[2])]
                    w = share[0] if up_z else 1 - share[0]
                    w *= share[1] if up_y else 1 - share[1]
                    w *= share[2] if up_x else 1 - share[2]
                    known = False
                    for i in range(count):
                        if label[i] == value:
                            weight[i] += w
                            known = True
                    if not known:
                        label[count] = value
                        weight[count] = w
                        count += 1
                best = 0
                for i in range(1, count):
                    # Weights that are equal on paper differ by rounding: only a clear lead wins.
                    lead = weight[i] - weight[best]
                    if lead > 1e-9 or (lead > -1e-9 and label[i] < label[best]):
                        best = i
                out[b, z, y, x] = label[best]
