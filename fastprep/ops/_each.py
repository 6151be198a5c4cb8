"""Every volume of a batch through a map of its own, which its own voxels tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastprep.core.checks import float_for
from fastprep.core.image import Image
from fastprep.core.namespace import dtype_name
from fastprep.core.piecewise import Piecewise
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, view_of
from fastprep.ops._masked import masked_volumes, numbers_of
from fastprep.ops._pointwise import apply_piecewise, apply_ramps


def each_volume(x: Any, mask: Any, map_of: Callable[[Any, Any], Ramp | Piecewise], dtype: Any = None) -> Any:
    """``x``, an array or an Image, each volume through ``map_of(view, view of its mask)``."""
    array, ndim = numbers_of(x)
    volumes = list(masked_volumes(array, mask, ndim))
    view = view_of(array)
    out = empty(view.shape, float_for(view.dtype) if dtype is None else dtype_name(dtype, array), array)
    for index, volume, inside in volumes:
        apply_map(volume, map_of(volume, inside), dtype=out.view.dtype, into=out.view[index])
    result = out.finish()
    return x.with_array(result) if isinstance(x, Image) else result


def apply_map(x: Any, one: Ramp | Piecewise, *, dtype: Any = None, into: Any = None) -> Any:
    """``x`` (...) through one map of either form."""
    if isinstance(one, Ramp):
        return apply_ramps(x, [one], dtype=dtype, into=into)
    return apply_piecewise(x, [one], dtype=dtype, into=into)
