"""What is known of regions, one by one and as columns: `Region` and `Regions`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, GeometryError
from fastprep.core.grid import Grid
from fastprep.core.ramp import Ramp
from fastprep.core.regions import RegionTable, sums

_Float = npt.NDArray[np.float64]
_Int = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Region:
    """One region in plain numbers: a row of `Regions`; None is what is not known."""

    label: int
    voxels: int
    volume_mm3: float | None
    bounding_box: tuple[tuple[int, int], ...]
    centroid: tuple[float, ...]
    centroid_world: tuple[float, float, float] | None
    touches_border: bool
    mean: float | None
    minimum: float | None
    maximum: float | None
    saturated: float | None

    def to_dict(self) -> dict[str, Any]:
        """What is known of it, for JSON."""
        known = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: _plain(value) for name, value in known.items() if value is not None}


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of a volume (z, y, x) or a plane (y, x), one a row of each column; ``regions[i]`` is one as a `Region`.

    Attributes
    ----------
    label : (K,) their values in the label volume.
    spacing : mm along each axis, or None.
    grid : of an Image, else None.
    """

    label: _Int
    spacing: tuple[float, ...] | None
    grid: Grid | None
    _shape: tuple[int, ...] = field(repr=False)
    #: mm3 of a voxel, or mm2.
    _cell: float | None = field(repr=False)
    _table: RegionTable = field(repr=False)
    #: Stored values to those that are told, and what sums were scaled by; None without values.
    _units: Ramp | None = field(default=None, repr=False)
    _scale: float = field(default=1.0, repr=False)
    _has_ceiling: bool = field(default=False, repr=False)

    def __len__(self) -> int:
        return len(self.label)

    def __iter__(self) -> Iterator[Region]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Region:
        return Region(
            int(self.label[i]),
            int(self.voxels[i]),
            float(self.volume_mm3[i]) if self._measures else None,
            tuple((int(a), int(b)) for a, b in self.bounding_box[i]),
            tuple(self.centroid[i].tolist()),
            tuple(self.centroid_world[i].tolist()) if self.grid is not None else None,
            bool(self.touches_border[i]),
            *(None if column is None else float(column[i]) for column in self._values),
        )

    @property
    def voxels(self) -> _Int:
        """(K,) how many; 0 of a label that no voxel has, whose centroid and values are NaN and whose box is empty."""
        return self._table.voxels

    @cached_property
    def volume_mm3(self) -> _Float:
        """(K,) voxels times the volume of one.

        Raises
        ------
        ArgumentError
            Without a spacing, and of a plane, whose regions have an area.
        """
        if self._ndim == 2:
            msg = "volume_mm3 of a plane: its regions have area_mm2"
            raise ArgumentError(msg)
        return self._size("volume_mm3")

    @cached_property
    def area_mm2(self) -> _Float:
        """(K,) the same of a plane: voxels times the area of one.

        Raises
        ------
        ArgumentError
            Without a spacing, and of a volume.
        """
        if self._ndim == 3:
            msg = "area_mm2 of a volume: its regions have volume_mm3"
            raise ArgumentError(msg)
        return self._size("area_mm2")

    @property
    def bounding_box(self) -> _Int:
        """(K, ndim, 2) the first index and the one after the last along each axis."""
        return self._table.box[:, 3 - self._ndim :]

    @cached_property
    def centroid(self) -> _Float:
        """(K, ndim) mean index along each axis."""
        return _over(self._table.index_sum[:, 3 - self._ndim :], self.voxels[:, None])

    @cached_property
    def centroid_world(self) -> _Float:
        """(K, 3) the same in RAS mm.

        Raises
        ------
        GeometryError
            Of an array, which lies nowhere.
        """
        if self.grid is None:
            msg = "centroid_world: an array has no place in the world; give an Image"
            raise GeometryError(msg)
        return self.grid.to_world(self.centroid)

    @cached_property
    def touches_border(self) -> npt.NDArray[np.bool_]:
        """(K,) whether it reaches the first or last index of an axis of more than one."""
        box, shape = self.bounding_box, np.array(self._shape)
        at_end = ((box[..., 0] == 0) | (box[..., 1] == shape)) & (shape > 1)
        return np.asarray(at_end.any(axis=1) & (self.voxels > 0))

    @cached_property
    def mean(self) -> _Float:
        """(K,) of the values, from exact sums.

        Raises
        ------
        ArgumentError
            Without values; the same of the next two.
        """
        units = self._known("mean")
        return units.a * _over(sums(self._table, self._scale), self.voxels) + units.b

    @cached_property
    def minimum(self) -> _Float:
        """(K,) the least value."""
        units = self._known("minimum")
        return units.a * self._where(self._table.least) + units.b

    @cached_property
    def maximum(self) -> _Float:
        """(K,) the largest value."""
        units = self._known("maximum")
        return units.a * self._where(self._table.most) + units.b

    @cached_property
    def saturated(self) -> _Float:
        """(K,) the share of voxels where the scanner's numbers end or beyond; of `detect_metal` alone.

        Raises
        ------
        ArgumentError
            Of others.
        """
        if not self._has_ceiling:
            msg = "saturated: only fastprep.detect_metal knows where a scanner's numbers end"
            raise ArgumentError(msg)
        return _over(self._table.capped, self.voxels)

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns that are known as lists, for JSON and for tables."""
        columns: dict[str, Any] = {"label": self.label, "voxels": self.voxels}
        if self._measures:
            columns["volume_mm3"] = self.volume_mm3
        elif self.spacing is not None:
            columns["area_mm2"] = self.area_mm2
        columns |= {"bounding_box": self.bounding_box, "centroid": self.centroid}
        if self.grid is not None:
            columns["centroid_world"] = self.centroid_world
        columns["touches_border"] = self.touches_border
        values = zip(("mean", "minimum", "maximum", "saturated"), self._values, strict=True)
        columns |= {name: column for name, column in values if column is not None}
        return {name: _plain(column.tolist()) for name, column in columns.items()}

    @property
    def _ndim(self) -> int:
        return len(self._shape)

    @property
    def _measures(self) -> bool:
        return self._ndim == 3 and self.spacing is not None

    @property
    def _values(self) -> tuple[_Float | None, ...]:
        share = self.saturated if self._has_ceiling else None
        return (None,) * 4 if self._units is None else (self.mean, self.minimum, self.maximum, share)

    def _size(self, name: str) -> _Float:
        if self._cell is None:
            msg = f"{name}: spacing is missing; pass spacing=, millimetres along each axis, or an Image"
            raise ArgumentError(msg)
        return np.multiply(self.voxels, self._cell, dtype=np.float64)

    def _known(self, name: str) -> Ramp:
        if self._units is None:
            msg = f"{name}: there are no values; pass intensity="
            raise ArgumentError(msg)
        return self._units

    def _where(self, ends: _Float) -> _Float:
        return np.where(self.voxels > 0, ends, np.nan)


def _over(total: npt.NDArray[Any], count: npt.NDArray[Any]) -> _Float:
    """Quotients, NaN where there is nothing."""
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count, np.float64)


def _plain(value: Any) -> Any:
    """JSON has no NaN: None."""
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
