"""Labels by one-hot linear interpolation: the label with the largest interpolated weight, the lowest on a tie."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from fastprep.kernels.reference.warp import is_inside, plane_coordinates


def onehot(x: npt.NDArray[Any], out: npt.NDArray[Any], matrix: npt.NDArray[np.float64], outside: float) -> None:
    """``out[b, p] = argmax_c linear(x[b] == c) at matrix @ p``.

    ``x`` (B, Z, Y, X) and ``out`` (B, z, y, x) of one dtype; outside the field of view, ``outside``.
    """
    for b in range(x.shape[0]):
        labels = np.unique(x[b])
        for z in range(out.shape[1]):
            where = plane_coordinates(matrix, z, out.shape[2:])
            best = np.zeros(out.shape[2:])
            winner = np.full(out.shape[2:], labels[0])
            for label in labels:
                share = ndi.map_coordinates((x[b] == label).astype(np.float64), where, order=1, mode="nearest")
                # Weights that are equal on paper differ by rounding: only a clear lead wins.
                leads = share > best + 1e-9
                winner[leads] = label
                best[leads] = share[leads]
            out[b, z] = np.where(is_inside(where, x.shape[1:]), winner, out.dtype.type(outside))
