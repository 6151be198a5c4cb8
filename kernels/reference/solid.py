"""The largest component of a mask, its holes filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi


def solid(mask: npt.NDArray[Any], out: npt.NDArray[np.bool_]) -> None:
    """The largest component of each volume of ``mask`` (B, Z, Y, X), bytes, holes filled, into ``out``; it may be that.

    Voxels are connected by faces, edges and corners; of two largest it is the one whose first voxel comes first. Holes
    are what faces do not connect with the border. An axis of one voxel is none, and has no border.
    """
    for volume, result in zip(mask, out, strict=True):
        result[...] = ndi.binary_fill_holes(_largest(np.atleast_1d(np.squeeze(volume)) != 0)).reshape(result.shape)


def _largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    labels, count = ndi.label(mask, np.ones((3,) * mask.ndim))
    if not count:
        return mask
    return np.asarray(labels == 1 + np.argmax(np.bincount(np.ravel(labels))[1:]))
