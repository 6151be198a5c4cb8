"""Tables of regions on a device: what table.cuh makes, read as a `RegionTable`, and the struct ``Values``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.regions import RegionTable, least_above
from fastprep.kernels.gpu._runs import bits_of
from fastprep.kernels.gpu._types import NUMBERS, read_type

#: Words of 64 bits that a region has.
ROW = 16
VALUES = "P3qdQii"
_BEYOND = 2**32 - 1
_SIZE, _TURNED, _NOTHING = np.int64(2**63 - 1), np.array([-1, 0]), np.array([np.inf, -np.inf])
_BYTE, _FLOAT = np.dtype(np.uint8), np.dtype(np.float32)


def values_of(x: DeviceView | None, ceiling: float, scale: float) -> tuple[Any, ...]:
    """The values of `VALUES` for ``x`` (Z, Y, X), or none."""
    if x is None:
        return 0, 0, 0, 0, 1.0, 0, False, 0
    least = least_of(x, ceiling, equal=True)
    return x.address, *x.strides, scale, bits_of(least, 8), least is not None, kind_of(x)


def kind_of(x: DeviceView) -> int:
    """The type of ``x`` in the order of table.cuh."""
    return NUMBERS.index(read_type(x.dtype))


def computed_in(x: DeviceView | None) -> str:
    """What values are computed in."""
    return "float64" if x is not None and x.dtype.kind == "f" else "int64"


def least_of(x: DeviceView, threshold: float, *, equal: bool = False) -> Any:
    """`least_above` of the type of ``x``; of bfloat16 that of float32, which holds all of its numbers."""
    if x.dtype.kind == "b":
        return least_above(threshold, _BYTE, equal=equal)
    return least_above(threshold, x.dtype if isinstance(x.dtype, np.dtype) else _FLOAT, equal=equal)


def table_of(rows: npt.NDArray[np.int64]) -> RegionTable:
    """What rows (K, ROW) of words say."""
    voxels, index_sum, high, lower, capped = (rows[:, at].copy() for at in (0, slice(1, 4), 4, 5, 6))
    box = np.empty((len(rows), 3, 2), np.int64)
    box[..., 0] = _BEYOND - rows[:, 7:10]
    box[..., 1] = rows[:, 10:13]
    box *= (voxels > 0)[:, None, None]
    # As order.cuh has them, the least turned: of negative numbers all bits are turned, of others the sign.
    key = rows[:, 13:15] ^ _TURNED
    extremes = np.where(key < 0, key & _SIZE, ~key).view(np.float64)
    # Nothing yet is no number's key, but NaN's.
    least, most = np.where(np.isnan(extremes), _NOTHING, extremes).T.copy()
    return RegionTable(voxels, box, index_sum, high, lower, least, most, capped)
