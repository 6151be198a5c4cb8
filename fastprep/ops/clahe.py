"""clahe: the contrast of each part of an image spread over all grey levels, noise held back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.ops._clahe import How, job_of, tables_of


def clahe(
    x: Any,
    *,
    clip_limit: float = 2.0,
    tiles: int | Sequence[int] = 8,
    bins: int = 256,
    value_range: tuple[float, float] | None = None,
    mask: Any = None,
    nan: str = "raise",
    dtype: Any = None,
) -> Any:
    """Contrast-limited adaptive histogram equalisation in two and three dimensions (Pizer 1987, Zuiderveld 1994).

    Each tile has a table, ``T(v) = low + (high - low) C(v)``, C the share of its voxels of at most v, after no bin of
    its histogram holds more than ``clip_limit`` times the mean and what is above that is shared out among all bins. A
    voxel is what the tables of the tiles around it make of it, blended linearly by the distance to their centres.
    Planes of uint8 are OpenCV's ``createCLAHE``, to the bit; so are those of uint16 with ``bins=65536`` and
    ``value_range=(0, 65535)``, where no clip limit does much, though: there are more bins than voxels.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x) of grey levels; each volume by itself.
    clip_limit : how steep a table may be, against that of no change; 0 does not limit, 1 hardly changes anything.
    tiles : how many of them along each space axis, one number for all or one for each in the order of the axes (y, x);
        OpenCV's ``tileGridSize`` is (x, y). Several say which axes are space, too: (8, 8) makes planes of a volume.
        More are smaller ones. Where they do not divide the axis, the image is mirrored at its end.
    bins : of the histograms; no more than there are whole numbers in the range. Values lie between those of their bin.
    value_range : the lowest and the highest grey level, of the result too; what is beyond counts as these. None is
        (0, 255) of uint8, and of other types each volume's own: from the percentile 0.01 to 99.99, a tenth of that
        more on either side, within its values, so that a hot pixel takes no grey levels from the others.
    mask : array or Image of the space axes of ``x``, or of its whole shape; non-zero is inside, and only that counts.
        Outside the image stays as it is.
    nan : "raise", or "ignore": NaN and infinity do not count, and stay as they are.
    dtype : of the result. By default that of ``x``, rounded to whole numbers of integers, half to even; a float type
        keeps what lies between grey levels.

    Returns
    -------
    What ``x`` was. A volume of one value stays as it is where its range is automatic. Statistics are exact, tables
    float32. On a GPU integers with a range and no mask are never waited for.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        A negative clip limit, no tile, fewer than 2 bins, a range out of order, or an empty mask.
    DTypeError
        Masks, which have no grey levels.
    ShapeError, GeometryError, DeviceError
        A mask of another shape, on another grid or on another device.

    Examples
    --------
    Ribs in the shadow of the heart, four grey levels side by side; with one tile and no limit it is the histogram
    equalisation of the whole:

    >>> import numpy as np
    >>> heart = np.array([[40, 41, 42, 43]], np.uint8)
    >>> clahe(heart, tiles=1, clip_limit=0).tolist()
    [[64, 128, 191, 255]]
    """
    job = job_of(x, mask, How(clip_limit, tiles, bins, value_range, nan, dtype))
    return tables_of(job, tiles, clip_limit).applied(job.scan, job.marks, (0,) * len(job.scan.space), job.dtype)
