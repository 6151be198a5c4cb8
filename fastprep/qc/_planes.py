"""Planes of a volume as they are looked at: the patient upright, the right on the left, in true proportions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.namespace import host_view

_Array = npt.NDArray[Any]
#: What a plane is called by the axis it is cut across, and which axis of a plane is upright: the first that it has.
_CUTS = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal", "R": "sagittal", "L": "sagittal"}
_UPRIGHT = "SIAPRL"


class Plane(NamedTuple):
    """A cut through a volume: its name, where it lies, and how it is turned to be looked at."""

    name: str
    at: tuple[Any, ...]
    is_turned: bool
    flips: tuple[int, ...]
    #: Millimetres from row to row over those from column to column.
    aspect: float

    def of(self, x: _Array) -> _Array:
        """What a volume shows there."""
        return self._turned(x[self.at])

    def largest(self, x: _Array) -> _Array:
        """The largest value of a volume behind each point of it: a maximum intensity projection."""
        axis = next(a for a, where in enumerate(self.at) if isinstance(where, int))
        return self._turned(x.max(axis=axis))

    def seen_at(self, row: float, column: float, shape: Sequence[int]) -> tuple[float, float]:
        """Where a point of the cut, by its index there, is in the picture; ``shape`` is the picture's."""
        place = (column, row) if self.is_turned else (row, column)
        down, across = (n - 1 - i if a in self.flips else i for a, (i, n) in enumerate(zip(place, shape, strict=True)))
        return down, across

    def _turned(self, plane: _Array) -> _Array:
        return np.flip(plane.T if self.is_turned else plane, self.flips)


def planes_at(
    middle: Sequence[int], shape: Sequence[int], codes: Sequence[str], spacing: Sequence[float]
) -> list[Plane]:
    """The cuts of a volume through ``middle``, or the plane itself of two axes.

    ``codes`` are the grid's, nothing of an array, which is shown as it lies. Cuts that would be lines are left out.
    """
    if len(shape) == 2:
        return [_plane("", (slice(None),) * 2, (0, 1), codes, spacing)]
    found = []
    for axis in range(3):
        at = tuple(middle[a] if a == axis else slice(None) for a in range(3))
        name = _CUTS[codes[axis]] if codes else f"axis {axis}"
        if shape[axis] == 1 or min(n for a, n in enumerate(shape) if a != axis) > 1:
            found.append(_plane(name, at, [a for a in range(3) if a != axis], codes, spacing))
    return found


def frame_of(x: Any, ndim: int) -> tuple[Sequence[str], Sequence[float]]:
    """Axis codes and spacing of an Image; nothing and ones of an array.

    No codes either of a plane that has a spacing alone, as radiographs and pictures do: it is shown as it lies.
    """
    if not isinstance(x, Image):
        return (), (1.0,) * ndim
    is_placed = ndim > 2 or not x.grid.same_as(Grid.from_spacing(x.grid.shape, x.spacing))
    return (x.grid.axcodes if is_placed else ()), x.spacing


def host_of(x: Any) -> _Array:
    """The numbers of an Image or an array on the host."""
    return host_view(x.array if isinstance(x, Image) else x)


def _plane(
    name: str, at: tuple[Any, ...], axes: Sequence[int], codes: Sequence[str], spacing: Sequence[float]
) -> Plane:
    row, column = axes
    if not codes:
        return Plane(name, at, False, (), spacing[row] / spacing[column])
    is_turned = _UPRIGHT.index(codes[row]) > _UPRIGHT.index(codes[column])
    if is_turned:
        row, column = column, row
    # Superior and anterior on top; the patient's right, and what is anterior, on the left.
    flips = [axis for axis, code in enumerate((codes[row], codes[column])) if code in "SAR"]
    return Plane(name, at, is_turned, tuple(flips), spacing[row] / spacing[column])
