"""What Hypothesis draws in more than one test file."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from fastprep.core.grid import Grid


def rotation(angles: tuple[float, float, float]) -> Any:
    """A rotation of space: about R, then A, then S, in radians."""
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        one = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    return turn


@st.composite
def grids(draw: st.DrawFn, *, tilt: float = 0.25, ndim: int | None = None) -> Grid:
    """Any scanner's grid: axes permuted, flipped, tilted by up to ``tilt`` about each axis; spacings of 0.1 to 8 mm."""
    ndim = draw(st.sampled_from([2, 3])) if ndim is None else ndim
    shape = tuple(draw(st.lists(st.integers(1, 12), min_size=ndim, max_size=ndim)))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    block = np.eye(3)[:, draw(st.permutations(range(3)))] * signs
    turn = rotation(draw(st.tuples(*[st.floats(-tilt, tilt)] * 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn @ block * draw(st.lists(st.floats(0.1, 8), min_size=3, max_size=3))
    affine[:3, 3] = draw(st.lists(st.floats(-500, 500), min_size=3, max_size=3))
    return Grid(shape, affine)
