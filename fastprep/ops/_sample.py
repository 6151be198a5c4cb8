"""The one gather: any IndexMap on any array, between Ramps, in one read and one write.

    pre Ramp -> interpolation through the IndexMap -> post Ramps -> dtype

Every spatial operation and every pass of a pipeline ends here; this chooses the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import ONEHOT, check_interpolable, check_space, float_for
from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.core.namespace import dtype_name
from fastprep.core.ramp import Ramp
from fastprep.core.taps import Taps, axis_taps
from fastprep.ops._arrays import empty, three, view_of, volumes, with_shape
from fastprep.registry import kernel, recorded, replay

IDENTITY = Ramp()
Box = tuple[tuple[int, int], ...]


def sample(
    x: Any,
    index_map: IndexMap,
    *,
    order: int,
    fill: float = 0.0,
    pre: Ramp = IDENTITY,
    post: Sequence[Ramp] = (IDENTITY,),
    dtype: Any = None,
    antialias: bool = False,
    channels: bool = False,
    outside: Sequence[float] | None = None,
    limit: Box | None = None,
    seen: IndexMap | None = None,
    into: Any = None,
) -> Any:
    """``post_k(interpolation of pre(x))`` on the output of ``index_map``.

    ``x`` has the map's space axes last; all others are batch. ``fill`` lies beyond the input, in the units of
    ``pre(x)``; ``outside``, one number per post Ramp in the units of the result, overrides it. Outputs beyond
    ``limit`` (start and stop per axis) are outside too. ``seen``, a lossless map inside the input, is applied to it
    first, in place, so that ties and borders are those of its output. By default order 0 without Ramps keeps the dtype,
    and the rest follows the float rule. With ``channels`` the result has a new first axis, one entry per post Ramp.
    ``into`` takes the result instead of a new array.
    """
    view = view_of(x)
    if seen is not None:
        view = view_through(view, seen)
    leading, _ = check_space(view.shape, index_map.ndim)
    check_interpolable(view.dtype, order)
    if not math.isfinite(fill):
        msg = f"fill={fill}: expected a finite number"
        raise ArgumentError(msg)
    plain = len(post) == 1 and all(r.is_identity for r in (pre, *post))
    kept = view.dtype.name if plain and order in (0, ONEHOT) else float_for(view.dtype)
    name = kept if dtype is None else dtype_name(dtype, x)
    if index_map.is_lossless and order != ONEHOT:
        order = 0
    copies = plain and order in (0, ONEHOT) and name == view.dtype.name
    if order == ONEHOT and not copies:
        msg = "order='onehot' returns labels as they are: no Ramp and no other dtype"
        raise ArgumentError(msg)
    shape = (*leading, *index_map.shape)
    out = empty((len(post), *shape) if channels else shape, name, x, into)
    beyond = [float(r(fill)) for r in post] if outside is None else list(outside)
    whole = tuple((0, n) for n in three(index_map.shape))
    inner = whole if limit is None else (*whole[: 3 - len(limit)], *limit)
    key = (index_map, order, pre, tuple(post), tuple(beyond), antialias, copies, inner)
    if replay(key, view, out.view):
        return out.finish()
    with recorded(key, view, out.view):
        for flat_in, flat_out in volumes(view, with_shape(out.view, (len(post), *shape)), index_map.ndim):
            job = _Job(flat_in, flat_out, _matrix(index_map), order, pre, post, antialias, copies, beyond, inner)
            job.run(x, index_map.axis_order)
    return out.finish()


def sample_image(x: Any, index_map: IndexMap, **how: Any) -> Any:
    """`sample` of an array, or of an Image, which keeps its kind and gets the exact new grid."""
    if isinstance(x, Image):
        return x.with_array(sample(x.array, index_map, pre=x.rescale, **how), index_map.grid(x.grid), voi=x.voi)
    return sample(x, index_map, **how)


def view_through(x: Any, index_map: IndexMap) -> Any:
    """The output of a lossless map that stays inside ``x``, as a view."""
    order = index_map.axis_order or ()
    leading = x.ndim - index_map.ndim
    slices = []
    for axis, source in enumerate(order):
        step, start = int(index_map.matrix[source, axis]), int(index_map.matrix[source, 3])
        stop = start + step * index_map.shape[axis]
        slices.append(slice(start, stop if stop >= 0 else None, step))
    return x.transpose(*range(leading), *(leading + a for a in order))[(*[slice(None)] * leading, *slices)]


class _Job:
    """A gather with everything in kernel form: 4-D input, 5-D output, a (z, y, x) matrix."""

    def __init__(
        self,
        x: Any,
        out: Any,
        matrix: npt.NDArray[np.float64],
        order: int,
        pre: Ramp,
        post: Sequence[Ramp],
        antialias: bool,
        copies: bool,
        outside: Sequence[float],
        limit: Box,
    ) -> None:
        # Weights sum to one, so a map without bounds does the same after the interpolation, once per voxel.
        if math.isinf(pre.lo) and math.isinf(pre.hi):
            post, pre = [pre.then(r) for r in post], IDENTITY
        self.x, self.out, self.matrix, self.order = x, out, matrix, order
        self.pre = np.array(pre.to_tuple())
        self.post = np.array([r.to_tuple() for r in post])
        self.outside = np.array(outside)
        self.antialias, self.copies, self.limit = antialias, copies, limit

    def run(self, like_x: Any, axis_order: tuple[int, ...] | None) -> None:
        if axis_order is not None and self.order != ONEHOT:
            self._separable(like_x, axis_order)
            return
        if self.antialias and self.order != ONEHOT:
            msg = "antialias=True with an oblique map: resample along the axes first, then warp"
            raise ArgumentError(msg)
        out, matrix = self._limited(like_x)
        if self.order == ONEHOT:
            kernel("onehot", like_x)(self.x, out[0], matrix, self._fill())
        else:
            outside = np.array([self._fill()]) if self.copies else self.outside
            kernel("warp", like_x)(self.x, out, matrix, self.order, self.pre, self.post, outside)

    def _limited(self, like_x: Any) -> tuple[Any, npt.NDArray[np.float64]]:
        """The part of the output inside the limit and the matrix that starts there; the rest is filled."""
        if all((a, b) == (0, n) for (a, b), n in zip(self.limit, self.out.shape[2:], strict=True)):
            return self.out, self.matrix
        everywhere = tuple(np.full(n, -1) for n in self.out.shape[2:])
        for k, value in enumerate(self.outside):
            kernel("take", like_x)(self.out[k], self.out[k], everywhere, self._held(value))
        start = np.eye(4)
        start[:3, 3] = [a for a, _ in self.limit]
        box = tuple(slice(a, max(a, b)) for a, b in self.limit)
        return self.out[(slice(None), slice(None), *box)], self.matrix @ start

    def _separable(self, like_x: Any, axis_order: tuple[int, ...]) -> None:
        order3 = axis_order if len(axis_order) == 3 else (0, *(a + 1 for a in axis_order))
        x = self.x.transpose(0, *(a + 1 for a in order3))
        scales = [abs(self.matrix[source, axis]) for axis, source in enumerate(order3)]
        # Where nothing gets coarser there is nothing to blur, and the recursive prefilter is the faster one.
        self.antialias = self.antialias and max(scales) > 1
        taps = [self._taps(source, axis, x.shape[axis + 1]) for axis, source in enumerate(order3)]
        if self.copies:
            index = tuple(_table(t) for t in taps)
            kernel("take", like_x)(x, self.out[0], index, self._fill())
            return
        inside = np.array([(t.start, t.stop) for t in taps], dtype=np.int64)
        index = tuple(t.index for t in taps)
        weight = tuple(t.weight for t in taps)
        prefilter = self.order == 3 and not self.antialias
        kernel("resample", like_x)(x, self.out, index, weight, inside, prefilter, self.pre, self.post, self.outside)

    def _taps(self, source: int, axis: int, n: int) -> Taps:
        scale, offset = self.matrix[source, axis], self.matrix[source, 3]
        taps = axis_taps(scale, offset, self.out.shape[axis + 2], n, order=self.order, antialias=self.antialias)
        low, high = self.limit[axis]
        start = max(taps.start, low)
        return taps._replace(start=start, stop=max(min(taps.stop, high), start))

    def _fill(self) -> float:
        """The fill of an exact copy."""
        return self._held(float(self.outside[0]))

    def _held(self, value: float) -> float:
        """A value as the dtype of the result holds it."""
        dtype = self.out.dtype
        if dtype.kind == "f":
            return value
        if dtype.kind == "b":
            return float(value != 0)
        info = np.iinfo(dtype)
        return float(min(max(round(value), info.min), info.max))


def _table(taps: Taps) -> npt.NDArray[np.int64]:
    index: npt.NDArray[np.int64] = taps.index[0].copy()
    index[: taps.start] = -1
    index[taps.stop :] = -1
    return index


def _matrix(index_map: IndexMap) -> npt.NDArray[np.float64]:
    """The map's matrix over (z, y, x): a 2-D map's third axis comes first."""
    if index_map.ndim == 3:
        return index_map.matrix
    turn = [2, 0, 1, 3]
    matrix = index_map.matrix[np.ix_(turn, turn)].copy()
    matrix[0] = matrix[:, 0] = (1, 0, 0, 0)
    return matrix
