"""Boxes of voxels around a voxel: their width, and how well a spread within them is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: A variance below this part of the whole volume's is the rounding of sums: the values do not differ.
SPREAD = 1e-10


def reach_of(window: Sequence[float], spacing: Sequence[float]) -> tuple[int, ...]:
    """Voxels on each side, for boxes of the odd number of voxels nearest to ``window`` mm, of two the larger."""
    return tuple(math.floor(width / step / 2 + 1e-9) for width, step in zip(window, spacing, strict=True))
