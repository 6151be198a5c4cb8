"""Total variation by Chambolle's dual iteration: a launch for each, and a flag on the device that ends them."""

from __future__ import annotations

import math

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch
from fastprep.kernels.gpu._staged import narrowed, widened
from fastprep.kernels.gpu._types import job

THREADS = 256
INSTANCES = tuple(f"{name}<{c}>" for name in ("tv_clear", "tv_iterate", "tv_end") for c in ("float32", "float64"))
#: Voxels of a tile along y and x, and planes at the most: of each tile one is made twice.
_ROWS, _COLUMNS, _PLANES = 8, 32, 32
#: Blocks that keep a device busy.
_BUSY = 1024
#: The struct ``Energy``, in words of 64 bits.
_ENERGY = 4
_JOBS = {real: job(f"PP3P3PPPqq3q3iidd{letter}{letter}ii") for real, letter in (("float32", "f"), ("float64", "d"))}


def tv(x: DeviceView, out: DeviceView, weight: float, eps: float, iterations: int) -> None:
    """``out`` = each volume of ``x`` (B, Z, Y, X) with less total variation; axes of one voxel are none.

    The dual field ``p`` starts at 0. With ``u = x + d`` of its divergence ``d`` and the forward gradient ``g`` of ``u``
    it becomes ``(p - t g) / (1 + t |g| / weight)``, t of half the inverse of the number of axes, until the energy
    ``sum d^2 + weight sum |g|`` changes by less than ``eps`` times the first, or ``iterations`` are done.
    """
    if out.size == 0:
        return
    real = "float64" if out.dtype.name == "float64" else "float32"
    many, shape = len(x), x.shape[1:]
    size = math.prod(shape)
    step = 1 / (2 * max(1, sum(n > 1 for n in shape)))
    across = -(-shape[1] // _ROWS) * -(-shape[2] // _COLUMNS)
    planes = min(_PLANES, max(1, shape[0] * many * across // _BUSY))
    tiles = -(-shape[0] // planes), -(-shape[1] // _ROWS), -(-shape[2] // _COLUMNS)
    blocks = math.prod(tiles)
    given = widened(x, real)
    # An axis of one voxel has no field.
    there = [n > 1 or axis == 2 for axis, n in enumerate(shape)]
    field = scratch(out, (2, sum(there), *x.shape), real)
    parts = [[field[turn, sum(there[:axis])].address if there[axis] else 0 for axis in range(3)] for turn in (0, 1)]
    energies, sums = scratch(out, (many, _ENERGY), "float64"), scratch(out, (many, blocks), "float64")
    touched = [field, energies, sums]
    with narrowed(out, real) as made:

        def queue(name: str, count: int, iteration: int, writes: list[DeviceView]) -> None:
            packed = _JOBS[real].pack(
                *(given.address, made.address, *parts[iteration % 2], *parts[(iteration + 1) % 2]),
                *(energies.address, sums.address, size, many, *tiles, *shape, planes),
                *(weight, eps, step, step / weight, iteration, 0),
            )
            run = Launch("tv", f"{name}<{real}>", packed, count, THREADS, 0, x, out)
            launch_alone(run, [given, *touched], writes)

        queue("tv_clear", -(-many // THREADS), 0, [energies])
        for i in range(iterations):
            queue("tv_iterate", many * blocks, i, touched)
        queue("tv_end", -(-many * size // THREADS), 0, [made])
