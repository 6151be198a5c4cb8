"""Connected components by SciPy, and what is known of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from fastprep.core.regions import LARGEST, LOW_BITS, RegionTable, least_above

Labels = npt.NDArray[np.int64]


def labelled(mask: npt.NDArray[Any], connectivity: int, *, planar: bool = False) -> tuple[Labels, int]:
    """SciPy's labels of where ``mask`` (Z, Y, X) is not zero, and how many; with ``planar`` planes do not touch."""
    near = ndi.generate_binary_structure(3, connectivity)
    if planar:
        near[[0, 2]] = False
    labels = np.empty(mask.shape, np.int64)
    count: int = ndi.label(mask != 0, near, output=labels)
    return labels, count


def table_of(
    labels: npt.NDArray[Any], count: int, x: npt.NDArray[Any] | None, ceiling: float, scale: float
) -> RegionTable:
    """The table of labels 1 to ``count``; others are ignored."""
    there = np.nonzero((labels > 0) & (labels <= count))
    which = labels[there].astype(np.int64) - 1
    voxels = np.bincount(which, minlength=count).astype(np.int64)
    box, index_sum = np.zeros((count, 3, 2), np.int64), np.zeros((count, 3), np.int64)
    box[voxels > 0, :, 0] = max(labels.shape)
    for axis, index in enumerate(there):
        np.minimum.at(box[:, axis, 0], which, index)
        np.maximum.at(box[:, axis, 1], which, index + 1)
        np.add.at(index_sum[:, axis], which, index)
    high, low, capped = (np.zeros(count, np.int64) for _ in range(3))
    least, most = np.full(count, np.inf), np.full(count, -np.inf)
    if x is not None:
        values = _plain(x)[there]
        whole = _whole(values, scale)
        np.add.at(high, which, (whole >> whole.dtype.type(LOW_BITS)).astype(np.int64))
        np.add.at(low, which, (whole & whole.dtype.type((1 << LOW_BITS) - 1)).astype(np.int64))
        np.fmin.at(least, which, values.astype(np.float64))
        np.fmax.at(most, which, values.astype(np.float64))
        cap = least_above(ceiling, values.dtype, equal=True)
        if cap is not None:
            np.add.at(capped, which, values >= cap)
    return RegionTable(voxels, box, index_sum, high, low, least, most, capped)


def above(x: npt.NDArray[Any], threshold: float) -> npt.NDArray[np.bool_]:
    """``x > threshold``, exactly."""
    values = _plain(x)
    least = least_above(threshold, values.dtype)
    return np.zeros(x.shape, np.bool_) if least is None else np.asarray(values >= least)


def _plain(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers in this machine's byte order, bool as 0 and 1."""
    return np.asarray(x, np.uint8 if x.dtype == np.bool_ else x.dtype.newbyteorder("="))


def _whole(values: npt.NDArray[Any], scale: float) -> npt.NDArray[Any]:
    """The integer of each value, in the type of 64 bits that has it."""
    if values.dtype.kind in "iu":
        return values.astype(np.uint64 if values.dtype == np.uint64 else np.int64)
    with np.errstate(over="ignore"):
        scaled = np.rint(values.astype(np.float64) * scale)
    return np.asarray(np.clip(np.nan_to_num(scaled, nan=0.0), -LARGEST, LARGEST), np.int64)
