"""Two masks side by side, on the host or on a GPU: what both hold, what one alone does."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import DTypeError, GeometryError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import check_together, device_of, shape_of
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import moments_of
from fastprep.qc._host import array_of

Mask = npt.NDArray[np.bool_]


class Counts(NamedTuple):
    """Voxels of two masks: in both, in one alone, in neither."""

    both: int
    a_alone: int
    b_alone: int
    neither: int


def counts_of(a: Any, b: Any) -> Counts:
    """The voxels of each kind, wherever the masks are.

    Raises
    ------
    ShapeError, GeometryError, DTypeError, DeviceError
        As `fastprep.qc.dice`.
    """
    first, second = _array(a), _array(b)
    check_together(a=first, b=second)
    if device_of(first) == "cpu":
        here, there = pair_of(a, b)
        both, one, other = (int(np.count_nonzero(m)) for m in (here & there, here, there))
        size = here.size
    else:
        _check(a, b, first, second)
        views, shape = (view_of(first), view_of(second)), shape_of(first)
        size, both, one, other = 0, 0, 0, 0
        for index in np.ndindex(shape[: max(len(shape) - 3, 0)]):
            x, y = (_three(view[index] if index else view) for view in views)
            size += x.size
            one += moments_of(x, x).count
            inside = moments_of(x, y).count
            other += inside
            both += inside - moments_of(x, y, (-0.5, 0.5)).count
    return Counts(both, one - both, other - both, size - one - other + both)


def pair_of(a: Any, b: Any) -> tuple[Mask, Mask]:
    """Both on the host, true inside.

    Raises
    ------
    ShapeError, GeometryError, DTypeError
        As `fastprep.qc.dice`.
    NoKernelError
        One is on a GPU.
    """
    first, second = array_of(a, "a"), array_of(b, "b")
    _check(a, b, first, second)
    return np.asarray(first != 0), np.asarray(second != 0)


def _array(x: Any) -> Any:
    x = x.array if isinstance(x, Image) else x
    return np.asarray(x) if isinstance(x, (list, tuple)) else x


def _check(a: Any, b: Any, first: Any, second: Any) -> None:
    for x, name in ((first, "a"), (second, "b")):
        dtype = view_of(x).dtype
        if dtype.kind == "f":
            msg = f"{name} of dtype {dtype}: expected a mask, bool or whole numbers"
            raise DTypeError(msg)
    if shape_of(first) != shape_of(second):
        msg = f"b of shape {shape_of(second)}: expected that of a, {shape_of(first)}"
        raise ShapeError(msg)
    if isinstance(a, Image) and isinstance(b, Image) and not a.grid.same_as(b.grid):
        msg = f"a is on {a.grid}, b on {b.grid}: expected one grid"
        raise GeometryError(msg)


def _three(view: Any) -> Any:
    """At most three axes, of which there are two at least."""
    return view if view.ndim > 1 else view.with_shape((1, view.size))
