"""Structural similarity of two volumes: three launches for some planes at a time.

The answer is Python numbers, so this waits for the device.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch, tables
from fastprep.kernels.gpu._pairs import AS_THEY_ARE, alike
from fastprep.kernels.gpu._types import job, read_type

THREADS = 256
INSTANCES = (
    *(f"ssim_planes<{name}>" for name in AS_THEY_ARE),
    *("ssim_rows", "ssim<float32>", "ssim<float64>", "ssim_total"),
)
#: Voxels whose sums are kept at a time, 64 bytes each, unless a plane has more.
_AT_ONCE = 2**21
_JOB, _TOTAL = job("PPPPP3P3q3qq3d8i"), job("PPq")
_Array = npt.NDArray[np.float64]


def ssim(
    a: DeviceView,
    b: DeviceView,
    weights: tuple[_Array, _Array, _Array],
    reach: tuple[int, int, int],
    unbias: float,
    c1: float,
    c2: float,
    out: DeviceView | None,
) -> list[float]:
    """The mean over the voxels of each volume (B, Z, Y, X) whose window lies inside, NaN where there are none.

    ``s = (2 ma mb + c1) (2 cov + c2) / ((ma^2 + mb^2 + c1) (va + vb + c2))`` of local means, variances and covariance
    under ``weights`` (2 reach + 1,) along each axis, variances times ``unbias``. ``out``, where given, takes s of
    every voxel; beyond the border the image is mirrored, the border repeated.
    """
    volumes, space = len(a), a.shape[1:]
    if a.size == 0:
        return [math.nan] * volumes
    a, b = alike(a, b)
    depth, (rows, columns) = space[0], space[1:]
    planes = max(1, min(depth, _AT_ONCE // (rows * columns)))
    most = planes * rows * columns
    starts = range(0, depth, planes)
    sums = scratch(a, (8, most), "float64")
    sizes = [min(planes, depth - first) * rows * columns for first in starts]
    blocks = [-(-size // THREADS) for size in sizes]
    totals = scratch(a, (volumes, sum(blocks)), "float64")
    table = tables(a, *(np.ascontiguousarray(w, np.float64).tobytes() for w in weights))
    written = "float64" if out is None else read_type(out.dtype)
    names = f"ssim_planes<{read_type(a.dtype)}>", "ssim_rows", f"ssim<{written}>"
    for v in range(volumes):
        place = totals.address + v * 8 * sum(blocks)
        for first, size, count in zip(starts, sizes, blocks, strict=True):
            packed = _JOB.pack(
                *(a[v].address, b[v].address, 0 if out is None else out[v].address, sums.address, place),
                *(*table.addresses, *a.strides[1:], *b.strides[1:], size, unbias, c1, c2),
                *(*space, *reach, first, size // (rows * columns)),
            )
            writes = [sums, totals] if out is None else [sums, totals, out[v]]
            for name in names:
                run = Launch("ssim", name, packed, count, THREADS, 0, a, sums, (table,))
                launch_alone(run, [a, b], writes)
            place += 8 * count
    means = scratch(a, (volumes,), "float64")
    packed = _TOTAL.pack(totals.address, means.address, sum(blocks))
    launch_alone(Launch("ssim", "ssim_total", packed, volumes, THREADS, 0, totals, means), [totals], [means])
    inside = math.prod(max(n - 2 * r, 0) for n, r in zip(space, reach, strict=True))
    found = driver().read(means)
    return [float(total) / inside if inside and math.isfinite(total) else math.nan for total in found]
