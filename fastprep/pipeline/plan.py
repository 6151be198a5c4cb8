"""Plan: a pipeline compiled for one grid, before a voxel is touched.

Steps fuse into a pass as long as one gather can do what they do one by one:

    on-disk dtype -> pre Ramp -> one interpolation through one IndexMap -> post Ramps -> final dtype

Two steps that each interpolate are one interpolation, through their composed map. A new pass starts only where one
gather can't do it: padding, a crop or a clip between two interpolations, padding before the first, channels that would
be interpolated, a function that is no Ramp, an antialiased resample made oblique, two different fills, or a barrier.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import check_order
from fastprep.core.errors import ConfigError, FastprepError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.core.namespace import shape_of
from fastprep.core.ramp import Ramp
from fastprep.core.voi import Voi, VoiTable
from fastprep.ops._arrays import empty, view_of
from fastprep.ops._sample import Box
from fastprep.pipeline.barriers import BarrierStep
from fastprep.pipeline.fills import Fill, mapped, measured
from fastprep.pipeline.passes import Barrier, Pass, whole_box
from fastprep.pipeline.run import Known, Run
from fastprep.pipeline.scan_steps import Found, ScanStep
from fastprep.pipeline.steps import IntensityStep, InterpolatingStep, MultiWindow, SpatialStep, Step
from fastprep.pipeline.xray_steps import VoiLut


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
    passes: tuple[Pass | Barrier, ...]
    grid: Grid
    index_map: IndexMap
    #: Length of the new first axis, or None when there is none.
    channels: int | None = None
    #: On the source grid, the mask that a step in front has found.
    mask: Any = None
    #: The step that has yet to look at the scan; until then nothing is cropped, and the plan can't run.
    looks: str = ""

    def __call__(self, x: Any, *, into: Any = None, run: Run | None = None) -> Any:
        """The array (..., space) of the source grid through every pass; ``into`` takes what the last one writes.

        Barriers look at one volume of a batch after the other. ``run`` is told of the passes and of what they found.

        Raises
        ------
        ConfigError
            A step has yet to look at the scan.
        """
        if self.looks:
            msg = f"{self.looks} has not seen the scan: call the pipeline on it, or plan pipeline.look(scan).pipeline"
            raise ConfigError(msg)
        leading = shape_of(x)[: -self.source.ndim]
        if leading and self.has_barriers:
            return self._each(x, leading, into, run)
        return self._volumes(x, into, Known(run, mask=self.mask))

    @property
    def has_barriers(self) -> bool:
        """True when a step needs the whole volume."""
        return any(isinstance(step, Barrier) for step in self.passes)

    def written(self, shape: Sequence[int], dtype: Any) -> tuple[tuple[int, ...], Any]:
        """Shape and dtype of the result for an array (..., space) of the source grid."""
        for step in self.passes:
            dtype = step.written(dtype)
        channels = (self.channels,) if self.channels else ()
        return (*channels, *shape[: len(shape) - self.source.ndim], *self.grid.shape), dtype

    def prepared(self, x: Any, run: Run | None = None) -> Iterator[tuple[Any, Known]]:
        """Each volume of ``x`` after the last pass, and what its barriers have found out: for a barrier yet to come."""
        view = view_of(x)
        leading = tuple(view.shape[: view.ndim - self.source.ndim])
        for volume, index in enumerate(np.ndindex(leading)):
            known = Known(run, volume if leading else None, self.mask)
            yield self._volumes(view[index] if leading else x, None, known), known

    def _volumes(self, x: Any, into: Any, known: Known) -> Any:
        for number, step in enumerate(self.passes, 1):
            with known.stage(f"pass {number}"):
                x = step(x, into if number == len(self.passes) else None, known)
        return x

    def _each(self, x: Any, leading: tuple[int, ...], into: Any, run: Run | None) -> Any:
        view = view_of(x)
        shape, dtype = self.written(view.shape, view.dtype)
        out = empty(shape, dtype.name, x, into)
        every = (slice(None),) if self.channels else ()
        for volume, index in enumerate(np.ndindex(leading)):
            self._volumes(view[index], out.view[(*every, *index)], Known(run, volume, self.mask))
        return out.finish()

    def map_points(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Where landmarks given as index of the source lie in the output, by the same map as the voxels."""
        return self.grid.to_index(self.source.to_world(points))

    def __str__(self) -> str:
        lines = [f"in   {self.source}"]
        lines += [f"     {self.looks} looks at the scan first: what it crops is not cropped here"] if self.looks else []
        lines += [f"{i}.   {p.describe()}" for i, p in enumerate(self.passes, 1)]
        lines.append(f"out  {self.grid}" + (f" x {self.channels} channels" if self.channels else ""))
        return "\n".join(lines)


def compile_plan(steps: Sequence[Step], image: Image, *, dtype: str | None = None) -> Plan:
    """The plan of ``steps`` for the grid, kind, modality and stored units of ``image`` (whose array is not read)."""
    compiler = _Compiler(image)
    for i, step in enumerate(steps, 1):
        try:
            if isinstance(step, ScanStep):
                compiler.add_scan_step(step)
            elif isinstance(step, IntensityStep):
                compiler.add_intensity(step)
            elif isinstance(step, VoiLut):
                compiler.add_voi(step, image.voi)
            elif isinstance(step, BarrierStep):
                compiler.add_barrier(step)
            elif isinstance(step, SpatialStep):
                compiler.add_spatial(step)
            else:
                msg = "expected as the first step of a pipeline, and there alone"
                raise ConfigError(msg)
        except FastprepError as error:
            msg = f"step {i} ({step.name}) on {compiler.open.grid}: {error}"
            raise ConfigError(msg) from error
    return compiler.finish(None if image.kind == "label" else dtype)


