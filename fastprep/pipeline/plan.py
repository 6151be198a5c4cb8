"""Plan: a pipeline compiled for one grid, before a voxel is touched.

Steps fuse into a pass as long as one gather can do what they do one by one:

    on-disk dtype -> pre Ramp -> one interpolation through one IndexMap -> post Ramps -> final dtype

Two steps that each interpolate are one interpolation, through their composed map. A new pass starts only where one
gather can't do it: padding, a crop or a clip between two interpolations, padding before the first, channels that would
be interpolated, a function that is no Ramp, an antialiased resample made oblique, or two different fills.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import ONEHOT, check_order, float_for
from fastprep.core.errors import ConfigError, FastprepError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.core.ramp import Ramp
from fastprep.ops._pointwise import apply_ramps
from fastprep.ops._sample import IDENTITY, Box, sample
from fastprep.pipeline.steps import IntensityStep, InterpolatingStep, MultiWindow, Resample, SpatialStep, Step

_ORDER_NAMES = {0: "nearest", 1: "linear", 3: "cubic", ONEHOT: "onehot"}


@dataclass(frozen=True)
class Pass:
    """One read and one write: ``post_k(interpolation of pre(x))``, ``outside`` beyond."""

    #: Crops, flips and permutations before the interpolation: read in place, as if ``x`` had come like that.
    seen: IndexMap
    index_map: IndexMap
    grid: Grid
    #: Of the interpolation; None while voxels are only moved.
    order: int | None = None
    antialias: bool = False
    pre: Ramp = IDENTITY
    post: tuple[Ramp, ...] = (IDENTITY,)
    channels: bool = False
    kernel: str = "ramp"
    #: What lies beyond, one number per post Ramp, in the units of the result; None while every output has a source.
    outside: tuple[float, ...] | None = None
    #: Outputs that earlier steps of this pass covered; beyond is outside, wherever the map leads.
    limit: Box = ()
    steps: tuple[str, ...] = ()
    dtype: str | None = None

    @property
    def interpolates(self) -> bool:
        """True when a step of it interpolates: intensity steps then follow the gather, no longer precede it."""
        return self.order is not None

    @property
    def is_pointwise(self) -> bool:
        """True when every voxel stays where it is."""
        nowhere = IndexMap.identity(self.grid.shape)
        return self.index_map == self.seen == nowhere and self.limit == _whole(self.grid.shape)

    @property
    def is_nothing(self) -> bool:
        """True when the output is the input."""
        return self._keeps_values and self.is_pointwise and self.dtype is None and not self.channels

    @property
    def _keeps_values(self) -> bool:
        return self.kernel == "ramp" and all(r.is_identity for r in (self.pre, *self.post))

    def __call__(self, x: Any, into: Any = None) -> Any:
        """The pass on an array (..., space) of the pass's source grid; ``into`` takes the result."""
        if self.is_nothing and into is None:
            return x
        if self.is_pointwise and not self.is_nothing:
            ramps = [self.pre.then(r) for r in self.post]
            return apply_ramps(x, ramps, dtype=self.dtype, channels=self.channels, function=self.kernel, into=into)
        return sample(
            x,
            self.index_map,
            seen=self.seen,
            order=self.order or 0,
            pre=self.pre,
            post=self.post,
            dtype=self.dtype,
            antialias=self.antialias,
            channels=self.channels,
            outside=self.outside or (0.0,) * len(self.post),
            limit=self.limit,
            into=into,
        )

    def written(self, dtype: Any) -> Any:
        """The dtype of the result for an array of ``dtype``, which may be a GPU's bfloat16."""
        if self.dtype:
            return np.dtype(self.dtype)
        kept = self._keeps_values and self.order in (None, 0, ONEHOT)
        return dtype if kept or dtype.kind == "f" else np.dtype(float_for(dtype))

    def describe(self) -> str:
        """One line: what is read, how it is mapped, what is written."""
        parts = []
        if not self.pre.is_identity:
            parts.append(_ramp_text(self.pre))
        if not self.is_pointwise:
            how = "copy" if self.order is None else _ORDER_NAMES[self.order]
            how += ", antialiased" if self.antialias else ""
            how += "" if self.index_map.is_axis_aligned else ", oblique"
            parts.append(f"gather ({how}) to {self.index_map.shape}")
        parts += [_ramp_text(r) if self.kernel == "ramp" else "sigmoid" for r in self.post if not r.is_identity]
        kept = self._keeps_values and self.order in (None, 0, ONEHOT)
        parts.append(self.dtype or ("same dtype" if kept else "float"))
        return " -> ".join(parts) + f"   [{', '.join(self.steps) or 'nothing'}]"


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
    #: Length of the new first axis, or None when there is none.
    channels: int | None = None

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


