"""FusedPlan: a pipeline of several sequences compiled for their grids: a Plan for each, and what joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastprep.core.coverage import check_covers
from fastprep.core.errors import ArgumentError, ConfigError, FastprepError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.core.namespace import check_together, shape_of
from fastprep.ops._arrays import empty, three, view_of, with_shape
from fastprep.ops._masked import moments_of
from fastprep.ops.foreground_mask import foreground_mask
from fastprep.ops.fuse import blend_into, blend_of
from fastprep.pipeline.fuse import Fuse
from fastprep.pipeline.plan import Plan, compile_plan
from fastprep.pipeline.run import Run
from fastprep.pipeline.scan_steps import scan_steps
from fastprep.pipeline.steps import IntensityStep, InterpolatingStep, MultiWindow, SpatialStep, Step


@dataclass
class FusedRun:
    """Who follows a call: a `Run` for each sequence, and the weights that joined them."""

    #: Makes the run of a sequence.
    make: Callable[[], Run] = Run
    runs: dict[str, Run] = field(default_factory=dict)
    weights: tuple[float, ...] | None = None

    def of(self, name: str) -> Run:
        """The run of a sequence."""
        if name not in self.runs:
            self.runs[name] = self.make()
        return self.runs[name]


@dataclass(frozen=True)
class FusedPlan:
    """The plans of a pipeline's sequences, which all end on one grid.

    Examples
    --------
    >>> from fastprep.pipeline import Fuse, Pipeline, Resample
    >>> both = Fuse(sequences={"t1": {}, "flair": {}})
    >>> grids = {"t1": Grid.from_spacing((20, 64, 64), (2, 1, 1)), "flair": Grid.from_spacing((8, 64, 64), (5, 1, 1))}
    >>> import numpy as np
    >>> scans = {name: Image(np.zeros(grid.shape), grid) for name, grid in grids.items()}
    >>> Pipeline([both, Resample(spacing=(2, 2, 2))]).plan_sequences(scans).grid.shape
    (20, 32, 32)
    """

    fuse: Fuse
    plans: Mapping[str, Plan]
    grid: Grid
    dtype: str

    @property
    def channels(self) -> int | None:
        """Length of the new first axis, or None where the sequences become one image."""
        return len(self.plans) if self.fuse.method == "stack" else None

    @property
    def source(self) -> Grid:
        """The grid of the sequence that the others come to lie on, as it was read."""
        return self.plans[self.fuse.target].source

    def __call__(self, arrays: Mapping[str, Any], *, into: Any = None, run: FusedRun | None = None) -> Any:
        """The arrays (space) by sequence, through their plans and joined; ``into`` takes the result."""
        run = FusedRun() if run is None else run
        check_together(**{name: arrays[name] for name in self.plans})
        first = arrays[self.fuse.target]
        stacked = self.fuse.method == "stack"
        shape, dtype = (len(self.plans), *self.grid.shape), self.dtype if stacked else "float32"
        channels = empty(shape, dtype, first, into if stacked else None)
        for k, (name, plan) in enumerate(self.plans.items()):
            x = arrays[name]
            if shape_of(x) != plan.source.shape:
                msg = f"sequence {name!r} of shape {shape_of(x)}: expected one volume on its grid, {plan.source.shape}"
                raise ShapeError(msg)
            own = run.of(name)
            own.wants_variance = self._by_variance
            plan(x, into=channels.view[k], run=own)
        made = channels.finish()
        if stacked:
            return made
        return self._joined(made, into, run)

    @property
    def _by_variance(self) -> bool:
        return self.fuse.method == "weighted" and self.fuse.weights is None

    def _joined(self, channels: Any, into: Any, run: FusedRun) -> Any:
        view = view_of(channels)
        space = three(view.shape[1:])
        weights, marks = self.fuse.weights, None
        if self._by_variance:
            weights = tuple(self._variance(run.of(name), view[k]) for k, name in enumerate(self.plans))
        if self.fuse.method == "pca":
            marks = with_shape(view_of(foreground_mask(view[list(self.plans).index(self.fuse.target)])), space)
        view = with_shape(view, (len(self.plans), *space))
        blend = blend_of(view, marks, self.fuse.method, weights)
        out = empty(self.grid.shape, self.dtype, channels, into)
        blend_into(view, blend, out.view)
        run.weights = tuple(blend.weights.tolist())
        return out.finish()

    @staticmethod
    def _variance(run: Run, channel: Any) -> float:
        """Of a sequence before it was normalised; of one that never was, as it is."""
        if run.variance is not None:
            return run.variance
        found = moments_of(channel, None)
        return found.m2 / found.count

    def __str__(self) -> str:
        lines = []
        for name, plan in self.plans.items():
            lines += [f"{name}:", *(f"  {line}" for line in str(plan).splitlines())]
        how = {"stack": "stacked", "weighted": "weighted sum", "pca": "first principal component"}[self.fuse.method]
        return "\n".join([*lines, f"{how} of {', '.join(self.plans)}: {self.grid}"])


def compile_fused(
    fuse: Fuse, rest: Sequence[Step], images: Mapping[str, Image], *, dtype: str | None = None
) -> FusedPlan:
    """The plan of ``fuse`` and the steps after it for the grids, modalities and stored units of ``images``."""
    if set(images) != set(fuse.names):
        msg = f"sequences {', '.join(images) or 'none'}: expected {', '.join(fuse.names)}"
        raise ArgumentError(msg)
    for i, step in enumerate(rest, 2):
        _check_joins(i, step, fuse.method)
    parts = {one.name: one for one in fuse.sequences}
    target = _compiled(fuse.target, parts[fuse.target].steps, images[fuse.target], None).grid
    made = dtype or "float32"
    plans = {}
    for name, part in parts.items():
        image = images[name]
        if image.kind == "label":
            msg = f"sequence {name!r}: a label map has no intensities"
            raise ArgumentError(msg)
        check_covers(image.grid, target, fuse.tolerance, f"sequence {name!r}")
        steps = (*part.steps, _Onto(grid=target, order=fuse.order), *rest)
        plans[name] = _compiled(name, steps, image, made if fuse.method == "stack" else "float32")
    return FusedPlan(fuse, plans, plans[fuse.target].grid, made)


@dataclass(frozen=True, kw_only=True)
class _Onto(InterpolatingStep):
    """Onto the common grid; no step of its own in YAML."""

    grid: Grid

    def index_map(self, grid: Grid) -> IndexMap:
        return IndexMap.between(grid, self.grid)


# Not in the class body, where a name would make it one of the steps that a pipeline may have.
_Onto.name = Fuse.name


def _check_joins(number: int, step: Step, method: str) -> None:
    moves = isinstance(step, SpatialStep)
    maps = isinstance(step, IntensityStep) and not isinstance(step, MultiWindow) and method == "stack"
    if not (moves or maps):
        what = "steps that move voxels" if method != "stack" else "steps that move voxels or map each channel alike"
        msg = f"step {number} ({step.name}): only {what} come after fuse; put it into the sequences"
        raise ConfigError(msg)


def _compiled(name: str, steps: Sequence[Step], image: Image, dtype: str | None) -> Plan:
    try:
        for step in scan_steps(steps):
            msg = f"{step.name} is for pipelines of one image"
            raise ConfigError(msg)
        plan = compile_plan(steps, image, dtype=dtype)
    except FastprepError as error:
        msg = f"sequence {name!r}: {error}"
        raise ConfigError(msg) from error
    if plan.channels is not None:
        msg = f"sequence {name!r}: it makes {plan.channels} channels, expected one image"
        raise ConfigError(msg)
    return plan
