"""Total variation by Chambolle's dual iteration: each is one sweep over the volume.

A sweep makes the image of the next plane from the dual field as it was, then the field of this plane from both, in
place. Slabs of planes know the image of the first plane of the next slab beforehand. Energies are sums of planes, put
together in their order: the same bits on any number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import num_threads, run_slabs, thread_limit
from fastprep.kernels.cpu._half import cast
from fastprep.kernels.cpu._numba import jit, native

#: Voxels of a slab, at the least: fewer are done before a thread has heard of them.
_SLAB = 2**15
#: Volumes of no more voxels are done side by side, where there are enough of them.
_SMALL = 2**20


def tv(x: npt.NDArray[Any], out: npt.NDArray[Any], weight: float, eps: float, iterations: int) -> None:
    """``out`` = each volume of ``x`` (B, Z, Y, X) with less total variation; axes of one voxel are none.

    The dual field ``p`` starts at 0. With ``u = x + d`` of its divergence ``d`` and the forward gradient ``g`` of ``u``
    it becomes ``(p - t g) / (1 + t |g| / weight)``, t of half the inverse of the number of axes, until the energy
    ``sum d^2 + weight sum |g|`` changes by less than ``eps`` times the first, or ``iterations`` are done.
    """
    many, size = len(x), math.prod(x.shape[1:])

    def work(start: int, stop: int) -> None:
        for b in range(start, stop):
            _volume(x[b], out[b], weight, eps, iterations)

    if many >= num_threads() and size <= _SMALL:

        def alone(start: int, stop: int) -> None:
            with thread_limit(1):
                work(start, stop)

        run_slabs(alone, many)
    else:
        work(0, many)


def _volume(x: npt.NDArray[Any], out: npt.NDArray[Any], weight: float, eps: float, iterations: int) -> None:
    real = np.float64 if out.dtype == np.float64 else np.float32
    space = [n for n in x.shape if n > 1]
    axes = len(space)
    # Planes are cut to slabs, so that the first axis of two is that of planes.
    shape = tuple(space) if axes == 3 else (1, 1, *space) if axes < 2 else (space[0], 1, space[1])
    shape = (1,) * (3 - len(shape)) + shape
    f = np.ascontiguousarray(native(x), real).reshape(shape)
    if not axes:
        cast(f.reshape(x.shape), out)
        return
    wide = out.reshape(shape) if out.dtype == real else np.empty(shape, real)
    step = 1 / (2 * axes)
    p = np.zeros((3, *shape), real)
    slabs = max(1, min(num_threads(), shape[0], f.size // _SLAB))
    bounds = [shape[0] * k // slabs for k in range(slabs + 1)]
    # Rows of images end with their last voxel once more. The image beyond the last slab is never read.
    wider = shape[1], shape[2] + 1
    firsts, planes = np.zeros((slabs + 1, *wider), real), np.empty((slabs, 2, *wider), real)
    energies = np.empty(shape[0])
    factors = real(step), real(step / weight), real(weight), real(1)

    def prepare(start: int, stop: int) -> None:
        for k in range(start, stop):
            _image(f, p, bounds[k], firsts[k])

    def sweep(start: int, stop: int) -> None:
        for k in range(start, stop):
            _sweep(f, p, bounds[k], bounds[k + 1], firsts[k], firsts[k + 1], planes[k], wide, energies, *factors)

    first = before = 0.0
    for i in range(iterations):
        run_slabs(prepare, slabs)
        run_slabs(sweep, slabs)
        energy = float(energies.sum()) / f.size
        if i == 0:
            first = energy
        if first == 0 or (i > 0 and abs(before - energy) < eps * first):
            break
        before = energy
    if out.dtype != real:
        cast(wide.reshape(x.shape), out)


@jit
def _image(f: Any, p: Any, z: int, u: Any) -> None:
    """The image of plane z."""
    none = np.zeros(f.shape[2], f.dtype)
    for y in range(f.shape[1]):
        _row(f, p, z, y, none, u)


@jit
def _row(f: Any, p: Any, z: int, y: int, none: Any, u: Any) -> None:
    """The image of a row: what flows out of a voxel is lost, what flows out of those before comes in."""
    above = p[0, z - 1, y] if z > 0 else none
    before = p[1, z, y - 1] if y > 0 else none
    last = f.shape[2] - 1
    u[y, 0] = f[z, y, 0] + (above[0] - (p[0, z, y, 0] + p[1, z, y, 0] + p[2, z, y, 0]) + before[0])
    for i in range(last):
        out = p[0, z, y, i + 1] + p[1, z, y, i + 1] + p[2, z, y, i + 1]
        u[y, i + 1] = f[z, y, i + 1] + (above[i + 1] - out + before[i + 1] + p[2, z, y, i])
    u[y, last + 1] = u[y, last]


@jit
def _sweep(
    f: Any,
    p: Any,
    z0: int,
    z1: int,
    first: Any,
    beyond: Any,
    planes: Any,
    out: Any,
    energies: Any,
    step: Any,
    ratio: Any,
    weight: Any,
    one: Any,
) -> None:
    """One iteration of planes ``z0 <= z < z1``: the image of the first and of that beyond the last are known."""
    nz, ny, nx = f.shape
    none, norm, sums = np.zeros(nx, f.dtype), np.empty(nx, f.dtype), np.empty(nx)
    here = first
    for z in range(z0, z1):
        # Below the last plane of all is itself, so that nothing changes there.
        below = planes[z % 2] if z + 1 < z1 else beyond if z1 < nz else here
        sums[:] = 0
        for y in range(ny):
            if z + 1 < z1:
                _row(f, p, z + 1, y, none, below)
            _update(f, p, z, y, here, below, min(y + 1, ny - 1), norm, sums, step, ratio, weight, one)
            for i in range(nx):
                out[z, y, i] = here[y, i]
        total = 0.0
        for i in range(nx):
            total += sums[i]
        energies[z] = total
        here = below


@jit
def _update(
    f: Any,
    p: Any,
    z: int,
    y: int,
    u: Any,
    below: Any,
    ahead: int,
    norm: Any,
    sums: Any,
    step: Any,
    ratio: Any,
    weight: Any,
    one: Any,
) -> None:
    """The dual field of a row, and its part of the energy.

    In loops of few arrays each: of more the compiler does not see that they are apart, and takes voxels one by one.
    """
    nx = norm.size
    for i in range(nx):
        g0, g1, g2 = below[y, i] - u[y, i], u[ahead, i] - u[y, i], u[y, i + 1] - u[y, i]
        norm[i] = np.sqrt(g0 * g0 + g1 * g1 + g2 * g2)
    for i in range(nx):
        d = u[y, i] - f[z, y, i]
        sums[i] += np.float64(d * d + weight * norm[i])
        norm[i] = one / (one + norm[i] * ratio)
    for i in range(nx):
        p[0, z, y, i] = (p[0, z, y, i] - step * (below[y, i] - u[y, i])) * norm[i]
    for i in range(nx):
        p[1, z, y, i] = (p[1, z, y, i] - step * (u[ahead, i] - u[y, i])) * norm[i]
    for i in range(nx):
        p[2, z, y, i] = (p[2, z, y, i] - step * (u[y, i + 1] - u[y, i])) * norm[i]
