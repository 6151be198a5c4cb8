"""polynomial_bias: a bias field that is a polynomial of the position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastprep.core.errors import ArgumentError
from fastprep.core.lattice import legendre, voxels
from fastprep.ops._bias import (
    BiasField,
    Fit,
    check_counts,
    check_nan,
    check_positive,
    check_whole,
    finished,
    scan_of,
    three_axes,
)
from fastprep.registry import kernel

LOSSES = ("huber", "tukey", "none")
#: Standard deviations at which a loss begins, or has given an outlier up.
_TUNING = {"huber": 2.5, "tukey": 4.685, "none": 1.0}


def polynomial_bias(
    x: Any,
    mask: Any = None,
    *,
    weights: Any = None,
    label: int | None = None,
    order: int = 3,
    iterations: int = 50,
    convergence_threshold: float = 3e-4,
    relaxation: float = 1.8,
    bias_field_fwhm: float = 0.1,
    wiener_noise: float = 0.01,
    histogram_bins: int = 200,
    loss: str = "huber",
    tuning: float | None = None,
    spacing: Sequence[float] | None = None,
    nan: str = "raise",
    progress: Callable[[int, int, float], None] | None = None,
) -> BiasField:
    """Bias field as a polynomial of the position, fitted by robust least squares to the log intensities.

    ``log x = tissue + sum over i + j + k <= order of c_ijk P_i(z) P_j(y) P_k(x) + noise``, P Legendre polynomials on
    [-1, 1]. Each iteration sharpens the histogram of what is left of the log intensities, as `n4` does, takes from each
    voxel what its intensity is expected to be then, weighs voxels by ``loss`` and the median of their distances, and
    solves the weighted normal equations. The constant is such that the log field has the mean zero inside the mask.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); leading axes are a batch, each volume fitted by itself. The last
        ``len(spacing)`` axes are space, or those of the mask.
    mask : array or Image of the same space axes; voxels count where it is ``label``, or not zero without one. By
        default all count, the background too: give a mask.
    weights : confidence of each voxel, of the mask's shape; only voxels above 0 count.
    order : highest total degree, 1 to 4; beyond 3 the polynomial begins to follow anatomy.
    iterations : at most; it ends when the coefficient of variation of ``exp(old field - new field)`` is at most
        ``convergence_threshold``.
    relaxation : each step is this much of the solution, below 2; sharpening shows only part of the field at a time.
    bias_field_fwhm, wiener_noise, histogram_bins : of the sharpening, in log intensity; see `n4`.
    loss : "huber", "tukey" (biweight), or "none"; ``tuning`` is the distance, in standard deviations, from which on
        voxels count less (Huber, 2.5) or not at all (Tukey, 4.685).
    nan : "raise", or "ignore": NaN and infinity inside the mask are left out, and stay what they are.
    progress : called as ``progress(0, iteration, convergence)``; what it raises ends the estimation.

    Returns
    -------
    BiasField
        ``corrected`` (floats keep their dtype, integers become float32), ``log_field``, ``lattice`` with the
        coefficients ``c[i, j, k]``, ``iterations``, ``convergence``, and ``evaluate`` for other grids.

    Raises
    ------
    ArgumentError
        No voxel inside; a number out of its domain.
    ShapeError
        A mask or weights of another shape.
    NonFiniteError
        NaN or infinity inside the mask.
    GeometryError
        Images of a mask or weights on another grid.

    Notes
    -----
    Sources: Sled, Zijdenbos and Evans 1998 for the sharpening; Huber 1964 and Beaton and Tukey 1974 for the losses.

    Examples
    --------
    >>> import numpy as np
    >>> z, y, x = np.ogrid[-1:1:24j, -1:1:24j, -1:1:24j]
    >>> head = np.where(z**2 + y**2 + x**2 < 0.8, np.where(z**2 + y**2 + x**2 < 0.3, 90.0, 60.0), 0.0)
    >>> result = polynomial_bias(head * np.exp(0.3 * x), head > 0)
    >>> round(float(result.lattice[0, 0, 1]), 2)
    0.3
    """
    scan = scan_of(x, mask, weights, spacing)
    check_nan(nan)
    check_whole(order=(order, 1, 4), histogram_bins=(histogram_bins, 2, 512))
    check_whole(iterations=(iterations, 1, 10**6))
    if loss not in LOSSES:
        msg = f"loss={loss!r}: expected one of {', '.join(LOSSES)}"
        raise ArgumentError(msg)
    tuned = _TUNING[loss] if tuning is None else tuning
    if not relaxation < 2:
        msg = f"relaxation={relaxation}: expected a number below 2"
        raise ArgumentError(msg)
    check_positive(tuning=tuned, bias_field_fwhm=bias_field_fwhm, wiener_noise=wiener_noise, relaxation=relaxation)
    bases = tuple(legendre(n, order) for n in scan.space)
    found = kernel("polynomial", scan.array)(
        scan.volumes,
        scan.mask,
        scan.weights,
        label,
        three_axes(tuple(voxels(b) for b in bases)),
        three_axes(tuple(voxels(legendre(n, 2 * order)) for n in scan.space)),
        order,
        iterations,
        float(convergence_threshold),
        float(relaxation),
        float(bias_field_fwhm),
        float(wiener_noise),
        loss,
        float(tuned),
        histogram_bins,
        partial(check_counts, nan=nan),
        progress,
    )
    return finished("polynomial_bias", scan, Fit(*found), bases)