def compile_plan(steps: Sequence[Step], image: Image, *, dtype: str | None = None) -> Plan:
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
        #: True when the open pass lost or gained voxels since it interpolated.
        self.trimmed = False
        if not self.label:
            self.open = replace(self.open, pre=image.rescale)
            self.fill = (image.default_fill,)

    def add_intensity(self, step: IntensityStep) -> None:
        if self.label:
            return
        if step.kernel != "ramp":
            self._start_pass()
            (exponent,) = step.ramps
            self._name(step)
            self.open = replace(self.open, kernel=step.kernel, post=(exponent,))
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
        index_map = _snapped(step.index_map(self.open.grid))
        self.index_map = self.index_map.then(index_map)
        fill = self._fill_of(step) if _reaches_beyond(index_map, self.open.grid.shape) else None
        order, antialias = (None, False) if index_map.is_lossless else self._how(step)
        if not (self._same_fill(fill) and (order is None or self._can_blend(index_map, antialias))):
            self._start_pass()
        self._name(step)
        now = self.open
        if order is None:
            limit = _seen_through(now.limit, index_map)
            self.trimmed |= fill is not None or math.prod(index_map.shape) < math.prod(now.index_map.shape)
        else:
            limit = _whole(index_map.shape)
            self.trimmed = False
            # Of two interpolations made one, the finer order serves both.
            order = order if now.order is None else max(now.order, order, key=abs)
            now = replace(_seen(now), order=order, antialias=now.antialias or antialias)
        if fill is not None:
            now = replace(now, outside=self._outside(fill))
        composed = now.index_map.then(index_map)
        self.open = replace(now, index_map=composed, grid=index_map.grid(now.grid), limit=limit)

    def finish(self, dtype: str | None) -> Plan:
        if self.passes and self.open.is_nothing:
            self.open = self.passes.pop()
        self.open = replace(self.open, dtype=dtype)
        if not self.open.is_nothing:
            self._close()
        return Plan(self.source, tuple(self.passes), self.open.grid, self.index_map, self.channels)

    def _how(self, step: SpatialStep) -> tuple[int, bool]:
        if not isinstance(step, InterpolatingStep):
            return (0 if self.label else 1), False
        if self.label:
            return check_order(step.label_order), False
        return check_order(step.order), isinstance(step, Resample) and step.antialias

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

    def _same_fill(self, fill: tuple[float, ...] | None) -> bool:
        """Whether a pass that has one fill can take another."""
        beyond = self.open.outside
        return fill is None or beyond is None or beyond * (len(fill) // len(beyond)) == fill

    def _can_blend(self, index_map: IndexMap, antialias: bool) -> bool:
        """Whether an interpolation can join what the open pass does already."""
        now = self.open
        if now.channels:
            return False
        if not now.interpolates:
            return now.outside is None
        if (now.antialias or antialias) and not now.index_map.then(index_map).is_axis_aligned:
            return False
        return not self.trimmed and all(math.isinf(r.lo) and math.isinf(r.hi) for r in now.post)

    def _name(self, step: Step) -> None:
        self.open = replace(self.open, steps=(*self.open.steps, step.name))

    def _start_pass(self) -> None:
        if self.open.is_nothing:
            return
        # Integers could not hold every fill, and only the last dtype may round it.
        if self.open.outside is not None and not self.label:
            self.open = replace(self.open, dtype="float32")
        self._close()

    def _close(self) -> None:
        self.passes.append(self.open)
        self.open = _fresh(self.open.grid)
        self.trimmed = False


def _seen(now: Pass) -> Pass:
    """Before the first interpolation: the borders and ties it meets are those of what was cropped and flipped."""
    if now.interpolates:
        return now
    return replace(now, seen=now.index_map, index_map=IndexMap.identity(now.index_map.shape))


def _whole(shape: Sequence[int]) -> Box:
    """The box of a whole shape."""
    return tuple((0, n) for n in shape)


def _fresh(grid: Grid) -> Pass:
    identity = IndexMap.identity(grid.shape)
    return Pass(identity, identity, grid, limit=_whole(grid.shape))


def _snapped(index_map: IndexMap) -> IndexMap:
    """A lossless map without the rounding of its affines, so that what moves nothing is seen to."""
    return IndexMap(index_map.shape, np.round(index_map.matrix)) if index_map.is_lossless else index_map


def _reaches_beyond(index_map: IndexMap, shape: Sequence[int]) -> bool:
    """True when an output lies more than half a voxel outside the input: an affine's extremes are its corners."""
    ends = np.stack(np.meshgrid(*[(0, n - 1) for n in index_map.shape], indexing="ij"), -1).reshape(-1, len(shape))
    at = np.round(index_map.to_input(ends), 9)
    return bool((at < -0.5).any() or (at >= np.array(shape) - 0.5).any())


def _seen_through(limit: Box, index_map: IndexMap) -> Box:
    """A box of the input as the outputs of a lossless map see it; an empty one stays empty."""
    # Voxel borders, not centres: those of an empty box would change places.
    borders = index_map.to_output(np.array(limit).T - 0.5) + 0.5
    low, high = np.round([borders.min(axis=0), borders.max(axis=0)]).clip(0, index_map.shape).astype(int).tolist()
    return tuple(zip(low, high, strict=True))


def _logistic(ramp: Ramp, x: float) -> float:
    # 1 / (1 + exp(-t)) without its overflow.
    return ramp.lo + (ramp.hi - ramp.lo) * (1 + math.tanh((ramp.a * x + ramp.b) / 2)) / 2


def _ramp_text(ramp: Ramp) -> str:
    text = ("x" if ramp.a == 1 else f"{ramp.a:.6g} x") + (f" {ramp.b:+.6g}" if ramp.b else "")
    return text if np.isinf(ramp.lo) and np.isinf(ramp.hi) else f"clip({text}, {ramp.lo:.6g}, {ramp.hi:.6g})"
