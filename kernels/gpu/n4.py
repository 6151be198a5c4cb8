"""N4 bias field estimation (Tustison et al. 2010), as ITK computes it: five launches an iteration, none waited for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.lattice import Axis
from fastprep.core.sharpening import transform_size
from fastprep.kernels.gpu._bias import SHARPENING, Level, Told, Work, sharpening_of, zeros
from fastprep.kernels.gpu._bias import THREADS as THREADS
from fastprep.kernels.gpu._launch import scratch, tables
from fastprep.kernels.gpu._types import job

_Array = npt.NDArray[np.float64]

_TAPS = (2, 3, 4)
_FITTING = ("gather", "solve", "subtract")
INSTANCES = (
    *("collect", "count", "sharpen", "running_change", "end_level"),
    *(f"{name}<{taps}>" for name in _FITTING for taps in _TAPS),
)
#: What the struct `N4Job` has after its `BiasJob`.
_REST = job(f"{SHARPENING}dPP3PP3iiii")


def n4(
    x: DeviceView,
    mask: DeviceView | None,
    weights: DeviceView | None,
    label: float | None,
    levels: Sequence[tuple[Axis, Axis, Axis]],
    growth: Sequence[tuple[_Array, _Array, _Array]],
    iterations: Sequence[int],
    threshold: float,
    fwhm: float,
    noise: float,
    bins: int,
    itk: bool,
    counted: Callable[[npt.NDArray[np.int64]], None],
    progress: Callable[[int, int, float], None] | None,
) -> tuple[DeviceView, DeviceView, DeviceView]:
    """Lattice (B, kz, ky, kx) of the log field, iterations and convergence (B, levels) of volumes (B, Z, Y, X).

    ``mask`` and ``weights`` are (B, Z, Y, X) or of one volume for all; voxels count where the mask is ``label``, or not
    zero, and the weight is above 0. ``levels`` are the axes of each level's splines, ``growth`` the matrices that
    refine the lattice from one level to the next. ``counted`` gets, before anything is fitted, (B, 2) voxels that count
    and voxels inside that are not finite; those do not count. This waits for the device once, for that number.
    """
    work = Work("n4", x, mask, weights, label, bins, differences=itk)
    many = x.shape[0]
    steps, changes = scratch(x, (many, len(levels)), "int32"), scratch(x, (many, len(levels)), "float64")
    sharpening, turn = sharpening_of(x, bins, fwhm, noise)
    lattice = zeros(x, many * math.prod(axis.controls for axis in levels[0]))
    whole = work.level(levels[0], levels[0], lattice, lattice, residuals=False)
    whole.launch("collect", whole.packed + bytes(_REST.size), work.collecting, 0, THREADS, (), ())
    counted(work.counts())
    for number, axes in enumerate(levels):
        grown = growth[number] if number < len(growth) else ()
        shape = tuple(len(matrix) for matrix in grown) or (0, 0, 0)
        turned = tables(x, *(np.ascontiguousarray(matrix, np.float64).tobytes() for matrix in grown)) if grown else None
        bigger = scratch(x, (many, *shape), "float64") if grown else lattice
        rest = _REST.pack(
            *sharpening,
            threshold,
            steps.address,
            changes.address,
            *((0, 0, 0) if turned is None else turned.addresses),
            bigger.address if grown else 0,
            *shape,
            number,
            len(levels),
            itk,
        )
        squares = [axis._replace(weight=axis.weight**2) for axis in axes]
        cubes = [
            a._replace(weight=a.weight**3 / s.weight.sum(axis=1, keepdims=True))
            for a, s in zip(axes, squares, strict=True)
        ]
        density = scratch(x, (many, *(axis.controls for axis in axes)), "float64")
        weigh = work.level(axes, squares, lattice, density, residuals=False)
        fit = work.level(axes, cubes, lattice, density, residuals=True)
        touched, kept = [steps, changes, bigger], [turn, *([] if turned is None else [turned])]

        def launch(level: Level, name: str, blocks: int, shared: int = 0, threads: int = THREADS) -> None:
            level.launch(name, level.packed + rest, blocks, shared, threads, touched, kept)

        launch(weigh, f"gather<{weigh.taps}>", weigh.gathering, weigh.gathered)
        launch(weigh, f"solve<{weigh.taps}>", weigh.solving)
        told = Told(work, steps, changes, number, progress)
        for step in range(iterations[number]):
            launch(fit, "count", *work.counting)
            launch(fit, "sharpen", many, 40 * transform_size(bins))
            if told.ended(step):
                break
            launch(fit, f"gather<{fit.taps}>", fit.gathering, fit.gathered)
            launch(fit, f"solve<{fit.taps}>", fit.solving)
            launch(fit, f"subtract<{fit.taps}>", fit.subtracting, fit.subtracted)
            if itk:
                launch(fit, "running_change", many, threads=32)
        launch(fit, "end_level", many)
        told.last()
        lattice = bigger
    return lattice.with_shape((many, *(axis.controls for axis in levels[-1]))), steps, changes
