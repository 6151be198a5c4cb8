"""denoise_nlm: non-local means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError
from fastprep.core.moments import Moments
from fastprep.ops._bias import Scan
from fastprep.ops._denoise import check_above, denoised, finite, noisy, per_axis
from fastprep.ops.estimate_noise import noise_of
from fastprep.registry import kernel

#: Beyond these the squares of float32 are no numbers, or 0.
_LARGE, _SMALL = 1e18, 1e-18


def denoise_nlm(
    x: Any,
    *,
    patch: int | Sequence[int] = 3,
    distance: int | Sequence[int] = 3,
    h: float = 1.0,
    sigma: Any = None,
    rician: bool = False,
    compatible: bool = False,
    dtype: Any = None,
) -> Any:
    """Each voxel as the mean of those around it, weighted by how alike their patches are (Buades, Coll, Morel 2005).

    ``y(p) = sum of w x(p + t) / sum of w``, ``w = exp(-max(d2 - 2 sigma^2, 0) / (h sigma)^2)``, where d2 is the mean
    squared difference of the patches around p and p + t. Of two patches that are the same but for noise, d2 is about
    ``2 sigma^2``. The image is mirrored at its border, which is not repeated, as often as it takes.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by itself.
    patch : width of the patches in voxels, odd; one for all axes or one for each. 1 along an axis of one voxel.
    distance : the largest t along each axis, in voxels; the time is in proportion to ``(2 distance + 1)`` per axis.
    h : how unlike patches may be, in units of ``sigma``: more is smoother, and less faithful.
    sigma : standard deviation of the noise, in units of ``x``; of a batch one for all or one for each. None is
        `estimate_noise` of each volume. Where it is 0 nothing is to be denoised: equal patches alone are averaged.
    rician : ``x`` is an MR magnitude: squares are averaged, and what noise adds to them, ``2 sigma^2``, is taken off
        (Wiest-Daessle et al. 2008). Air becomes dark again.
    compatible : the numbers of scikit-image's ``denoise_nl_means(fast_mode=True)`` in float64: ``h`` in units of
        ``x``, a ``sigma`` of 0 unless given, patches of an even number of voxels, a cut-off, an approximate exp.
    dtype : of the result, instead of the rule below; whole numbers round half to even and saturate.

    Returns
    -------
    What ``x`` was: floats keep their type, integers become float32. Arithmetic is float32.

    Raises
    ------
    NonFiniteError
        NaN or infinity.
    ArgumentError
        An even patch, a negative distance or sigma, an ``h`` not above 0, values whose squares float32 does not hold;
        ``compatible`` with ``rician``, or with a patch of 1.
    DTypeError
        A mask.

    Examples
    --------
    Noise of 20 HU, and an edge of a vessel that stays where it is:

    >>> import numpy as np
    >>> hu = np.random.default_rng(0).normal(40, 20, (9, 32, 32))
    >>> hu[:, :, 16:] += 200
    >>> smooth = denoise_nlm(hu, sigma=20)
    >>> left, right = smooth[..., :16], smooth[..., 16:]
    >>> bool(left.std() < 5 and right.std() < 5 and right.min() - left.max() > 150)
    True
    """
    scan = noisy(x)
    widths = per_axis("patch", patch, scan.space, least=1, odd=True)
    steps = per_axis("distance", distance, scan.space, least=0)
    check_above(0, h=h)
    shape = scan.volumes.shape[1:]
    radius = tuple(w // 2 if n > 1 else 0 for w, n in zip(widths, shape, strict=True))
    reach = tuple(t if n > 1 else 0 for t, n in zip(steps, shape, strict=True))
    if compatible:
        _check_compatible(rician, radius, shape, patch)
    _check_range(finite(scan))
    sigmas = _sigmas(scan, sigma, rician, compatible)
    run = kernel("nlm", scan.volumes)
    return denoised(
        scan, dtype, lambda out: run(scan.volumes, out, radius, reach, sigmas, float(h), rician, compatible)
    )


def _sigmas(scan: Scan, sigma: Any, rician: bool, compatible: bool) -> npt.NDArray[np.float64]:
    if sigma is None:
        return np.zeros(len(scan.volumes)) if compatible else noise_of(scan, rician)
    try:
        given = np.broadcast_to(np.asarray(sigma, np.float64), scan.leading).reshape(-1)
    except (TypeError, ValueError):
        given = np.array([math.nan])
    if not (np.isfinite(given) & (given >= 0)).all():
        of_each = f", or {scan.leading} of them" if scan.leading else ""
        msg = f"sigma={sigma!r}: expected a finite number of at least 0{of_each}"
        raise ArgumentError(msg)
    return np.ascontiguousarray(given)


def _check_compatible(rician: bool, radius: tuple[int, ...], shape: Sequence[int], patch: Any) -> None:
    if rician:
        msg = "compatible=True with rician=True: scikit-image has no Rician noise"
        raise ArgumentError(msg)
    if any(r == 0 and n > 1 for r, n in zip(radius, shape, strict=True)):
        msg = f"patch={patch!r}: expected at least 3, scikit-image compares no voxel of a patch of 1"
        raise ArgumentError(msg)


def _check_range(found: list[Moments]) -> None:
    for one in found:
        if max(-one.low, one.high) > _LARGE or 0 < one.high - one.low < _SMALL:
            msg = f"x from {one.low:g} to {one.high:g}: its squares are beyond float32, scale it"
            raise ArgumentError(msg)
