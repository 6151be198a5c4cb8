"""Plan: a pipeline compiled for one grid, before a voxel is touched.

Steps fuse into a pass as long as one gather can do what they do one by one:

    on-disk dtype -> pre Ramp -> one interpolation through one IndexMap -> post Ramps -> final dtype

Two steps that each interpolate are one interpolation, through their composed map. A new pass starts only where fusing
would change a value: padding that would be blended by a later interpolation, channels that would be interpolated,
a function that is no Ramp, or two different fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import ONEHOT, check_order
from fastprep.core.errors import ConfigError, FastprepError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.core.ramp import Ramp
from fastprep.ops._pointwise import apply_ramps
from fastprep.ops._sample import IDENTITY, Box, sample
from fastprep.pipeline.steps import IntensityStep, InterpolatingStep, MultiWindow, SpatialStep, Step

_ORDER_NAMES = {0: "nearest", 1: "linear", 3: "cubic", ONEHOT: "onehot"}


@dataclass(frozen=True)
class Pass:
    """One read and one write: ``post_k(interpolation of pre(x[box]))``, ``outside`` beyond."""

    box: Box
    index_map: IndexMap
    grid: Grid
    order: int = 0
    antialias: bool = False
    pre: Ramp = IDENTITY
    post: tuple[Ramp, ...] = (IDENTITY,)
    channels: bool = False
    kernel: str = "ramp"
    #: One number per channel, in the units of the result; None while every output has a source.
    outside: tuple[float, ...] | None = None
    #: Outputs that earlier steps of this pass covered; beyond is outside, wherever the map leads.
    limit: Box = ()
    steps: tuple[str, ...] = ()
    dtype: str | None = None

    @property
    def interpolates(self) -> bool:
        """True when a value is made of several voxels."""
        return not self.index_map.is_lossless

    @property
    def is_pointwise(self) -> bool:
        """True when every voxel stays where it is."""
        return (
            self.index_map == IndexMap.identity(self.index_map.shape)
            and self.box == whole(self.index_map.shape)
            and self.limit == self.box
        )

    @property
    def is_nothing(self) -> bool:
        """True when the output is the input."""
        plain = all(r.is_identity for r in (self.pre, *self.post)) and self.kernel == "ramp" and not self.channels
        return plain and self.is_pointwise and self.dtype is None

    def __call__(self, x: Any) -> Any:
        """The pass on an array (..., space) of the pass's source grid."""
        if self.is_nothing:
            return x
        if self.is_pointwise:
            ramps = [self.pre.then(r) for r in self.post]
            return apply_ramps(x, ramps, dtype=self.dtype, channels=self.channels, function=self.kernel)
        part = x[(..., *(slice(a, b) for a, b in self.box))]
        return sample(
            part,
            self.index_map,
            order=self.order,
            pre=self.pre,
            post=self.post,
            dtype=self.dtype,
            antialias=self.antialias,
            channels=self.channels,
            outside=self.outside or (0.0,) * len(self.post),
            limit=self.limit,
        )

    def describe(self) -> str:
        """One line: what is read, how it is mapped, what is written."""
        parts = []
        if not self.pre.is_identity:
            parts.append(_ramp_text(self.pre))
        if not self.is_pointwise:
            how = _ORDER_NAMES[self.order] if self.interpolates else "copy"
            aligned = "" if self.index_map.is_axis_aligned else ", oblique"
            parts.append(f"gather ({how}{', antialiased' if self.antialias else ''}{aligned}) to {self.index_map.shape}")
        parts += [_ramp_text(r) if self.kernel == "ramp" else "sigmoid" for r in self.post if not r.is_identity]
        return " -> ".join([*parts, self.dtype or "same dtype"]) + f"   [{', '.join(self.steps) or 'nothing'}]"


