"""The largest components of masks, from the runs of their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._runs import Runs, components, sizes, write


def keep(mask: npt.NDArray[Any], connectivity: int, most: int, smallest: int, out: npt.NDArray[np.bool_]) -> None:
    """Of each volume of ``mask`` (B, Z, Y, X), bytes, the ``most`` largest components, into ``out``; it may be that.

    Of equal ones the one whose first voxel comes first in C order; -1 is all. Those below ``smallest`` voxels are left
    out. Voxels are connected by faces, from connectivity 2 on by edges, with 3 by corners.
    """
    for volume, result in zip(mask, out, strict=True):
        runs = Runs.of(volume)
        component, count = components(runs, connectivity)
        write(runs, component, _kept(sizes(runs, component, count), most, smallest), np.False_, result)


def _kept(voxels: npt.NDArray[np.int64], most: int, smallest: int) -> npt.NDArray[np.bool_]:
    kept = voxels >= smallest
    if 0 <= most < voxels.size:
        kept[np.argsort(-voxels, kind="stable")[most:]] = False
    return kept
