"""normalize_in_mask: an organ on one scale, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastprep.core.checks import check_range, float_for
from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.core.namespace import dtype_name
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, three, view_of, with_shape
from fastprep.ops._masked import masked_volumes, numbers_of, spreads_of
from fastprep.ops._masks import mask_view
from fastprep.ops.minmax import minmax_ramp
from fastprep.ops.percentile_clip import check_percentiles, percentile_clip_of, percentile_clip_ramp
from fastprep.ops.robust import robust_of, robust_ramp
from fastprep.ops.zscore import zscore_ramp
from fastprep.registry import kernel, one_launch

METHODS = ("zscore", "minmax", "robust", "percentile")


def normalize_in_mask(
    x: Any,
    mask: Any,
    *,
    method: str = "zscore",
    outside: str | float = "zero",
    out_range: tuple[float, float] = (0, 1),
    percentiles: tuple[float, float] = (0.5, 99.5),
    dtype: Any = None,
) -> Any:
    """Normalise each volume inside a mask by the voxels inside it; outside is 0, what it was, or a number given.

    ``y = (x - mean) / std`` for "zscore", ``(x - median) / (p75 - p25)`` for "robust"; ``out_range`` takes the extremes
    of "minmax", and the two ``percentiles`` of "percentile", which clips what is beyond them.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by its own voxels.
    mask : bool or integers of the space axes of ``x``, or of its whole shape; non-zero is inside.
    method : "zscore", "minmax", "robust" or "percentile", each as the function `fastprep.zscore`, `fastprep.minmax`,
        `fastprep.robust` or `fastprep.percentile_clip` has it.
    outside : "zero", "keep" (the values of ``x``, untouched) or a number. With "zero" the mean of a z-score, and the
        darkest voxel of a stretch, are 0 too: keep the mask if you must tell them apart.
    out_range, percentiles : for the methods that have them.
    dtype : of the result; integers round half to even and saturate.

    Returns
    -------
    What ``x`` was: floats keep their type, integers become float32 unless ``dtype`` asks otherwise.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask. Outside they don't matter, and only "keep" keeps them.
    ArgumentError
        An empty mask, voxels inside it that are all alike, or a ``method``, ``outside`` or range that is none.
    ShapeError
        A mask of another shape.
    DTypeError
        A mask of floats: a probability of 0.1 is not inside. Compare first, ``p > 0.5``.
    DeviceError
        An image and a mask on different devices.

    Notes
    -----
    Multiplying by the mask *before* subtracting the mean, as is often published, leaves ``-mean / std`` in the air.

    Examples
    --------
    Lung of -850 and -750 HU beside the heart; outside the lung is exactly 0:

    >>> import numpy as np
    >>> ct = np.array([[-850, -750, 40], [-750, -850, 55]], np.int16)
    >>> normalize_in_mask(ct, ct < -400).tolist()
    [[-1.0, 1.0, 0.0], [1.0, -1.0, 0.0]]
    """
    ends = check_range(*out_range, name="out_range")
    check_percentiles(*percentiles)
    beyond = _outside(outside)
    if method not in METHODS:
        msg = f"method={method!r}: expected one of {', '.join(METHODS)}"
        raise ArgumentError(msg)
    mask_view(mask.array if isinstance(mask, Image) else mask)
    array, ndim = numbers_of(x)
    ramps = _ramps(method, array, mask, ndim, ends, percentiles)
    view = view_of(array)
    out = empty(view.shape, float_for(view.dtype) if dtype is None else dtype_name(dtype, array), array)
    run = kernel("masked_ramp", array)
    with one_launch(array):
        for (index, volume, inside), ramp in zip(masked_volumes(array, mask, ndim), ramps, strict=True):
            shape = three(volume.shape)
            given, marks, made = (with_shape(v, shape) for v in (volume, inside, out.view[index]))
            run(given, marks, np.array(ramp.to_tuple()), beyond, made)
    result = out.finish()
    return x.with_array(result) if isinstance(x, Image) else result


def _outside(outside: str | float) -> float | None:
    """The value outside, None where that is the voxel's own."""
    if outside == "keep":
        return None
    if outside == "zero":
        return 0.0
    if isinstance(outside, str) or not math.isfinite(outside):
        msg = f"outside={outside!r}: expected 'zero', 'keep' or a finite number"
        raise ArgumentError(msg)
    return float(outside)


def _ramps(
    method: str, x: Any, mask: Any, ndim: int | None, ends: tuple[float, float], percentiles: Sequence[float]
) -> list[Ramp]:
    """The map of every volume."""
    if method == "zscore":
        return [zscore_ramp(found) for found in spreads_of(x, mask, ndim)]
    if method == "minmax":
        return [minmax_ramp(found.low, found.high, ends) for found in spreads_of(x, mask, ndim)]
    volumes = masked_volumes(x, mask, ndim)
    if method == "robust":
        return [robust_ramp(*robust_of(view, inside)) for _, view, inside in volumes]
    low, high = percentiles
    return [percentile_clip_ramp(*percentile_clip_of(view, inside, low, high), ends) for _, view, inside in volumes]