@dataclass(frozen=True)
class Plan:
    """The passes of a pipeline on one grid, the grid they end on, and the map between the two.

    Examples
    --------
    >>> from fastprep.pipeline import Pipeline, Resample, Window
    >>> pipeline = Pipeline([Resample(spacing=(1, 1, 1)), Window(preset="lung")])
    >>> plan = pipeline.plan(Grid.from_spacing((20, 64, 64), (2, 0.5, 0.5)), modality="CT")
    >>> len(plan.passes), plan.grid.shape
    (1, (40, 32, 32))
    """

    source: Grid
    passes: tuple[Pass, ...]
    grid: Grid
    index_map: IndexMap
    channels: int | None = field(default=None)

    def __call__(self, x: Any) -> Any:
        """The array of the source grid through every pass."""
        for step in self.passes:
            x = step(x)
        return x

    def map_points(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Where landmarks given as index of the source lie in the output, by the same map as the voxels."""
        return self.grid.to_index(self.source.to_world(points))

    def __str__(self) -> str:
        lines = [f"in   {self.source}"]
        lines += [f"{i}.   {p.describe()}" for i, p in enumerate(self.passes, 1)]
        lines.append(f"out  {self.grid}" + (f" x {self.channels} channels" if self.channels else ""))
        return "\n".join(lines)


def compile_plan(
    steps: Sequence[Step], image: Image, *, dtype: str | None = None
) -> Plan:
    """The plan of ``steps`` for the grid, kind, modality and stored units of ``image`` (whose array is not read)."""
    compiler = _Compiler(image)
    for i, step in enumerate(steps, 1):
        try:
            if isinstance(step, IntensityStep):
                compiler.add_intensity(step)
            elif isinstance(step, SpatialStep):
                compiler.add_spatial(step)
        except FastprepError as error:
            msg = f"step {i} ({step.name}) on {compiler.open.grid}: {error}"
            raise ConfigError(msg) from error
    return compiler.finish(None if image.kind == "label" else dtype)


class _Compiler:
    """Steps one by one into the open pass, which is closed when the next one cannot join it."""

    def __init__(self, image: Image) -> None:
        self.source = image.grid
        self.label = image.kind == "label"
        self.passes: list[Pass] = []
        self.index_map = IndexMap.identity(image.grid.shape)
        self.open = _fresh(image.grid)
        #: What lies beyond the image, per channel, in the units of the step at hand.
        self.fill: tuple[float, ...] = (0.0,)
        self.channels: int | None = None
        if not self.label:
            self.open = replace(self.open, pre=image.rescale)
            self.fill = (image.default_fill,)

    def add_intensity(self, step: IntensityStep) -> None:
        if self.label:
            return
        if step.kernel != "ramp":
            self._close_if_used()
            (exponent,) = step.ramps
            self.open = replace(self.open, kernel=step.kernel, post=(exponent,), steps=(step.name,))
            self.fill = tuple(_logistic(exponent, v) for v in self.fill)
            self._close()
            return
        self._name(step)
        if isinstance(step, MultiWindow):
            self._split(step.ramps)
        else:
            self._map(*step.ramps)

    def _map(self, ramp: Ramp) -> None:
        now = self.open
        self.fill = tuple(float(ramp(v)) for v in self.fill)
        outside = None if now.outside is None else tuple(float(ramp(v)) for v in now.outside)
        if now.interpolates or now.channels:
            self.open = replace(now, post=tuple(r.then(ramp) for r in now.post), outside=outside)
        else:
            self.open = replace(now, pre=now.pre.then(ramp), outside=outside)

    def _split(self, ramps: Sequence[Ramp]) -> None:
        if self.channels is not None:
            msg = "the image has channels already"
            raise ConfigError(msg)
        now = self.open
        self.channels = len(ramps)
        self.fill = tuple(float(r(self.fill[0])) for r in ramps)
        outside = None if now.outside is None else tuple(float(r(now.outside[0])) for r in ramps)
        post = tuple(now.post[0].then(r) for r in ramps)
        self.open = replace(now, post=post, channels=True, outside=outside)

    def add_spatial(self, step: SpatialStep) -> None:
        index_map = step.index_map(self.open.grid)
        self.index_map = self.index_map.then(index_map)
        fill = self._fill_of(step) if _reaches_beyond(index_map, self.open.grid.shape) else None
        if not self._can_join(index_map, fill):
            self._close_if_used()
        self._name(step)
        now = self.open
        if index_map.is_lossless:
            limit = _seen_through(now.limit, index_map)
        else:
            limit = whole(index_map.shape)
            order, antialias = self._how(step)
            # Of two interpolations made one, the finer order serves both.
            order = max(now.order, order, key=abs) if now.interpolates else order
            now = replace(_boxed(now), order=order, antialias=now.antialias or antialias)
        if fill is not None and now.outside is None:
            now = replace(now, outside=self._outside(fill))
        composed = now.index_map.then(index_map)
        self.open = replace(now, index_map=composed, grid=index_map.grid(now.grid), limit=limit)

    def finish(self, dtype: str | None) -> Plan:
        if dtype is not None:
            self.open = replace(self.open, dtype=dtype)
            self._close()
        else:
            self._close_if_used()
        return Plan(self.source, tuple(self.passes), self.open.grid, self.index_map, self.channels)

    def _how(self, step: SpatialStep) -> tuple[int, bool]:
        if not isinstance(step, InterpolatingStep):
            return (0 if self.label else 1), False
        return (check_order(step.label_order), False) if self.label else (check_order(step.order), step.antialias)

    def _fill_of(self, step: SpatialStep) -> tuple[float, ...]:
        given = getattr(step, "fill", None)
        if self.label or given is None:
            return self.fill
        return (float(given),) * len(self.fill)

    def _outside(self, fill: tuple[float, ...]) -> tuple[float, ...]:
        if len(fill) == len(self.open.post):
            return fill
        if len(set(fill)) > 1:
            msg = f"what lies beyond the image differs between its channels {fill}: give fill"
            raise ConfigError(msg)
        return fill[:1]

    def _can_join(self, index_map: IndexMap, fill: tuple[float, ...] | None) -> bool:
        now = self.open
        if fill is not None and now.outside is not None and now.outside != fill[: len(now.outside)]:
            return False
        if index_map.is_lossless:
            return True
        if now.channels:
            return False
        # What was padded, or cropped after an interpolation, must not be blended with what the map finds there.
        return now.limit == whole(now.index_map.shape) if now.interpolates else now.outside is None

    def _name(self, step: Step) -> None:
        self.open = replace(self.open, steps=(*self.open.steps, step.name))

    def _close_if_used(self) -> None:
        if not self.open.is_nothing:
            self._close()

    def _close(self) -> None:
        self.passes.append(self.open)
        self.open = _fresh(self.open.grid)


def _boxed(now: Pass) -> Pass:
    """Before the first interpolation: a crop so far becomes the box that is read, so that its border clamps."""
    if now.interpolates:
        return now
    shape = now.index_map.shape
    ends = np.round(now.index_map.to_input([[0] * len(shape), [n - 1 for n in shape]])).astype(int)
    low, high = ends.min(axis=0), ends.max(axis=0)
    shift = np.eye(4)
    shift[: len(shape), 3] = -low
    box = tuple((int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    return replace(now, box=box, index_map=IndexMap(shape, shift @ now.index_map.matrix))


def whole(shape: Sequence[int]) -> Box:
    """The box of a whole shape."""
    return tuple((0, n) for n in shape)


def _fresh(grid: Grid) -> Pass:
    return Pass(whole(grid.shape), IndexMap.identity(grid.shape), grid, limit=whole(grid.shape))


def _reaches_beyond(index_map: IndexMap, shape: Sequence[int]) -> bool:
    """True when an output lies more than half a voxel outside the input: an affine's extremes are its corners."""
    ends = np.stack(np.meshgrid(*[(0, n - 1) for n in index_map.shape], indexing="ij"), -1).reshape(-1, len(shape))
    at = np.round(index_map.to_input(ends), 9)
    return bool((at < -0.5).any() or (at >= np.array(shape) - 0.5).any())


def _seen_through(limit: Box, index_map: IndexMap) -> Box:
    """A box of the input as the outputs of a lossless map see it."""
    corners = index_map.to_output([[a for a, _ in limit], [b - 1 for _, b in limit]])
    low, high = np.round(corners.min(axis=0)).astype(int), np.round(corners.max(axis=0)).astype(int) + 1
    return tuple(
        (int(np.clip(a, 0, n)), int(np.clip(b, 0, n))) for a, b, n in zip(low, high, index_map.shape, strict=True)
    )


def _logistic(ramp: Ramp, x: float) -> float:
    return float(ramp.lo + (ramp.hi - ramp.lo) / (1 + np.exp(-(ramp.a * x + ramp.b))))


def _ramp_text(ramp: Ramp) -> str:
    text = "x" if ramp.a == 1 and ramp.b == 0 else f"{ramp.a:.6g} x {ramp.b:+.6g}"
    return text if np.isinf(ramp.lo) and np.isinf(ramp.hi) else f"clip({text}, {ramp.lo:.6g}, {ramp.hi:.6g})"
