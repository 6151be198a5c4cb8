"""ssim: how alike the structure of two images is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import check_space
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import shape_of
from fastprep.ops._arrays import empty, view_of
from fastprep.ops._masked import measured
from fastprep.ops._pairs import check_data_range, check_finite, over_pairs, pair_of, told

#: Where a Gaussian ends, in standard deviations, and the constants of the paper in units of the range.
_TRUNCATE, _K1, _K2 = 3.5, 0.01, 0.03


def ssim(
    a: Any,
    b: Any,
    *,
    data_range: float,
    window: int | Sequence[int] = 7,
    gaussian_sigma: float | None = None,
    mask: Any = None,
    full: bool = False,
) -> Any:
    """The mean structural similarity, of means m, variances v and the covariance c of both in a window about a voxel.

    ``s = (2 ma mb + C1) (2 c + C2) / ((ma^2 + mb^2 + C1) (va + vb + C2))`` with ``C1 = (0.01 data_range)^2`` and
    ``C2 = (0.03 data_range)^2`` (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 13(4), 2004). 1 is the same; the mean is
    over the voxels whose window lies inside the image. All sums are float64. Windows are of two axes or of three, as
    the space of the image is; an axis of one voxel is none.

    Parameters
    ----------
    a : Image, or array (..., z, y, x) or (y, x): the truth, or what was there before.
    b : of the same shape and, of Images, on the same grid; of any other type.
    data_range : as `fastprep.psnr` takes it; it must hold the values of ``a`` inside the mask.
    window : odd voxels along each axis, or one number for each: (1, 7, 7) looks at slices. Its voxels weigh the same,
        and variances are those of a sample (n - 1), as is scikit-image's default.
    gaussian_sigma : weigh them by a Gaussian of so many voxels instead, which ends at 3.5 of them whatever ``window``
        says, variances as they are: 1.5 is the paper's (scikit-image's ``use_sample_covariance=False``).
    mask : array or Image of the space axes, or of the whole shape: the mean is over all voxels inside instead, with
        windows mirrored at the border.
    full : return the map too.

    Returns
    -------
    A float, or NumPy's (...), float64, for a batch; with ``full`` that and s of every voxel, as ``a`` is: float64 where
    ``a`` or ``b`` is, else float32.

    Raises
    ------
    ArgumentError
        A range that is not above 0 or smaller than that of ``a``, a window that is not odd, an empty mask.
    ShapeError
        A window that is longer than an axis.
    GeometryError, NonFiniteError, DeviceError
        As `fastprep.mse`; NaN counts outside a mask, too, for windows reach there.

    Examples
    --------
    A gain of 10 % changes no structure, and blur does:

    >>> import numpy as np
    >>> scan = np.random.default_rng(0).uniform(0, 1000, (32, 32))
    >>> round(ssim(scan, scan * 1.1, data_range=1000), 2), ssim(scan, scan.mean() + 0 * scan, data_range=1000) < 0.1
    (0.99, True)
    """
    first, second, ndim = pair_of(a, b)
    value = check_data_range(data_range, first, mask, ndim)
    ndim = _space(first, mask) if ndim is None else ndim
    _, space = check_space(shape_of(first), ndim, name="a")
    how = _windows(space, window, gaussian_sigma)
    constants = (_K1 * value) ** 2, (_K2 * value) ** 2
    wide = any(view_of(x).dtype.name == "float64" for x in (first, second))
    out = empty(shape_of(first), "float64" if wide else "float32", first) if full or mask is not None else None
    view = None if out is None else out.view
    leading, found = over_pairs("ssim", first, second, ndim, *how, *constants, out=view)
    if not all(map(math.isfinite, found)):
        check_finite(first, None, ndim, "a")
        check_finite(second, None, ndim, "b")
    result = None if out is None else out.finish()
    if mask is not None:
        inside = measured("moments", result, mask, ndim, None)[1]
        if not all(one.count for one in inside):
            msg = "mask holds no voxel: there is nothing to compare"
            raise ArgumentError(msg)
        found = [one.mean for one in inside]
    answer = told(leading, found)
    if not full:
        return answer
    return answer, a.with_array(result) if isinstance(a, Image) else result


class _Windows(NamedTuple):
    """The weights along each axis, how far they reach, and what makes a sample's variance of a window's."""

    weights: tuple[npt.NDArray[np.float64], ...]
    reach: tuple[int, ...]
    unbias: float


def _space(x: Any, mask: Any) -> int:
    have = None if mask is None else shape_of(mask.array if isinstance(mask, Image) else mask)
    return min(len(shape_of(x) if have is None else have), 3)


def _windows(space: tuple[int, ...], window: Any, sigma: float | None) -> _Windows:
    sizes = _sizes(window, len(space)) if sigma is None else (2 * _reach(sigma) + 1,) * len(space)
    sizes = tuple(1 if n == 1 else size for n, size in zip(space, sizes, strict=True))
    for n, size in zip(space, sizes, strict=True):
        if size > n:
            of = f"window={window!r}" if sigma is None else f"gaussian_sigma={sigma!r}, a window of {size}"
            msg = f"{of}: a has {n} voxels along one of its axes {space}, expected at least {size}; {_hint(space)}"
            raise ShapeError(msg)
    sizes = (1,) * (3 - len(space)) + sizes
    voxels = math.prod(sizes)
    weights = tuple(np.full(n, 1 / n) if sigma is None else _gaussian(n, sigma) for n in sizes)
    return _Windows(
        weights, tuple(n // 2 for n in sizes), voxels / (voxels - 1) if sigma is None and voxels > 1 else 1.0
    )


def _hint(space: tuple[int, ...]) -> str:
    return "a window of each axis, as (1, 7, 7), looks at slices" if len(space) == 3 else "take a smaller one"


def _sizes(window: Any, ndim: int) -> tuple[int, ...]:
    sizes = (window,) * ndim if isinstance(window, int) else tuple(window) if isinstance(window, (tuple, list)) else ()
    whole = [isinstance(n, int) and not isinstance(n, bool) and n > 0 and n % 2 == 1 for n in sizes]
    if len(sizes) != ndim or not all(whole) or max(sizes) < 3:
        msg = f"window={window!r}: expected an odd number of voxels from 3, or {ndim} of them, of which some may be 1"
        raise ArgumentError(msg)
    return sizes


def _reach(sigma: Any) -> int:
    if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not 0.3 <= sigma < math.inf:
        msg = f"gaussian_sigma={sigma!r}: expected a number of voxels from 0.3, such as 1.5"
        raise ArgumentError(msg)
    return int(_TRUNCATE * sigma + 0.5)


def _gaussian(n: int, sigma: float) -> npt.NDArray[np.float64]:
    weights = np.exp(-0.5 * np.square(np.arange(n) - n // 2) / sigma**2)
    return np.asarray(weights / weights.sum())
