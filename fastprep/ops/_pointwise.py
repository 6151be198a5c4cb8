"""What the pointwise operations share: one read, one Ramp (or logistic, or map of lines) per channel, one write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import float_for
from fastprep.core.errors import ArgumentError
from fastprep.core.namespace import dtype_name
from fastprep.core.piecewise import MOST_KNOTS, Piecewise
from fastprep.core.ramp import Ramp
from fastprep.core.voi import VoiTable
from fastprep.ops._arrays import empty, view_of, with_shape
from fastprep.registry import kernel, recorded, replay


def apply_ramps(
    x: Any,
    ramps: Sequence[Ramp],
    *,
    dtype: Any = None,
    channels: bool = False,
    function: str = "ramp",
    into: Any = None,
) -> Any:
    """``x`` (...) through each Ramp: the array itself, or (K, ...) with ``channels``.

    ``function`` is the kernel: "ramp", or "sigmoid" whose Ramp is the exponent and whose bounds are the output's.
    ``into`` takes the result instead of a new array.
    """
    return _apply(function, x, ramps, _ramp_table, dtype, channels, into)


def apply_piecewise(
    x: Any, maps: Sequence[Piecewise], *, dtype: Any = None, channels: bool = False, into: Any = None
) -> Any:
    """``x`` (...) through each piecewise-linear map: the array itself, or (K, ...) with ``channels``.

    Raises
    ------
    ArgumentError
        More knots than a kernel's table takes.
    """
    most = max(len(m.xs) for m in maps)
    if most > MOST_KNOTS:
        msg = f"a piecewise-linear map of {most} knots: expected at most {MOST_KNOTS}"
        raise ArgumentError(msg)
    return _apply("piecewise", x, maps, _knots, dtype, channels, into)


def apply_table(x: Any, table: VoiTable, *, dtype: Any = None, into: Any = None) -> Any:
    """``x`` (...) through the entries of a VOI LUT."""
    return _apply("look_up", x, [table], lambda _: (table.first, table.values), dtype, False, into)


def _ramp_table(ramps: Sequence[Ramp]) -> tuple[npt.NDArray[np.float64], ...]:
    return (np.array([r.to_tuple() for r in ramps], dtype=np.float64),)


def _knots(maps: Sequence[Piecewise]) -> tuple[npt.NDArray[np.float64], ...]:
    """(K, P) knots, NaN where a map has fewer than another."""
    xs = np.full((len(maps), max(len(m.xs) for m in maps)), np.nan)
    ys = np.zeros(xs.shape)
    for k, one in enumerate(maps):
        xs[k, : len(one.xs)], ys[k, : len(one.xs)] = one.xs, one.ys
    return xs, ys


def _apply(
    function: str,
    x: Any,
    maps: Sequence[Any],
    table: Callable[[Any], tuple[Any, ...]],
    dtype: Any,
    channels: bool,
    into: Any,
) -> Any:
    run = kernel(function, x)
    view = view_of(x)
    name = float_for(view.dtype) if dtype is None else dtype_name(dtype, x)
    out = empty((len(maps), *view.shape) if channels else view.shape, name, x, into)
    key = (function, tuple(maps))
    if not view.size or replay(key, view, out.view):
        return out.finish()
    with recorded(key, view, out.view):
        shape = view.shape or (1,)
        run(with_shape(view, shape), with_shape(out.view, (len(maps), *shape)), *table(maps))
    return out.finish()
