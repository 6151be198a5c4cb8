"""The largest components of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._components import labelled


def keep(mask: npt.NDArray[Any], connectivity: int, most: int, smallest: int, out: npt.NDArray[np.bool_]) -> None:
    """Of each volume of ``mask`` (B, Z, Y, X), bytes, the ``most`` largest components, into ``out``; it may be that.

    Of equal ones the one whose first voxel comes first in C order; -1 is all. Those below ``smallest`` voxels are left
    out. Voxels are connected by faces, from connectivity 2 on by edges, with 3 by corners.
    """
    for volume, result in zip(mask, out, strict=True):
        labels, count = labelled(volume, connectivity)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        ranked = np.argsort(-sizes, kind="stable")
        kept = np.zeros(count + 1, np.bool_)
        kept[1 + ranked[: count if most < 0 else most]] = True
        kept[1:] &= sizes >= smallest
        result[...] = kept[labels]
