"""A bias field as a polynomial, fitted to what log intensities are above their sharpened ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.lattice import RIDGE, Axis, products, terms
from fastprep.core.sharpening import transform_size
from fastprep.kernels.gpu._bias import LOSSES, SHARPENING, Level, Told, Work, sharpening_of, zeros
from fastprep.kernels.gpu._bias import THREADS as THREADS
from fastprep.kernels.gpu._launch import scratch, tables
from fastprep.kernels.gpu._types import job

_FIELD_TAPS, _SUM_TAPS = (2, 3, 4, 5), (2, 3, 4, 5, 7, 9)
INSTANCES = (
    *("collect", "count", "sharpen", "fit", "end_fit"),
    *(f"subtract<{taps}>" for taps in _FIELD_TAPS),
    *(f"{name}<{taps}>" for name in ("gather", "total") for taps in _SUM_TAPS),
)
#: What the struct `PolynomialJob` has after its `BiasJob`.
_REST = job(f"{SHARPENING}4dPPPPPPPiiii")


def polynomial(
    x: DeviceView,
    mask: DeviceView | None,
    weights: DeviceView | None,
    label: float | None,
    axes: tuple[Axis, Axis, Axis],
    double_axes: tuple[Axis, Axis, Axis],
    order: int,
    iterations: int,
    threshold: float,
    relaxation: float,
    fwhm: float,
    noise: float,
    loss: str,
    tuning: float,
    bins: int,
    counted: Callable[[npt.NDArray[np.int64]], None],
    progress: Callable[[int, int, float], None] | None,
) -> tuple[DeviceView, DeviceView, DeviceView]:
    """Coefficients (B, kz, ky, kx) of the log field, iterations and convergence (B, 1) of volumes (B, Z, Y, X).

    ``axes`` are Legendre polynomials up to ``order``, ``double_axes`` up to twice that, of which products of two
    consist. Mask, weights, label and ``counted`` are those of `n4`.
    """
    work = Work("polynomial", x, mask, weights, label, bins)
    many, degrees = x.shape[0], terms(order)
    shape, double = (tuple(a.controls for a in several) for several in (axes, double_axes))
    steps, changes = scratch(x, (many, 1), "int32"), scratch(x, (many, 1), "float64")
    share, sums = scratch(x, (many, *shape), "float64"), scratch(x, (many, *shape), "float64")
    moments = scratch(x, (many, *double), "float64")
    table = tables(x, products(order).tobytes(), degrees.tobytes())
    lattice = zeros(x, many * int(np.prod(shape))).with_shape((many, *shape))
    sharpening, turn = sharpening_of(x, bins, fwhm, noise)
    rest = _REST.pack(
        *sharpening,
        threshold,
        tuning,
        RIDGE,
        relaxation,
        moments.address,
        sums.address,
        share.address,
        *table.addresses,
        steps.address,
        changes.address,
        order,
        len(degrees),
        0,
        0,
    )
    touched = [steps, changes, share, sums, moments]
    how = LOSSES[loss]
    whole = work.level(axes, axes, lattice, share, residuals=False)
    whole.launch("collect", whole.packed + rest, work.collecting, 0, THREADS, touched, [table, turn])
    counted(work.counts())
    alike = work.level(axes, axes, lattice, share, residuals=False, weighted=False)
    trusted = work.level(axes, double_axes, lattice, moments, residuals=False, loss=how)
    away = work.level(axes, axes, lattice, sums, residuals=True, loss=how)

    def launch(level: Level, name: str, blocks: int, shared: int = 0) -> None:
        level.launch(name, level.packed + rest, blocks, shared, THREADS, touched, [table, turn])

    def summed(level: Level) -> None:
        launch(level, f"gather<{level.taps}>", level.gathering, level.gathered)
        launch(level, f"total<{level.taps}>", level.solving)

    summed(alike)
    told = Told(work, steps, changes, 0, progress)
    for step in range(iterations):
        launch(away, "count", *work.counting)
        launch(away, "sharpen", many, 40 * transform_size(bins))
        if told.ended(step):
            break
        summed(trusted)
        summed(away)
        launch(away, "fit", many)
        launch(away, f"subtract<{away.taps}>", away.subtracting, away.subtracted)
    launch(away, "end_fit", many)
    told.last()
    return lattice, steps, changes
