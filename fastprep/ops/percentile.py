"""percentile: the value below which a share of the voxels lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, NonFiniteError
from fastprep.core.image import Image
from fastprep.core.order_statistics import OrderStatistics, ranks
from fastprep.core.ramp import Ramp
from fastprep.ops._masked import masked_volumes, measured, order_of

_POLICIES = ("raise", "ignore", "propagate")


def percentile(
    x: Any, q: float | Sequence[float] | npt.NDArray[Any], *, mask: Any = None, nan: str = "raise"
) -> float | npt.NDArray[np.float64]:
    """The ``q``-th percentile of the voxels inside ``mask``, bit for bit `numpy.percentile` of them as float64.

    Of n values in order, ``v[0] <= ... <= v[n - 1]``, it lies at ``p = (n - 1) q / 100`` on the line between
    ``v[floor(p)]`` and the next ("linear"; Hyndman and Fan 1996, type 7). Nothing is binned: it is exact.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by itself. Values of an Image are physical ones.
    q : a number from 0 to 100, or several.
    mask : array or Image of the space axes of ``x``, or of its whole shape; non-zero is inside. None is everything.
    nan : "raise"; "ignore", which leaves NaN out; or "propagate", which makes the result NaN. Infinity is a value.

    Returns
    -------
    A float; an array (Q,) for several ``q``; NumPy's (...) or (..., Q), float64, for a batch.

    Raises
    ------
    NonFiniteError
        NaN inside the mask, unless ``nan`` says otherwise.
    ArgumentError
        No number inside the mask, or a ``q`` outside [0, 100].
    ShapeError
        A mask of another shape.
    DeviceError
        An image and a mask on different devices.

    Examples
    --------
    Half of what is inside a lung of a CT is below -800 HU:

    >>> import numpy as np
    >>> hu = np.array([[-900, -850, -800, 40], [-750, -700, 40, 60]])
    >>> percentile(hu, 50, mask=hu < 0)
    -800.0
    >>> percentile(hu, [0, 100]).tolist()
    [-900.0, 60.0]
    """
    share = _shares(q)
    if nan not in _POLICIES:
        msg = f"nan={nan!r}: expected one of {', '.join(map(repr, _POLICIES))}"
        raise ArgumentError(msg)
    array, ndim, units = (x.array, x.grid.ndim, x.rescale) if isinstance(x, Image) else (x, None, Ramp())
    flat = share.reshape(-1)
    leading, found = measured("percentile", array, mask, ndim, flat)
    for one in found:
        _check(one, mask, nan)
    if units.a < 0:
        volumes = masked_volumes(array, mask, ndim)
        found = [
            _from_the_end(view, inside, one.count, flat) for (_, view, inside), one in zip(volumes, found, strict=True)
        ]
    mapped = found if units.is_identity else [replace(o, lower=units(o.lower), upper=units(o.upper)) for o in found]
    values = np.array([one.quantiles(flat) for one in mapped])
    if nan == "propagate":
        values[[one.nan > 0 for one in found]] = np.nan
    result = values.reshape(leading + share.shape)
    return result if result.ndim else float(result)


def _shares(q: Any) -> npt.NDArray[np.float64]:
    try:
        given = np.asarray(q, np.float64)
    except (TypeError, ValueError):
        given = np.array(np.nan)
    if given.ndim > 1 or not ((given >= 0) & (given <= 100)).all():
        msg = f"q={q!r}: expected a number from 0 to 100, or several"
        raise ArgumentError(msg)
    return np.true_divide(given, 100)


def _check(found: OrderStatistics, mask: Any, nan: str) -> None:
    where = "" if mask is None else " inside the mask"
    if found.nan and nan == "raise":
        msg = f"x holds {found.nan} values{where} that are NaN"
        raise NonFiniteError(msg)
    if not found.count and not found.nan:
        msg = "mask holds no voxel: there is nothing to take a statistic of"
        raise ArgumentError(msg)
    if not found.count and nan == "ignore":
        msg = f"x holds no number{where}: all of it is NaN"
        raise ArgumentError(msg)


def _from_the_end(view: Any, mask: Any, count: int, q: npt.NDArray[np.float64]) -> OrderStatistics:
    """The neighbours of each quantile where the largest value comes first."""
    below, _ = ranks(count, q)
    place = np.maximum(count - 2 - below, 0)
    # Half a place further, so that no rounding finds another.
    found = order_of(view, mask, (place + 0.5) / max(count - 1, 1) if count > 1 else np.zeros(q.shape))
    return replace(found, lower=np.where(below >= count - 1, found.lower, found.upper), upper=found.lower)
