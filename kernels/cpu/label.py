"""Connected components of masks, numbered, from the runs of their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._runs import Runs, components, write


def label(mask: npt.NDArray[Any], connectivity: int, out: npt.NDArray[Any]) -> list[int]:
    """The components of each volume of ``mask`` (B, Z, Y, X), bytes, into ``out`` of that shape; how many each has.

    They are numbered from 1 in the C order of their first voxels, and the rest is 0. Voxels are connected by faces,
    from 2 on by edges, with 3 by corners.
    """
    counts = []
    for volume, result in zip(mask, out, strict=True):
        runs = Runs.of(volume)
        component, count = components(runs, connectivity)
        write(runs, component, np.arange(1, count + 1, dtype=out.dtype), out.dtype.type(0), result)
        counts.append(count)
    return counts
