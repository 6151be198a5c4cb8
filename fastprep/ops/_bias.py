"""What the bias correctors share: their arguments as kernels see them, and their result, `BiasField`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import check_space, float_for
from fastprep.core.device_view import DeviceView
from fastprep.core.errors import ArgumentError, GeometryError, NonFiniteError, ShapeError
from fastprep.core.grid import Grid, check_spacing
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap, check_shape
from fastprep.core.lattice import Axis, Basis, idle_axis, stretched, voxels
from fastprep.core.namespace import check_together
from fastprep.ops._arrays import empty, three, view_of, with_shape
from fastprep.ops._masked import numbers_of
from fastprep.ops._sample import sample
from fastprep.registry import gpu_driver, kernel


class Scan(NamedTuple):
    """The arguments of a corrector: arrays for the caller's library, and as (B, Z, Y, X) for kernels."""

    x: Any
    array: Any
    leading: tuple[int, ...]
    space: tuple[int, ...]
    spacing: tuple[float, ...] | None
    volumes: Any
    mask: Any
    weights: Any


class Fit(NamedTuple):
    """What kernels found: lattice (B, kz, ky, kx), and for iterative methods counts and changes (B, levels)."""

    lattice: Any
    iterations: Any = None
    convergence: Any = None


@dataclass(frozen=True, eq=False)
class BiasField:
    """A smooth multiplicative field and the image without it: ``x = corrected * exp(log_field)``.

    Attributes
    ----------
    corrected : what ``x`` was, array or Image; integers have become float32.
    method : the function that made it.
    """

    method: str
    corrected: Any
    bases: tuple[Basis, ...] = field(repr=False)
    _scan: Scan = field(repr=False)
    _fit: Fit = field(repr=False)

    @cached_property
    def log_field(self) -> Any:
        """The natural logarithm of the field on the grid of ``x``, float32; an Image where ``x`` was one."""
        return self.evaluate(self._scan.space)

    @cached_property
    def lattice(self) -> npt.NDArray[np.float64]:
        """The numbers the field is made of, one axis per space axis after those of a batch; on the host."""
        found = _on_host(self._fit.lattice)
        if len(self._scan.space) == 2:
            found = found[:, 0]
        return found.reshape(*self._scan.leading, *found.shape[1:])

    @cached_property
    def iterations(self) -> Any:
        """Iterations done per level; of a batch one tuple for each volume."""
        return self._per_volume(self._fit.iterations, int)

    @cached_property
    def convergence(self) -> Any:
        """The last change of the field per level, as its threshold counts it; of a batch one tuple for each volume."""
        return self._per_volume(self._fit.convergence, float)

    def evaluate(self, on: Sequence[int] | Grid) -> Any:
        """The log field elsewhere, float32.

        Parameters
        ----------
        on : a shape, whose first and last voxels lie where those of ``x`` do; or, of an Image, a Grid whose axes are
            parallel to the image's. Beyond the image the field is that at its border.

        Raises
        ------
        ShapeError
            Another number of axes.
        GeometryError
            A Grid that is turned against the image's, or one for an array, which has none.
        """
        return self._on_grid(on) if isinstance(on, Grid) else self._on_shape(check_shape(on))

    def _on_shape(self, shape: tuple[int, ...]) -> Any:
        x, space = self._scan.x, self._scan.space
        if len(shape) != len(space):
            msg = f"shape {shape}: expected {len(space)} axes"
            raise ShapeError(msg)
        result = self._expand([stretched(b, m) for b, m in zip(self.bases, shape, strict=True)])
        return x.with_array(result) if isinstance(x, Image) and shape == space else result

    def _on_grid(self, grid: Grid) -> Image:
        x = self._scan.x
        if not isinstance(x, Image):
            msg = "evaluate(grid): the field of an array has no grid, give a shape"
            raise GeometryError(msg)
        index_map = IndexMap.between(x.grid, grid)
        order = index_map.axis_order
        if order is None:
            msg = f"{grid} is turned against {x.grid}: resample log_field to it"
            raise GeometryError(msg)
        axes = {}
        for axis, source in enumerate(order):
            scale, offset = index_map.matrix[source, axis], index_map.matrix[source, 3]
            axes[source] = self.bases[source].axis(scale * np.arange(grid.shape[axis]) + offset)
        # In the order of the image's axes, then turned by an exact copy.
        result = self._expand([axes[source] for source in range(len(order))])
        if order != tuple(range(len(order))):
            turn = np.eye(4)
            turn[: len(order), : len(order)] = np.eye(len(order))[list(order)].T
            result = sample(result, IndexMap(grid.shape, turn), order=0)
        return x.with_array(result, grid)

    def _expand(self, axes: Sequence[Axis]) -> Any:
        scan, shape = self._scan, tuple(len(axis.first) for axis in axes)
        out = empty((*scan.leading, *shape), "float32", scan.array)
        whole = with_shape(out.view, (math.prod(scan.leading), *three(shape)))
        kernel("field", scan.array)(None, self._fit.lattice, three_axes(axes), None, whole)
        return out.finish()

    def _per_volume(self, values: Any, kind: type) -> Any:
        if values is None:
            return ()
        rows = [tuple(kind(v) for v in row) for row in _on_host(values)]
        return tuple(rows) if self._scan.leading else rows[0]


