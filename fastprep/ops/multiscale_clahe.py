"""multiscale_clahe: the contrast of coarse and of fine structures, together."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.ops._arrays import empty, three, with_shape
from fastprep.ops._clahe import How, job_of, tables_of, tiles_for
from fastprep.registry import kernel

#: Images that the kernel takes at once.
MOST = 16


def multiscale_clahe(
    x: Any,
    *,
    scales: Sequence[float] = (0.5, 1, 2),
    clip_limit: float = 2.0,
    tiles: int | Sequence[int] = 8,
    bins: int = 256,
    value_range: tuple[float, float] | None = None,
    mask: Any = None,
    nan: str = "raise",
    dtype: Any = None,
) -> Any:
    """The mean of `clahe` with ``scales`` times as many tiles: ``y = sum_k clahe(x, tiles * scales[k]) / K``.

    Few tiles show what is as large as a lobe, many what is as small as a vessel, and their noise; the mean shows some
    of each.

    Parameters
    ----------
    scales : 1 to 16 numbers above 0. The tiles of each are whole numbers, at least 1.
    x, clip_limit, tiles, bins, value_range, mask, nan, dtype : as of `clahe`.

    Returns
    -------
    What ``x`` was, each scale in float32 (float64 where ``x`` holds more), their mean rounded once. Outside the mask
    the image stays as it is; of float64 but for the last bit.

    Raises
    ------
    ArgumentError
        No scale, more than 16, or one that is not above 0; else as `clahe`.
    NonFiniteError, DTypeError, ShapeError, GeometryError, DeviceError
        As `clahe`.

    Examples
    --------
    A lesion of one grey level in a lung, by tiles larger and smaller than it:

    >>> import numpy as np
    >>> lung = np.full((64, 64), 80, np.uint8)
    >>> lung[::2, ::2], lung[20:30, 20:30] = 82, 83
    >>> shown = multiscale_clahe(lung, tiles=4)
    >>> int(shown[25, 25]) - int(shown[25, 15])
    7
    """
    wanted = tuple(scales) if isinstance(scales, Sequence | np.ndarray) else (math.nan,)
    if not 1 <= len(wanted) <= MOST or not all(_is_positive(s) for s in wanted):
        msg = f"scales={scales!r}: expected 1 to {MOST} numbers above 0"
        raise ArgumentError(msg)
    scan, marks, _, _ = job = job_of(x, mask, How(clip_limit, tiles, bins, value_range, nan, dtype))
    given = scan.volumes.dtype
    wide = "float64" if given.itemsize > 4 or (given.kind != "f" and given.itemsize == 4) else "float32"
    made = empty((len(wanted), *scan.leading, *scan.space), wide, scan.array)
    for k, scale in enumerate(wanted):
        some = tuple(max(round(t * scale), 1) for t in tiles_for(tiles, scan.space))
        tables = tables_of(job._replace(dtype=wide), some, clip_limit)
        tables.applied(scan, marks, (0,) * len(scan.space), wide, made.view[k])
    out = empty((*scan.leading, *scan.space), job.dtype, scan.array)
    shape = (math.prod(scan.leading) * three(scan.space)[0], *three(scan.space)[1:])
    weights = np.full(len(wanted), 1 / len(wanted))
    views = with_shape(made.view, (len(wanted), *shape)), with_shape(out.view, shape)
    kernel("combine", scan.array)(*views, weights, 0.0)
    result = out.finish()
    return x.with_array(result) if isinstance(x, Image) else result


def _is_positive(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real) and 0 < float(value) < math.inf
