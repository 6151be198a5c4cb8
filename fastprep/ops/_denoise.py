"""What the denoisers share: volumes whose noise is to go, checked, and the image without it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from fastprep.core.checks import float_for
from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError
from fastprep.core.image import Image
from fastprep.core.moments import Moments
from fastprep.core.namespace import dtype_name
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, with_shape
from fastprep.ops._bias import Scan, scan_of
from fastprep.ops._pointwise import apply_ramps
from fastprep.registry import kernel


def noisy(x: Any, mask: Any = None, spacing: Sequence[float] | None = None) -> Scan:
    """Volumes (B, Z, Y, X) of numbers, and their mask.

    Raises
    ------
    DTypeError
        Masks: they have no noise.
    """
    scan = scan_of(x, mask, None, spacing)
    if scan.volumes.dtype.kind == "b":
        msg = "x of dtype bool: expected numbers, a mask has no noise"
        raise DTypeError(msg)
    return scan


def finite(scan: Scan) -> list[Moments]:
    """The moments of each volume of floats, all of them numbers; of integers none.

    Raises
    ------
    NonFiniteError
        NaN or infinity.
    """
    if scan.volumes.dtype.kind != "f":
        return []
    found: list[Moments] = kernel("moments", scan.volumes)(scan.volumes, None, None)
    bad = sum(one.nonfinite for one in found)
    if bad:
        msg = f"x holds {bad} values that are NaN or infinite"
        raise NonFiniteError(msg)
    return found


def denoised(scan: Scan, dtype: Any, run: Callable[[Any], None]) -> Any:
    """What ``run`` writes into a view (B, Z, Y, X), as what ``x`` was.

    Floats keep their type and integers become float32, then what ``dtype`` asks for: whole numbers round half to even
    and saturate.
    """
    own = float_for(scan.volumes.dtype)
    name = own if dtype is None else dtype_name(dtype, scan.array)
    # Kernels write float32, or the type of x.
    out = empty((*scan.leading, *scan.space), name if name == "float32" else own, scan.array)
    run(with_shape(out.view, tuple(scan.volumes.shape)))
    result = out.finish()
    if out.view.dtype.name != name:
        result = apply_ramps(result, [Ramp()], dtype=name)
    return scan.x.with_array(result) if isinstance(scan.x, Image) else result


def per_axis(name: str, value: Any, space: tuple[int, ...], *, least: int, odd: bool = False) -> tuple[int, int, int]:
    """Whole numbers of voxels along (z, y, x), from one for all space axes or one for each.

    Raises
    ------
    ArgumentError
        Fewer than ``least``, even ones where ``odd``, or another number of them.
    """
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * len(space)
    whole = all(isinstance(v, numbers.Integral) and not isinstance(v, bool) for v in values)
    if len(values) != len(space) or not whole or not all(v >= least and (v % 2 or not odd) for v in values):
        what = f"{'an odd' if odd else 'a whole'} number of voxels, at least {least}"
        msg = f"{name}={value!r}: expected {what}, or {len(space)} of them"
        raise ArgumentError(msg)
    z, y, x = (1 if odd else 0,) * (3 - len(space)) + values
    return z, y, x


def check_above(low: float, *, equal: bool = False, **values: Any) -> None:
    """Finite numbers above ``low``, or ``low`` itself too, by name.

    Raises
    ------
    ArgumentError
        Others.
    """
    for name, value in values.items():
        number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not (value > low or (equal and value == low)):
            msg = f"{name}={value!r}: expected a finite number {'of at least' if equal else 'above'} {low:g}"
            raise ArgumentError(msg)
