"""Masks that connected components are hard on, and how kernels are run on them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy

Mask = npt.NDArray[np.bool_]

#: Rows within a word and of more than one, odd ends, axes of one voxel.
SHAPES = [(9, 10, 11), (3, 5, 70), (2, 4, 128), (1, 30, 33), (6, 1, 9), (6, 9, 1), (1, 1, 200), (40, 1, 1), (1, 1, 1)]
DENSITIES = (0.05, 0.2, 0.35, 0.6, 0.9)


def random_masks(shape: tuple[int, ...]) -> Iterator[Mask]:
    rng = np.random.default_rng(0)
    for density in DENSITIES:
        yield rng.random(shape) < density


def special_masks() -> dict[str, Mask]:
    board = np.indices((4, 5, 67)).sum(axis=0) % 2 == 0
    stairs = np.zeros((5, 6, 7), bool)
    stairs[range(5), range(5), range(4, -1, -1)] = stairs[0, 5, 5:] = True
    return {
        "full": np.ones((3, 4, 65), bool),
        "empty": np.zeros((3, 4, 65), bool),
        "checkerboard": board,
        "stairs": stairs,
        "spiral": spiral(17),
        "comb": comb(),
    }


def spiral(n: int) -> Mask:
    """One path that winds inwards, in a plane and turned in depth: labels meet late."""
    plane = np.zeros((n, n), bool)
    y, x, dy, dx = 0, 0, 0, 1
    low, high = [0, 0], [n - 1, n - 1]
    while low[0] <= high[0] and low[1] <= high[1]:
        plane[y, x] = True
        ny, nx = y + dy, x + dx
        if not (low[0] <= ny <= high[0] and low[1] <= nx <= high[1]):
            if dx == 1:
                low[0] += 2
            elif dy == 1:
                high[1] -= 2
            elif dx == -1:
                high[0] -= 2
            else:
                low[1] += 2
            dy, dx = dx, -dy
            ny, nx = y + dy, x + dx
            if not (0 <= ny < n and 0 <= nx < n) or plane[ny, nx]:
                break
        y, x = ny, nx
    return np.stack([plane, np.zeros_like(plane), plane.T])


def comb() -> Mask:
    """Teeth that a bar behind all of them connects."""
    mask = np.zeros((3, 6, 41), bool)
    mask[0, :5, ::2] = mask[1, 4, ::2] = mask[2, 4] = True
    return mask


def layouts(mask: Mask) -> dict[str, npt.NDArray[Any]]:
    """The same mask as bytes of any value in any memory."""
    marks = (mask * np.random.default_rng(2).choice([1, 2, 128, 255], mask.shape)).astype(np.uint8)
    return {
        "bool": mask,
        "bytes": marks,
        "transposed": np.asfortranarray(marks),
        "reversed": np.flip(np.flip(marks).copy()),
        "sliced": np.repeat(marks, 2, 2)[..., ::2],
        "rows": np.repeat(marks, 2, 1)[:, ::2],
    }


def kernel_of(backend: str, name: str) -> Callable[..., Any]:
    kernel: Callable[..., Any] = getattr(importlib.import_module(f"fastprep.kernels.{backend}.{name}"), name)
    return kernel


def made(backend: str, put: Callable[[Any], Any], name: str, mask: npt.NDArray[Any], *how: Any) -> Mask:
    """What a kernel of masks makes of one volume, and of it as the second of a batch, into itself."""
    run = kernel_of(backend, name)
    out = put(np.ones((1, *mask.shape), bool))
    run(view_of(put(mask[None])), *how, view_of(out))
    two = put(np.stack([np.ones_like(mask), mask]))
    run(view_of(two), *how, view_of(two))
    both = to_numpy(two)
    assert both.dtype == bool
    np.testing.assert_array_equal(both[1], to_numpy(out)[0])
    return np.asarray(both[1])
