"""What the operations with a ball share: masks of any library as kernels take them, and the ball in their voxels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.ball import ball_rows
from fastprep.core.checks import check_space
from fastprep.core.device_view import DeviceView
from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.ops._arrays import empty
from fastprep.ops._masks import masks_of, spacing_of
from fastprep.registry import kernel

#: ``of(marks, out, spacing)`` makes a mask ``out`` of ``marks``, both (B, Z, Y, X), and voxels of three sizes.
Change = Callable[[Any, Any, tuple[float, ...]], None]


def changed(mask: Any, spacing: Any, of: Change) -> Any:
    """A mask, or an Image of one, with every volume changed."""
    masks = masks_of(mask)
    steps = spacing_of(mask, spacing, len(masks.space) if isinstance(mask, Image) else None)
    leading, space = check_space((*masks.leading, *masks.space), len(steps), name="mask")
    masks = masks._replace(leading=leading, space=space)
    out = empty(masks.bytes.shape, "bool", masks.array)
    for marks, result in masks.pairs(out):
        # A plane has no neighbour across, however large the ball is.
        of(marks, result, steps if len(steps) == 3 else (math.inf, *steps))
    return masks.wrapped(out.finish())


def check_radius(radius: float, name: str = "radius") -> float:
    """A length in millimetres, or ArgumentError: finite, and not below 0."""
    if isinstance(radius, bool) or not math.isfinite(radius) or radius < 0:
        msg = f"{name}={radius}: expected millimetres, 0 or more"
        raise ArgumentError(msg)
    return float(radius)


def grow(
    marks: Any, out: Any, radius: float, spacing: Sequence[float], *, complement: bool = False, beyond: bool = False
) -> None:
    """The kernel ``dilate`` with a ball in millimetres."""
    ball = ball_rows(radius, spacing, marks.shape[1:])
    kernel("dilate", marks)(marks, ball, complement, beyond, out)


def close(marks: Any, out: Any, radius: float, spacing: Sequence[float]) -> None:
    """Grown and shrunk again on volumes with room for it."""
    reach = [int(radius * (1 + 1e-6) / step) for step in spacing]
    wide = cut(marks, [-r for r in reach], [n + 2 * r for n, r in zip(marks.shape[1:], reach, strict=True)])
    room = beside(wide, wide.shape, "bool")
    grow(wide, room, radius, spacing)
    grow(room, room, radius, spacing, complement=True)
    paste(room, out, reach)


def cut(x: Any, start: Sequence[int], shape: Sequence[int]) -> Any:
    """``shape`` voxels of volumes (B, Z, Y, X) from ``start`` on, 0 beyond them, as a new view."""
    out = beside(x, (x.shape[0], *shape), x.dtype.name)
    paste(x, out, start)
    return out


def beside(view: Any, shape: Sequence[int], dtype: str) -> Any:
    """A new view, of memory of the same library."""
    return empty(shape, dtype, view.owner if isinstance(view, DeviceView) else view).view


def paste(x: Any, out: Any, start: Sequence[int]) -> None:
    """``out[b, z, y, x] = x[b, z + start[0], y + start[1], x + start[2]]``, 0 where that lies beyond."""
    index = tuple(_index(s, n, m) for s, n, m in zip(start, x.shape[1:], out.shape[1:], strict=True))
    kernel("take", x)(x, out, index, 0.0)


def _index(start: int, n: int, count: int) -> npt.NDArray[np.int64]:
    index = np.arange(start, start + count)
    return np.where((index >= 0) & (index < n), index, -1)