class _Compiler:
    """Steps one by one into the open pass, which is closed when the next one cannot join it."""

    def __init__(self, image: Image) -> None:
        self.source = image.grid
        self.label = image.kind == "label"
        self.passes: list[Pass | Barrier] = []
        self.index_map = IndexMap.identity(image.grid.shape)
        self.open = _fresh(image.grid)
        #: What lies beyond the image, per channel, in the units of the step at hand.
        self.fill: tuple[Fill, ...] = (0.0,)
        self.channels: int | None = None
        #: True when the open pass lost or gained voxels since it interpolated.
        self.trimmed = False
        self.mask: Any = None
        self.looks: list[str] = []
        #: The first step that made other values.
        self.valued = ""
        if not self.label:
            self.open = replace(self.open, pre=image.rescale)
            self.fill = (image.default_fill,)

    def add_scan_step(self, step: ScanStep) -> None:
        if isinstance(step, Found):
            self.mask = step.mask.array
        else:
            self.looks.append(step.name)

    def add_intensity(self, step: IntensityStep) -> None:
        if self.label:
            return
        self.valued = self.valued or step.name
        if step.kernel != "ramp":
            self._alone(step, step.ramps[0], step.kernel)
            return
        self._name(step)
        if isinstance(step, MultiWindow):
            self._split(step.ramps)
        else:
            self._map(*step.ramps)

    def add_voi(self, step: VoiLut, voi: Voi | None) -> None:
        view = step.view(voi)
        if self.label or view is None:
            return
        if self.valued:
            msg = f"it maps the values of the file: put it before {self.valued}"
            raise ConfigError(msg)
        self.valued = step.name
        if isinstance(view, VoiTable):
            self._alone(step, view, view.kernel)
        elif view.kernel == "sigmoid":
            self._alone(step, view.ramp, view.kernel)
        else:
            self._name(step)
            self._map(view.ramp)

    def _alone(self, step: Step, function: Ramp | VoiTable, kernel: str) -> None:
        """A function that is no Ramp, in a pass of its own."""
        self._start_pass()
        self._name(step)
        if isinstance(function, VoiTable):
            self.open = replace(self.open, kernel=kernel, table=function)
        else:
            self.open = replace(self.open, kernel=kernel, post=(function,))
        self.fill = tuple(mapped(v, function, kernel) for v in self.fill)
        self._close()

    def _map(self, ramp: Ramp) -> None:
        now = self.open
        self.fill = tuple(mapped(v, ramp) for v in self.fill)
        outside = None if now.outside is None else tuple(mapped(v, ramp) for v in now.outside)
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
        self.fill = tuple(mapped(self.fill[0], r) for r in ramps)
        outside = None if now.outside is None else tuple(mapped(now.outside[0], r) for r in ramps)
        post = tuple(now.post[0].then(r) for r in ramps)
        self.open = replace(now, post=post, channels=True, outside=outside)

    def add_barrier(self, step: BarrierStep) -> None:
        if self.label:
            return
        if self.channels is not None:
            msg = "the image has channels already: put it before them"
            raise ConfigError(msg)
        self.valued = self.valued or step.name
        self._start_pass()
        number = len(self.passes)
        self.passes.append(Barrier(step, self.open.grid, self.index_map, number))
        if step.measures:
            kernel = "piecewise" if step.bends else "ramp"
            self.open = replace(self.open, measured=number, formula=step.formula, kernel=kernel)
            self.fill = tuple(measured(v, number) for v in self.fill)
        elif step.beyond is not None:
            self.fill = (step.beyond,)

    def add_spatial(self, step: SpatialStep) -> None:
        index_map = _snapped(step.index_map(self.open.grid))
        self.index_map = self.index_map.then(index_map)
        fill = self._fill_of(step) if _reaches_beyond(index_map, self.open.grid.shape) else None
        order, antialias = (None, False) if index_map.is_lossless else self._how(step)
        joins = self.open.kernel == "ramp" and self._same_fill(fill)
        if not (joins and (order is None or self._can_blend(index_map, antialias))):
            self._start_pass()
        self._name(step)
        now = self.open
        if order is None:
            limit = _seen_through(now.limit, index_map)
            self.trimmed |= fill is not None or math.prod(index_map.shape) < math.prod(now.index_map.shape)
        else:
            limit = whole_box(index_map.shape)
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
            self.passes[-1] = replace(self.passes[-1], dtype=dtype)
        else:
            self.open = replace(self.open, dtype=dtype)
            if not self.open.is_nothing:
                self._close()
        looks = " and ".join(self.looks)
        passes = tuple(self.passes)
        return Plan(self.source, passes, self.open.grid, self.index_map, self.channels, self.mask, looks)

    def _how(self, step: SpatialStep) -> tuple[int, bool]:
        if not isinstance(step, InterpolatingStep):
            return (0 if self.label else 1), False
        if self.label:
            return check_order(step.label_order), False
        return check_order(step.order), step.blurs

    def _fill_of(self, step: SpatialStep) -> tuple[Fill, ...]:
        given = getattr(step, "fill", None)
        if self.label or given is None:
            return self.fill
        return (float(given),) * len(self.fill)

    def _outside(self, fill: tuple[Fill, ...]) -> tuple[Fill, ...]:
        if len(fill) == len(self.open.post):
            return fill
        if len(set(fill)) > 1:
            msg = f"what lies beyond the image differs between its channels {fill}: give fill"
            raise ConfigError(msg)
        return fill[:1]

    def _same_fill(self, fill: tuple[Fill, ...] | None) -> bool:
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


def _fresh(grid: Grid) -> Pass:
    identity = IndexMap.identity(grid.shape)
    return Pass(identity, identity, grid, limit=whole_box(grid.shape))


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
