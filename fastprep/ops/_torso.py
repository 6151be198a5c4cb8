"""A CT of the trunk as `body_mask` and `lung_mask` work on it: axial planes first, masks that kernels make of masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastprep.core.grid import Grid
from fastprep.core.index_map import IndexMap
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, view_of, with_axis, with_shape
from fastprep.ops._hu import check_hu, ct_of
from fastprep.ops._morphology import beside, paste
from fastprep.ops._sample import view_through
from fastprep.registry import kernel

#: How an Image is looked at: axial planes from the feet up, rows towards the back, columns towards the left.
AXES = "SPL"
#: Start and stop along each axis.
Box = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Torso:
    """A volume of HU (1, Z, Y, X), Z along the body; masks of it have its shape.

    ``back`` leads from the ``whole`` of those to the caller's axes, where they are others.
    """

    array: Any
    view: Any
    units: Ramp
    spacing: tuple[float, ...]
    grid: Grid | None
    back: IndexMap | None
    whole: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along Z, Y, X."""
        return tuple(self.view.shape[1:])

    @property
    def voxel_ml(self) -> float:
        """Millilitres of a voxel."""
        return math.prod(self.spacing) / 1000

    @property
    def disc(self) -> tuple[float, ...]:
        """The spacing of a ball that stays in its plane."""
        return (math.inf, *self.spacing[1:])

    def between(self, low: float, high: float, mask: Any = None) -> Any:
        """Where HU lie between two numbers, inside a mask."""
        one = self.units
        return between(self.view, mask, *((v - one.b) / one.a for v in (low, high)))

    def cropped(self, box: Box) -> Torso:
        """Of the voxels of a box alone."""
        return replace(self, view=inside(self.view, box))

    def returned(self, part: Any, start: Sequence[int] = (0, 0, 0)) -> Any:
        """A mask or labels from ``start`` on as an array of the caller's, 0 elsewhere."""
        space = tuple(view_of(self.array).shape)
        out = empty(space, part.dtype.name, self.array)
        there = out.view if self.back is None else beside(part, self.whole, part.dtype.name)
        paste(part, with_shape(there, (1, *there.shape)), [-s for s in start])
        if self.back is not None:
            turned = view_through(there, self.back)
            paste(with_shape(turned, (1, *space)), with_shape(out.view, (1, *space)), (0, 0, 0))
        return out.finish()


def torso_of(hu: Any, spacing: Any) -> Torso:
    """One CT, checked to be in HU and to hold air."""
    scan = ct_of(hu, spacing)
    check_hu(scan.view, scan.units, needs_air=True)
    view, steps, back = scan.view, scan.spacing, None
    if scan.grid is not None and scan.grid.axcodes != tuple(AXES):
        there = IndexMap.reorient(scan.grid, AXES)
        grid = there.grid(scan.grid)
        view, steps = view_through(view, there), grid.spacing
        back = IndexMap.reorient(grid, scan.grid.axcodes)
    return Torso(scan.array, with_axis(view, 0), scan.units, steps, scan.grid, back, tuple(view.shape))


def inside(view: Any, box: Box) -> Any:
    """The voxels of a box, of volumes (B, Z, Y, X), where they lie."""
    return view[(slice(None), *(slice(start, stop) for start, stop in box))]


def between(x: Any, mask: Any, low: float, high: float, *, out: Any = None) -> Any:
    """Where values of volumes lie between two numbers, inside a mask."""
    out = beside(x, x.shape, "bool") if out is None else out
    kernel("between", x)(x, mask, low, high, out)
    return out


def both(a: Any, b: Any) -> Any:
    """Where two masks are set."""
    return between(a, b, 0.0, math.inf)


def without(a: Any, b: Any) -> Any:
    """Where the first mask is set and the second is not."""
    return between(b, a, -math.inf, 0.5)
