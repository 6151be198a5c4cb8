"""estimate_noise: the standard deviation of an image's noise."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.noise import MAD, details, gaussian_sigma
from fastprep.core.order_statistics import OrderStatistics
from fastprep.ops._arrays import empty, for_all
from fastprep.ops._bias import Scan
from fastprep.ops._denoise import finite, noisy
from fastprep.ops._masked import moments_of
from fastprep.registry import kernel

#: Part of all windows that makes the dark ones a sample, and how dark they are, in noise: 1 % of air is brighter.
_ENOUGH, _DARK = 0.05, 3.0
#: Mean over deviation of signal as strong as the noise; of none it is 1.91, and what is between is taken for none.
_SIGNAL = 2.0


def estimate_noise(x: Any, *, mask: Any = None, rician: bool = False) -> float | npt.NDArray[np.float64]:
    """The standard deviation of Gaussian noise: ``median |d| / 0.6745``, d the finest diagonal detail.

    d is the detail of Daubechies' wavelet of four taps along every axis (Donoho and Johnstone 1994), of every second
    window inside the image. Edges fill few windows, and the median does not see them; where most of an image is edges
    and texture, as on small coarse grids, the estimate is too high. Details of exactly 0 do not count: they are of
    what has no noise, such as a background set to 0.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by itself. Axes shorter than 4 voxels are not looked
        along. Noise must not be correlated: estimate it before anything is interpolated.
    mask : array or Image of the space axes of ``x``, or of its whole shape; windows count whose middle is inside.
    rician : of an MR magnitude: the noise of each of the two channels it was made of, by mean and deviation of what
        counts (Koay and Basser 2006). Without a mask that are the dark windows, up to three times the noise, where
        there are any to speak of: the air around a patient. Air alone, or tissue alone, as mask is surer.

    Returns
    -------
    A float, in units of ``x``; float64 (...) of a batch. 0 where nothing varies.

    Raises
    ------
    NonFiniteError
        NaN or infinity, anywhere in ``x``.
    ArgumentError
        No window inside the mask.
    ShapeError
        No axis of 4 voxels, or a mask of another shape.
    DTypeError
        A mask as ``x``.

    Examples
    --------
    A soft tissue insert of a CT phantom, noise of 12 HU:

    >>> import numpy as np
    >>> hu = np.random.default_rng(0).normal(40, 12, (20, 64, 64))
    >>> hu[:, :, 32:] += 300
    >>> round(estimate_noise(hu), 1), round(float(hu.std()))
    (12.0, 150)
    """
    scan = noisy(x, mask)
    finite(scan)
    sigmas = noise_of(scan, rician)
    return sigmas.reshape(scan.leading) if scan.leading else float(sigmas[0])


def noise_of(scan: Scan, rician: bool) -> npt.NDArray[np.float64]:
    """``(B,)`` estimates of finite volumes."""
    found = _details(scan)
    inside = empty(found.size.shape, "bool", scan.array).view
    kernel("between", found.size)(found.size, found.mask, 0.0, math.inf, inside)
    medians = kernel("percentile", found.size)(found.size, inside, np.array([0.5]))
    if found.mask is not None:
        for b, median in enumerate(medians):
            if not median.count and not moments_of(found.mask[b], found.mask[b]).count:
                msg = "mask holds no voxel: there is nothing to take a statistic of"
                raise ArgumentError(msg)
    stds = [_std(median) for median in medians]
    if rician:
        stds = [_of_channels(found, b, inside, std) for b, std in enumerate(stds)]
    return np.array(stds)


class _Details(NamedTuple):
    """Details (B, mz, my, mx), the voxels in the middle of their windows, and the mask there."""

    size: Any
    middle: Any
    mask: Any


def _details(scan: Scan) -> _Details:
    volumes = scan.volumes
    shape = tuple(details(n) for n in volumes.shape[1:])
    if shape == tuple(volumes.shape[1:]):
        msg = f"x of shape {(*scan.leading, *scan.space)}: expected an axis of at least 4 voxels"
        raise ShapeError(msg)
    size = empty((len(volumes), *shape), "float32", scan.array).view
    kernel("diagonals", volumes)(volumes, size)
    along = zip(shape, volumes.shape[1:], strict=True)
    middle = tuple(slice(2, 1 + 2 * m, 2) if m < n else slice(None) for m, n in along)
    mask = None if scan.mask is None else for_all(scan.mask, len(volumes))[(slice(None), *middle)]
    return _Details(size, volumes[(slice(None), *middle)], mask)


def _std(median: OrderStatistics) -> float:
    return float(median.quantiles(np.array([0.5]))[0]) / MAD if median.count else 0.0


def _of_channels(found: _Details, b: int, inside: Any, std: float) -> float:
    """The noise of each channel of a magnitude of volume ``b``, from the deviation of all that counts."""
    one = slice(b, b + 1)
    size, middle, counted = found.size[one], found.middle[one], inside[one]
    everything = moments_of(middle[0], counted[0])
    if not everything.count:
        return 0.0
    estimate = gaussian_sigma(everything.mean, std)
    if found.mask is not None:
        return estimate
    sigma = gaussian_sigma(0.0, std)
    dark = empty(size.shape, "bool", size).view
    for _ in range(3):
        kernel("between", size)(middle, counted, 0.0, _DARK * sigma, dark)
        air = moments_of(middle[0], dark[0])
        if air.count < _ENOUGH * everything.count:
            return estimate
        std = _std(kernel("percentile", size)(size, dark, np.array([0.5]))[0])
        sigma = gaussian_sigma(air.mean if air.mean > _SIGNAL * std else 0.0, std)
    return sigma
