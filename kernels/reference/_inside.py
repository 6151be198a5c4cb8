"""Which voxels the bias correctors look at."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Inside(NamedTuple):
    """Of volumes (B, Z, Y, X): the weight of each voxel, which count, and which would but are not finite."""

    weight: npt.NDArray[np.float64]
    inside: npt.NDArray[np.bool_]
    broken: npt.NDArray[np.bool_]

    def counts(self) -> npt.NDArray[np.int64]:
        """(B, 2) voxels that count, and those that are not finite."""
        return np.stack([np.count_nonzero(v, axis=(1, 2, 3)) for v in (self.inside, self.broken)], axis=1)


def find(
    x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, weights: npt.NDArray[Any] | None, label: float | None
) -> Inside:
    """Where the mask is the label, or not zero, and the weight above 0; both may be of one volume for all."""
    weight = np.broadcast_to(np.float64(1) if weights is None else weights.astype(np.float64), x.shape)
    marks = np.broadcast_to(np.True_ if mask is None else (mask != 0 if label is None else mask == label), x.shape)
    marked = marks & (weight > 0)
    finite = np.isfinite(x)
    return Inside(weight, marked & finite, marked & ~finite)
