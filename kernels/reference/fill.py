"""Masks with their holes filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._components import labelled


def fill(mask: npt.NDArray[Any], connectivity: int, planar: bool, largest: int, out: npt.NDArray[np.bool_]) -> None:
    """Each volume of ``mask`` (B, Z, Y, X), bytes, and the holes in it, into ``out``; it may be that.

    A hole is a component of what is not set that does not touch the border, and has at most ``largest`` voxels, or any
    number with -1; connectivity 1 is by faces, 2 by edges, 3 by corners. With ``planar`` each plane (Y, X) is by
    itself. An axis of one voxel has no border, unless all have one.
    """
    for volume, result in zip(mask, out, strict=True):
        marks = volume != 0
        labels, count = labelled(~marks, connectivity, planar=planar)
        holes = (
            np.bincount(labels.ravel(), minlength=count + 1) <= largest if largest >= 0 else np.ones(count + 1, bool)
        )
        axes = [axis for axis in range(int(planar), 3) if volume.shape[axis] > 1]
        for axis in axes:
            for end in (0, -1):
                holes[np.take(labels, end, axis)] = False
        holes[0] = False
        result[...] = marks | holes[labels] if axes else marks
