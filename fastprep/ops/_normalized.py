"""What the normalisers of one volume share: the volume and its mask as given, and the image they make of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import shape_of
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, three, with_shape
from fastprep.ops._masked import masked_volumes, numbers_of
from fastprep.ops._pointwise import apply_ramps
from fastprep.ops.foreground_mask import foreground_mask
from fastprep.registry import kernel


@dataclass(frozen=True, eq=False)
class Volume:
    """One volume: as it was given, its array in physical units, and views of it and of its mask for kernels."""

    x: Any
    array: Any
    view: Any
    inside: Any

    def through(self, ramp: Ramp) -> Any:
        """The whole of it through a Ramp: of an Image an Image."""
        result = apply_ramps(self.array, [ramp])
        return self.x.with_array(result) if isinstance(self.x, Image) else result

    def made_by(self, name: str, dtype: str, *args: Any) -> Any:
        """A new array by the kernel ``name(view, inside, *args, out)``; of an Image an Image, of bool a label Image."""
        out = empty(shape_of(self.array), dtype, self.array)
        shape = (1, *three(self.view.shape))
        view, inside, made = (with_shape(v, shape) for v in (self.view, self.inside, out.view))
        kernel(name, self.view)(view, inside, *args, made)
        result = out.finish()
        if not isinstance(self.x, Image):
            return result
        return replace(self.x.with_array(result), kind="label" if dtype == "bool" else "scalar")


def volume_of(x: Any, mask: Any) -> Volume:
    """The one volume that ``x`` is, with its foreground for a mask where none is given.

    Raises
    ------
    ShapeError
        A batch, or a mask of another shape.
    """
    array, ndim = numbers_of(x)
    found = list(masked_volumes(array, mask, ndim))
    if len(found) != 1:
        msg = f"x of shape {shape_of(array)}: expected one volume; loop over a batch"
        raise ShapeError(msg)
    if mask is None:
        found = list(masked_volumes(array, foreground_mask(array), ndim))
    return Volume(x, array, *found[0][1:])


def check_positive(value: float, *, name: str) -> float:
    """A finite number above 0."""
    if not 0 < value < float("inf"):
        msg = f"{name}={value!r}: expected a finite number above 0"
        raise ArgumentError(msg)
    return float(value)
