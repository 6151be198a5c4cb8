"""clahe_tables: what CLAHE makes of grey levels, of the whole image, for its patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.ops._clahe import ClaheTables, How, job_of, tables_of


def clahe_tables(
    x: Any,
    *,
    clip_limit: float = 2.0,
    tiles: int | Sequence[int] = 8,
    bins: int = 256,
    value_range: tuple[float, float] | None = None,
    mask: Any = None,
    nan: str = "raise",
    dtype: Any = None,
) -> ClaheTables:
    """The tables of `clahe` of an image, to be applied to patches of it when they are needed.

    A patch equalised by itself knows its own histogram alone: two that overlap would not agree. Through these tables
    each has the very values it has in the whole image.

    Parameters
    ----------
    x, clip_limit, tiles, bins, value_range, mask, nan, dtype : as of `clahe`.

    Returns
    -------
    ClaheTables: ``.apply(patch, origin)`` is the patch with its contrast.

    Raises
    ------
    NonFiniteError, ArgumentError, DTypeError, ShapeError, GeometryError, DeviceError
        As `clahe`.

    Examples
    --------
    A patch for a network, as in the whole radiograph:

    >>> import numpy as np
    >>> from fastprep.ops.clahe import clahe
    >>> chest = (np.arange(64 * 64) % 251).astype(np.uint8).reshape(64, 64)
    >>> tables = clahe_tables(chest)
    >>> patch = tables.apply(chest[10:42, 20:52], origin=(10, 20))
    >>> bool((patch == clahe(chest)[10:42, 20:52]).all())
    True
    """
    return tables_of(job_of(x, mask, How(clip_limit, tiles, bins, value_range, nan, dtype)), tiles, clip_limit)
