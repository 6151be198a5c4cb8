"""fuse: one image of several sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import check_space, float_for
from fastprep.core.covariance import Covariance
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import check_together, shape_of
from fastprep.ops._arrays import empty, three, view_of, with_axis, with_shape
from fastprep.ops._masked import numbers_of
from fastprep.registry import kernel

METHODS = ("weighted", "pca")
#: Channels that kernels hold at once.
MOST = 16
#: Largest eigenvalues that differ by less, as a fraction, are equal; loadings below it are 0.
_EQUAL = 1e-9


@dataclass(frozen=True, eq=False)
class Fused:
    """What `fuse` made.

    Attributes
    ----------
    image : (z, y, x) or (y, x), an Image of an Image.
    weights : of each channel: those that sum to 1, or the loadings of the first principal component.
    explained : the share of all variance inside the mask that the component has; None of a weighted mean.
    """

    image: Any
    weights: tuple[float, ...]
    explained: float | None = None


class Blend(NamedTuple):
    """``y = sum_k weights[k] x_k + offset``."""

    weights: npt.NDArray[np.float64]
    offset: float = 0.0
    explained: float | None = None


def fuse(x: Any, *, method: str = "weighted", weights: Sequence[float] | None = None, mask: Any = None) -> Fused:
    """One image of the channels ``x_k``, a weighted mean or the direction in which they vary most.

    "weighted": ``y = sum_k w_k x_k / sum_k w_k``, by the weights given, else by the channels' variances inside the
    mask. Take those before the channels are normalised: after a z-score all variances are 1, and this is the mean.

    "pca": ``y = sum_k v_k (x_k - mean_k)``, v the unit eigenvector of the largest eigenvalue of the channels'
    covariance (ddof 0) inside the mask (Pearson 1901); of v and -v the one whose first loading is positive. Normalise
    the channels first, or that of the largest numbers is all there is.

    Parameters
    ----------
    x : Image or array (K, z, y, x) or (K, y, x), 2 to 16 channels voxel on voxel, as `stack` makes them.
    weights : one for each channel, none negative, not all 0; for "weighted" only. Then nothing is measured.
    mask : array or Image (z, y, x) or (y, x); non-zero is inside. None is every voxel, of which the air around a head
        is most: give a mask.

    Returns
    -------
    Fused, its image of the library and on the device of ``x``: floats keep their type, integers become float32.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask, where something is measured.
    ArgumentError
        An unknown method, weights that do not fit, an empty mask, channels that are all constant inside it, or two
        directions that vary most alike.
    ShapeError
        Fewer than 2 channels, more than 16, or a mask of another shape.
    DeviceError
        An image and a mask on different devices.

    Examples
    --------
    The contrasts of T1 and FLAIR as scanned, then both on one scale, blended by those contrasts:

    >>> from fastprep.ops.zscore import zscore
    >>> brain = np.array([[[[90, 150, 150, 90]]], [[[200, 220, 200, 220]]]])
    >>> weights = fuse(brain).weights
    >>> weights
    (0.9, 0.1)
    >>> print(fuse(zscore(brain), weights=weights).image.round(3))
    [[[-1.   1.   0.8 -0.8]]]
    """
    array, _ = numbers_of(x)
    view, marks = _channels(x, array, mask)
    blend = blend_of(view, marks, method, weights)
    out = empty(shape_of(array)[1:], float_for(view.dtype), array)
    blend_into(view, blend, out.view)
    result = out.finish()
    made = x.with_array(result) if isinstance(x, Image) else result
    return Fused(made, tuple(blend.weights.tolist()), blend.explained)


def blend_of(view: Any, mask: Any, method: str, weights: Sequence[float] | None) -> Blend:
    """The numbers of `fuse` for views (K, Z, Y, X) and (Z, Y, X) or None."""
    if method not in METHODS:
        msg = f"method={method!r}: expected one of {', '.join(METHODS)}"
        raise ArgumentError(msg)
    if weights is not None:
        if method != "weighted":
            msg = f"weights={weights!r} with method={method!r}: it finds its own, expected None"
            raise ArgumentError(msg)
        return Blend(_shares(weights, len(view)))
    found = _measured(view, mask)
    return weighted_blend(found) if method == "weighted" else pca_blend(found)


def blend_into(view: Any, blend: Blend, out: Any) -> None:
    """Channels (K, Z, Y, X) blended into a view of their space."""
    kernel("combine", view)(view, with_shape(out, view.shape[1:]), blend.weights, blend.offset)


def weighted_blend(found: Covariance) -> Blend:
    """The mean by the channels' variances."""
    variances = np.diag(found.cov)
    return Blend(variances / variances.sum())


def pca_blend(found: Covariance) -> Blend:
    """The first principal component.

    Raises
    ------
    ArgumentError
        Two largest eigenvalues that are equal.
    """
    values, vectors = np.linalg.eigh(found.cov)
    if values[-1] - values[-2] <= _EQUAL * values[-1]:
        msg = f"the channels vary alike in two directions, by {values[-1]:g}: there is no first component"
        raise ArgumentError(msg)
    loadings = vectors[:, -1]
    first = loadings[np.abs(loadings) > _EQUAL][0]
    loadings = loadings if first > 0 else -loadings
    return Blend(loadings, -math.fsum(loadings * found.means), float(values[-1] / values.sum()))


def _channels(x: Any, array: Any, mask: Any) -> tuple[Any, Any]:
    """Channels and mask as kernels take them."""
    shape = shape_of(array)
    ndim = x.grid.ndim if isinstance(x, Image) else len(shape) - 1
    if len(shape) != ndim + 1 or ndim not in (2, 3) or not 2 <= shape[0] <= MOST:
        msg = f"x of shape {shape}: expected 2 to {MOST} channels and then 2 or 3 axes of space"
        raise ShapeError(msg)
    _, space = check_space(shape, ndim)
    view = view_of(array)
    view = view if ndim == 3 else with_axis(view, 1)
    if mask is None:
        return view, None
    marks = mask.array if isinstance(mask, Image) else mask
    if shape_of(marks) != space:
        msg = f"mask of shape {shape_of(marks)}: expected the space axes {space} of x"
        raise ShapeError(msg)
    check_together(x=array, mask=marks)
    return view, with_shape(view_of(marks), three(space))


def _shares(weights: Sequence[float], channels: int) -> npt.NDArray[np.float64]:
    given = np.array(weights, dtype=np.float64)
    if given.shape != (channels,) or not np.isfinite(given).all() or given.min() < 0 or given.max() == 0:
        msg = f"weights={weights!r}: expected {channels} numbers, none negative and not all 0"
        raise ArgumentError(msg)
    # By the largest first, so that no sum overflows.
    given = given / given.max()
    return np.asarray(given / given.sum())


def _measured(view: Any, mask: Any) -> Covariance:
    """The channels' covariance, of which something varies."""
    found: Covariance = kernel("covariance", view)(view, mask)
    where = "" if mask is None else " inside the mask"
    if found.nonfinite.any():
        odd = ", ".join(f"{n} in channel {k}" for k, n in enumerate(found.nonfinite.tolist()) if n)
        msg = f"x holds values{where} that are NaN or infinite: {odd}"
        raise NonFiniteError(msg)
    if found.count == 0:
        msg = "mask holds no voxel: there is nothing to take a statistic of"
        raise ArgumentError(msg)
    if not np.diag(found.cov).any():
        msg = f"x is constant{where} in every channel: its values tell nothing apart"
        raise ArgumentError(msg)
    return found
