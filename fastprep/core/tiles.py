"""Tiles of CLAHE: how many voxels each has, what lies beyond the image, and how their tables are blended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Places(NamedTuple):
    """Of every voxel along one axis: the two tiles whose centres it lies between, and the weights of both."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    #: float32 weights of the first and of the second; 1 - far, and far.
    near: npt.NDArray[np.float32]
    far: npt.NDArray[np.float32]


def tiles_of(shape: Sequence[int], tiles: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The number of tiles along each axis, and the voxels of a tile.

    In two dimensions it is OpenCV's rule: where one axis does not divide, one that does gets a voxel more per tile,
    too. In three an axis that divides is left as it is. An axis of one voxel needs no more tiles than one.
    """
    even = [n % t == 0 for n, t in zip(shape, tiles, strict=True)]
    if len(shape) == 2 and not all(even):
        even = [False, False]
    size = tuple(n // t + (not exact) for n, t, exact in zip(shape, tiles, even, strict=True))
    same = [n == s == 1 for n, s in zip(shape, size, strict=True)]
    return tuple(1 if one else t for t, one in zip(tiles, same, strict=True)), size


def places(n: int, origin: int, size: int, tiles: int) -> Places:
    """Where ``n`` voxels from ``origin`` on lie among tiles, in float32 as OpenCV has it."""
    at = np.arange(origin, origin + n).astype(np.float32) * (np.float32(1) / np.float32(size)) - np.float32(0.5)
    below = np.floor(at)
    far = at - below
    first = below.astype(np.int64)
    return Places(np.maximum(first, 0), np.minimum(first + 1, tiles - 1), np.float32(1) - far, far)


def takes_part(tiles: int, size: int) -> bool:
    """Whether tables are blended along an axis: not along one of a single voxel."""
    return not tiles == size == 1
