"""The median of the box around each voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def median(x: npt.NDArray[Any], out: npt.NDArray[Any], reach: tuple[int, ...]) -> None:
    """``out`` = median of the voxels up to ``reach`` away from each of ``x`` (B, Z, Y, X); NaN where one is.

    Beyond its border the image is mirrored, the border itself repeated: d c b a | a b c d | d c b a.
    """
    size = tuple(2 * r + 1 for r in reach)
    for given, result in zip(x, out, strict=True):
        padded = np.pad(given, [(r, r) for r in reach], mode="symmetric")
        for z in range(len(given)):
            windows = np.lib.stride_tricks.sliding_window_view(padded[z : z + size[0]], size)[0]
            values = windows.reshape(*windows.shape[:2], -1)
            middle = np.partition(values, values.shape[-1] // 2, axis=-1)[..., values.shape[-1] // 2]
            # NaN is sorted to the end, where it may not be seen.
            result[z] = np.where(np.isnan(values).any(axis=-1), np.nan, middle) if x.dtype.kind == "f" else middle
