"""Image: an array, its grid, and what its numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.ramp import Ramp
from fastprep.core.voi import Voi

Kind = Literal["scalar", "label"]
#: DICOM's words for radiographs; a pipeline for all of them is made for "XR".
RADIOGRAPHS = frozenset({"CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"})


@dataclass(frozen=True, eq=False)
class Image:
    """An array whose trailing axes are the grid's, of any array library, on any device.

    ``kind`` is "scalar" (may be interpolated) or "label" (never blended). ``modality`` is DICOM's word ("CT",
    "MR", "CR", ...) or None; it decides the default fill. ``rescale`` maps the stored numbers to physical
    units and is the identity except for images read with ``rescale=False``. ``voi`` is how a radiograph's file wants
    its physical values shown, see `fastprep.voi_lut`, or None; spatial operations keep it, whatever makes other values
    of them drops it.

    Examples
    --------
    >>> import numpy as np
    >>> ct = Image(np.zeros((4, 6, 6), np.int16), Grid.from_spacing((4, 6, 6), (2, 1, 1)), modality="CT")
    >>> ct.spacing, ct.default_fill
    ((2.0, 1.0, 1.0), -1024.0)
    """

    array: Any
    grid: Grid
    kind: Kind = "scalar"
    modality: str | None = None
    rescale: Ramp = field(default=Ramp())
    voi: Voi | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        shape = tuple(self.array.shape)
        if len(shape) < self.grid.ndim or shape[len(shape) - self.grid.ndim :] != self.grid.shape:
            msg = f"array of shape {shape}: its trailing axes are not the grid's {self.grid.shape}"
            raise ShapeError(msg)
        if self.kind not in get_args(Kind):
            msg = f"kind={self.kind!r}: expected 'scalar' or 'label'"
            raise ArgumentError(msg)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres along each space axis, in array-axis order."""
        return self.grid.spacing

    @property
    def default_fill(self) -> float:
        """What lies beyond the field of view: air for CT, else 0."""
        return -1024.0 if self.modality == "CT" and self.kind == "scalar" else 0.0

    def with_array(self, array: Any, grid: Grid | None = None, *, voi: Voi | None = None) -> Image:
        """The same image with other numbers, in physical units, and another grid; ``voi`` where it still holds."""
        return replace(self, array=array, grid=self.grid if grid is None else grid, rescale=Ramp(), voi=voi)

    def to_index(self, points: Sequence[Sequence[float]]) -> Any:
        """Index of RAS points in this image; world points need no map between images, index points do."""
        return self.grid.to_index(points)
