"""otsu: the value between two populations of voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.namespace import shape_of
from fastprep.ops._masked import histogram_of, masked_volumes, numbers_of, spread_of


def otsu(x: Any, *, bins: int = 256, mask: Any = None) -> float:
    """The threshold that parts the values into two classes with the largest variance between them (Otsu 1979).

    Of a histogram of ``bins`` equal bins from minimum to maximum, the centre of the bin ``k`` with the largest
    ``w1(k) w2(k) (m1(k) - m2(k))^2``: bins up to k weigh w1 with mean m1, those above w2 with mean m2. What is larger
    than the threshold is the upper class.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    bins : at least 2.
    mask : array or Image of the shape of ``x``; non-zero is inside, and only that is looked at.

    Returns
    -------
    A number in the units of ``x``.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, one value only inside it, or fewer than 2 bins.
    ShapeError
        A batch, or a mask of another shape.

    Examples
    --------
    Between air and tissue:

    >>> import numpy as np
    >>> otsu(np.array([[2, 0, 1, 96], [100, 3, 98, 0]]), bins=100)
    3.5
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
        msg = f"bins={bins!r}: expected a whole number of at least 2"
        raise ArgumentError(msg)
    array, ndim = numbers_of(x)
    volumes = list(masked_volumes(array, mask, ndim))
    if len(volumes) != 1:
        msg = f"x of shape {shape_of(array)}: expected one volume, a threshold is of its values alone"
        raise ShapeError(msg)
    return otsu_of(*volumes[0][1:], bins)


def otsu_of(view: Any, mask: Any, bins: int) -> float:
    """`otsu` of views."""
    found = spread_of(view, mask)
    counts = histogram_of(view, mask, found, bins)
    return _threshold(counts, np.linspace(found.low, found.high, bins + 1))


def _threshold(counts: npt.NDArray[np.uint64], edges: npt.NDArray[np.float64]) -> float:
    weights, centers = counts.astype(np.float64), (edges[1:] + edges[:-1]) / 2
    # Both ends hold a voxel, the minimum and the maximum, so that no class is ever empty.
    below, above = np.cumsum(weights)[:-1], np.cumsum(weights[::-1])[-2::-1]
    moment = weights * centers
    mean_below, mean_above = np.cumsum(moment)[:-1] / below, np.cumsum(moment[::-1])[-2::-1] / above
    between = below * above * np.square(mean_below - mean_above)
    return float(centers[int(np.argmax(between))])
