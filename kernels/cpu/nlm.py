"""Non-local means, a block of rows at a time: shift by shift, each distance for both of its voxels.

A shift t and its opposite have the same distances, so half the shifts do; a voxel of a block whose partner lies in
another has its distance made in both. Sums over patches add what there is, row by row, and subtract nothing: equal
patches are at distance 0. What a voxel is made of, and in which order, does not depend on the threads.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import overload

from fastprep.core.similar import CUTOFF, SLOPE, WORD, patch_window
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._exponential import falling_exponential
from fastprep.kernels.cpu._half import cast
from fastprep.kernels.cpu._numba import jit

#: Planes and columns of a block, and rows of it in all planes together, at the most.
_PLANES, _ROWS, _COLUMNS = 16, 256, 512
#: Rows of distances are multiples of this, so that few end within a vector.
_LANES = 16
#: 2 ** k for k from -9.
_POWERS = 2.0 ** np.arange(-9, 2)


def nlm(
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
    radius: tuple[int, ...],
    reach: tuple[int, ...],
    sigmas: npt.NDArray[np.float64],
    h: float,
    rician: bool,
    compatible: bool,
) -> None:
    """``out`` = sum of w x(p + t) over sum of w, t up to ``reach`` along each axis: all (B, Z, Y, X).

    ``w = exp(-max(d2 - 2 sigma^2, 0) / (h sigma)^2)``, d2 the mean squared difference of the patches of ``radius``
    around p and p + t; where ``sigma`` is 0, 1 of patches that are equal, else 0. The image is mirrored at its border,
    which is not repeated. ``rician``: of squares, less 2 sigma^2. ``compatible``: scikit-image's fast mode, where ``h``
    is that of patches, not of sigma.
    """
    if not out.size:
        return
    # Next to the cut-off every digit of a distance counts.
    real = np.dtype(np.float64 if compatible else np.float32)
    window = tuple(patch_window(r) if compatible else (-r, r) for r in radius)
    pad = tuple(r + s for r, s in zip(radius, reach, strict=True))
    blocks = _blocks(x.shape[1:])
    for volume, result, sigma in zip(x, out, sigmas.tolist(), strict=True):
        # What float32 does not hold is told from the first voxel.
        wide = not (rician or volume.dtype == np.float32 or volume.itemsize <= 2)
        origin = float(volume[0, 0, 0]) if wide else 0.0
        around = _mirrored(volume, origin, pad, real)
        values = around * around if rician else around
        whole = result if result.dtype == real else np.empty(result.shape, real)
        how = _weighing(radius, window, sigma, h, compatible)
        plan = (around, values, pad, reach, window, *(real.type(v) for v in how), rician, whole)
        run_slabs(partial(_slab, blocks, plan), int(np.prod(blocks)))
        if whole is not result:
            cast(whole, result)
        if origin:
            result += origin


def _blocks(shape: tuple[int, ...]) -> list[int]:
    """How many along each axis: long rows, and few enough of them to stay in the cache."""
    planes = min(shape[0], _PLANES)
    most = (_PLANES, min(64, _ROWS // planes), _COLUMNS)
    return [-(-n // size) for n, size in zip(shape, most, strict=True)]


def _mirrored(
    volume: npt.NDArray[Any], origin: float, pad: tuple[int, ...], real: np.dtype[Any]
) -> npt.NDArray[np.floating[Any]]:
    """The volume as floats from ``origin``, mirrored beyond its borders; a row is read beyond its end."""
    values = (volume - origin if origin else volume).astype(real)
    margins = [*((p, p) for p in pad[:2]), (pad[2], pad[2] + _LANES)]
    return np.ascontiguousarray(np.pad(values, margins, mode="reflect"))


def _weighing(
    radius: tuple[int, ...], window: tuple[tuple[int, int], ...], sigma: float, h: float, compatible: bool
) -> tuple[float, float, float]:
    """What noise makes of a patch's sum of squares, a sum's part of the exponent, and what noise adds to squares."""
    noise, count = 2 * sigma * sigma, math.prod(2 * r + 1 for r in radius)
    if compatible:
        return noise * math.prod(high - low + 1 for low, high in window), 1 / (count * h * h), noise
    unit = count * (h * sigma) ** 2
    most = float(np.finfo(np.float32).max)
    return noise * count, min(1 / unit, most) if unit > 0 else most, noise


def _slab(blocks: list[int], plan: tuple[Any, ...], start: int, stop: int) -> None:
    shape = plan[-1].shape
    for item in range(start, stop):
        at = np.unravel_index(item, blocks)
        bounds = tuple((n * int(k) // m, n * (int(k) + 1) // m) for n, k, m in zip(shape, at, blocks, strict=True))
        _block(bounds, *plan)


@jit
def _block(
    bounds: Any,
    around: Any,
    values: Any,
    pad: Any,
    reach: Any,
    window: Any,
    noise: Any,
    scale: Any,
    less: Any,
    rician: bool,
    out: Any,
) -> None:
    (z0, z1), (y0, y1), (x0, x1) = bounds
    deep, high, wide = reach
    room = _room(z1 - z0 + deep, x1 - x0 + wide, window, around)
    # Of the voxel itself: weight 1, difference 0.
    total = np.full((z1 - z0, y1 - y0, x1 - x0), _weight(scale - scale, noise, scale))
    part = np.zeros(total.shape, around.dtype)
    for tz in range(deep + 1):
        for ty in range(-high if tz > 0 else 0, high + 1):
            for tx in range(-wide if tz > 0 or ty > 0 else 1, wide + 1):
                _shift(tz, ty, tx, bounds, around, values, pad, window, noise, scale, room, total, part)
    for z in range(z0, z1):
        for y in range(y0, y1):
            own = values[pad[0] + z, pad[1] + y, pad[2] + x0 : pad[2] + x1]
            _finish(own, total[z - z0, y - y0], part[z - z0, y - y0], less, rician, out[z, y, x0:x1])


@jit
def _room(nz: int, nx: int, window: Any, like: Any) -> Any:
    """Rows of squared differences, of their sums along x, the latter summed along z for as many y as a patch has."""
    (lz, hz), (ly, hy), (lx, hx) = window
    pitch = _pitch(nx, hx - lx)
    rows = (nz + hz - lz) * pitch + hx - lx
    return np.zeros(rows, like.dtype), np.empty(rows, like.dtype), np.empty((hy - ly + 2) * nz * pitch, like.dtype)


@jit
def _pitch(n: int, more: int) -> int:
    return (n + more + _LANES - 1) // _LANES * _LANES


@jit
def _shift(
    tz: int,
    ty: int,
    tx: int,
    bounds: Any,
    around: Any,
    values: Any,
    pad: Any,
    window: Any,
    noise: Any,
    scale: Any,
    room: Any,
    total: Any,
    part: Any,
) -> None:
    """Adds what the voxels of a block get from those ``t`` away, and from those ``-t`` away."""
    (z0, z1), (y0, y1), (x0, x1) = bounds
    (lz, hz), (ly, hy), (lx, hx) = window
    pz, py, px = pad
    # Voxels p such that p or p + t is one of the block.
    za, ya, yb, xa, xb = z0 - tz, y0 - max(ty, 0), y1 - min(ty, 0), x0 - max(tx, 0), x1 - min(tx, 0)
    squares, lines, sums = room
    cz, cy = hz - lz + 1, hy - ly + 1
    m = _pitch(xb - xa, hx - lx)
    depth = z1 - za
    step = sums.size // (cy + 1)
    weights = sums[cy * step :]
    left = px + xa + lx
    for y in range(ya + ly, yb + hy):
        for k in range(depth + cz - 1):
            z = pz + za + lz + k
            here, there = around[z, py + y], around[z + tz, py + y + ty]
            _square(here[left : left + m], there[left + tx : left + tx + m], squares[k * m : (k + 1) * m])
        _add_up(squares, 1, hx - lx + 1, lines[: (depth + cz - 1) * m])
        slot = (y - ya - ly) % cy * step
        _add_up(lines, m, cz, sums[slot : slot + depth * m])
        of = y - hy
        if of < ya:
            continue
        # Which planes hold a voxel of the block, or one whose partner is.
        first = za if y0 <= of + ty < y1 else z0
        last = z1 if y0 <= of < y1 else z1 - tz
        chosen = weights[(first - za) * m : (last - za) * m]
        _add_up(sums[(first - za) * m :], step, cy, chosen)
        _weigh(chosen, noise, scale)
        for z in range(first, last):
            row = weights[(z - za) * m : (z - za + 1) * m]
            here, there = values[pz + z, py + of], values[pz + z + tz, py + of + ty]
            if z >= z0 and y0 <= of < y1:
                at = px + x0
                _gather(
                    row[x0 - xa :],
                    here[at:],
                    there[at + tx :],
                    total[z - z0, of - y0],
                    part[z - z0, of - y0],
                )
            if z + tz < z1 and y0 <= of + ty < y1:
                at = px + x0 - tx
                _gather(
                    row[x0 - tx - xa :],
                    there[at + tx :],
                    here[at:],
                    total[z + tz - z0, of + ty - y0],
                    part[z + tz - z0, of + ty - y0],
                )


@jit
def _square(here: Any, there: Any, out: Any) -> None:
    for i in range(out.size):
        d = here[i] - there[i]
        out[i] = d * d


@jit
def _add_up(a: Any, step: int, count: int, out: Any) -> None:
    """Sums of ``count`` values of ``a``, ``step`` apart."""
    if count == 1:
        _one(a, out)
    elif count == 2:
        _two(a, a[step:], out)
    else:
        _three(a, a[step:], a[2 * step :], out)
        for k in range(3, count - 1, 2):
            _three(out, a[k * step :], a[(k + 1) * step :], out)
        if count % 2 == 0:
            _two(out, a[(count - 1) * step :], out)


@jit
def _one(a: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = a[i]


@jit
def _two(a: Any, b: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = a[i] + b[i]


@jit
def _three(a: Any, b: Any, c: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = a[i] + b[i] + c[i]


@jit
def _weigh(sums: Any, noise: Any, scale: Any) -> None:
    for i in range(sums.size):
        sums[i] = _weight(sums[i], noise, scale)


@jit
def _gather(weights: Any, own: Any, other: Any, total: Any, part: Any) -> None:
    for i in range(total.size):
        total[i] += weights[i]
        part[i] += weights[i] * (other[i] - own[i])


@jit
def _finish(own: Any, total: Any, part: Any, less: Any, rician: bool, out: Any) -> None:
    for i in range(out.size):
        mean = own[i] + part[i] / total[i]
        out[i] = math.sqrt(max(mean - less, less - less)) if rician else mean


def _weight(distance: Any, noise: Any, scale: Any) -> Any:
    """Of a patch's sum of squared differences: an exponential in float32, scikit-image's in float64."""
    raise NotImplementedError


@overload(_weight)  # type: ignore[untyped-decorator]
def _weight_of(distance: Any, noise: Any, scale: Any) -> Any:
    if distance == types.float32:

        def exact(distance: Any, noise: Any, scale: Any) -> Any:
            away = (noise - distance) * scale
            return falling_exponential(away if away < 0 else np.float32(0))

        return exact

    def quick(distance: Any, noise: Any, scale: Any) -> Any:
        away = max(distance - noise, 0.0) * scale
        if away > CUTOFF:
            return 0.0
        word = np.int64(-SLOPE * away) + WORD
        return _POWERS[(word >> 20) - 1014] * (1.0 + (word & 0xFFFFF) / 1048576.0)

    return quick