def scan_of(x: Any, mask: Any, weights: Any, spacing: Sequence[float] | None) -> Scan:
    """The checked arguments of a corrector."""
    array = x.array if isinstance(x, Image) else x
    extra = {name: a.array if isinstance(a, Image) else a for name, a in (("mask", mask), ("weights", weights))}
    view = view_of(numbers_of(x)[0])
    if isinstance(x, Image):
        ndim = x.grid.ndim
        steps: tuple[float, ...] | None = x.grid.spacing
    else:
        marks = next((a for a in extra.values() if a is not None), None)
        ndim = len(spacing) if spacing is not None else max(2, min(3, len((array if marks is None else marks).shape)))
        steps = None if spacing is None else check_spacing(spacing, len(spacing))
    leading, space = check_space(view.shape, ndim)
    check_together(x=array, **{name: a for name, a in extra.items() if a is not None})
    for name, given in (("mask", mask), ("weights", weights)):
        if isinstance(x, Image) and isinstance(given, Image) and not given.grid.same_as(x.grid):
            msg = f"{name} on {given.grid}: expected the grid of x, {x.grid}; fastprep.resample_to brings it there"
            raise GeometryError(msg)
    views = {name: None if a is None else _beside(name, a, leading, space) for name, a in extra.items()}
    volumes = _batch(view, array, len(space))
    return Scan(x, array, leading, space, steps, volumes, views["mask"], views["weights"])


def finished(method: str, scan: Scan, fit: Fit, bases: Sequence[Basis]) -> BiasField:
    """The result of a corrector: ``x / exp(log field)`` in one read and one write."""
    axes = three_axes(tuple(voxels(b) for b in bases))
    out = empty((*scan.leading, *scan.space), float_for(scan.volumes.dtype), scan.array)
    whole = with_shape(out.view, tuple(scan.volumes.shape))
    kernel("field", scan.array)(scan.volumes, fit.lattice, axes, whole, None)
    result = out.finish()
    corrected = scan.x.with_array(result) if isinstance(scan.x, Image) else result
    # What only the fit has looked at is not kept.
    return BiasField(method, corrected, tuple(bases), scan._replace(volumes=None, mask=None, weights=None), fit)


def three_axes(axes: Sequence[Axis]) -> tuple[Axis, Axis, Axis]:
    """Two space axes as three, nothing changing along the first."""
    z = axes[0] if len(axes) == 3 else idle_axis(1, axes[0].weight.shape[1])
    return z, axes[-2], axes[-1]


def per_axis(name: str, value: int | Sequence[int], space: tuple[int, ...], *, least: int) -> tuple[int, ...]:
    """One whole number per space axis, from one for all or one for each."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * len(space)
    if len(values) != len(space) or not all(_is_whole(v) and v >= least for v in values):
        msg = f"{name}={value!r}: expected a whole number of at least {least}, or {len(space)} of them"
        raise ArgumentError(msg)
    return tuple(int(v) for v in values)


def check_whole(**values: tuple[Any, int, int]) -> None:
    """Whole numbers by name, each with the least and the most it may be."""
    for name, (value, least, most) in values.items():
        if not _is_whole(value) or not least <= value <= most:
            msg = f"{name}={value!r}: expected a whole number from {least} to {most}"
            raise ArgumentError(msg)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_positive(**values: float) -> None:
    """Finite numbers above 0, by name."""
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            msg = f"{name}={value}: expected a number above 0"
            raise ArgumentError(msg)


def check_nan(nan: str) -> None:
    """The two ways to treat what is no number."""
    if nan not in ("raise", "ignore"):
        msg = f"nan={nan!r}: expected 'raise' or 'ignore'"
        raise ArgumentError(msg)


def check_counts(counts: npt.NDArray[np.int64], *, nan: str, among: str = "") -> None:
    """Errors for volumes (B, 2) of voxels that count, and of voxels inside that are not finite; ``among`` which."""
    for b, (inside, broken) in enumerate(counts.tolist()):
        where = f" of volume {b}" if len(counts) > 1 else ""
        if broken and nan == "raise":
            msg = f"x{where} holds {broken} NaN or infinite values inside the mask: mask them, or pass nan='ignore'"
            raise NonFiniteError(msg)
        if inside == 0:
            msg = f"no voxel{where}{among} is inside the mask, of weight above 0 and finite: there is nothing to fit"
            raise ArgumentError(msg)


def _beside(name: str, a: Any, leading: tuple[int, ...], space: tuple[int, ...]) -> Any:
    view = view_of(a)
    if tuple(view.shape) not in (space, (*leading, *space)):
        msg = f"{name} of shape {tuple(view.shape)}: expected {space}" + (
            f" or {(*leading, *space)}" if leading else ""
        )
        raise ShapeError(msg)
    return _batch(view, a, len(space))


def _batch(view: Any, owner: Any, ndim: int) -> Any:
    """(B, Z, Y, X); copied only where no single step leads from volume to volume."""
    if isinstance(view, DeviceView):
        grouped = view.grouped(ndim)
        if grouped is None:
            copy = view_of(sample(owner, IndexMap.identity(view.shape[view.ndim - ndim :]), order=0))
            grouped = copy.grouped(ndim)
        shape, steps = grouped.shape, grouped.strides
        if ndim == 2:
            shape, steps = (shape[0], 1, *shape[1:]), (steps[0], 0, *steps[1:])
        return replace(grouped, shape=shape, strides=steps)
    return view.reshape(-1, *three(view.shape[view.ndim - ndim :]))


def _on_host(values: Any) -> npt.NDArray[Any]:
    return gpu_driver().read(values) if isinstance(values, DeviceView) else np.asarray(values)
