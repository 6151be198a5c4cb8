"""What a plan is made of: passes, which read and write every voxel once, and barriers between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastprep.core.checks import ONEHOT, float_for
from fastprep.core.grid import Grid
from fastprep.core.index_map import IndexMap
from fastprep.core.piecewise import Piecewise
from fastprep.core.ramp import Ramp
from fastprep.core.voi import VoiTable
from fastprep.ops._arrays import view_of
from fastprep.ops._pointwise import apply_piecewise, apply_ramps, apply_table
from fastprep.ops._sample import IDENTITY, Box, sample
from fastprep.pipeline.barriers import BarrierStep
from fastprep.pipeline.fills import Fill, Later, told
from fastprep.pipeline.run import Known

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
    #: The barrier before it, whose map comes before ``pre``, and that map in words; None where it measures none.
    measured: int | None = None
    formula: str = ""
    #: That map once it is known, where it is no Ramp; the kernel is "piecewise" then.
    bend: Piecewise | None = None
    pre: Ramp = IDENTITY
    post: tuple[Ramp, ...] = (IDENTITY,)
    channels: bool = False
    kernel: str = "ramp"
    #: Of the kernel "look_up".
    table: VoiTable | None = None
    #: What lies beyond, one number per post Ramp, in the units of the result; None while every output has a source.
    outside: tuple[Fill, ...] | None = None
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
        return self.index_map == self.seen == nowhere and self.limit == whole_box(self.grid.shape)

    @property
    def is_nothing(self) -> bool:
        """True when the output is the input."""
        return self._keeps_values and self.is_pointwise and self.dtype is None and not self.channels

    @property
    def _keeps_values(self) -> bool:
        known = self.measured is None and self.kernel == "ramp"
        return known and all(r.is_identity for r in (self.pre, *self.post))

    def __call__(self, x: Any, into: Any = None, known: Known | None = None) -> Any:
        """The pass on an array (..., space) of the pass's source grid; ``into`` takes the result."""
        if self.is_nothing and into is None:
            return x
        if known is None:
            known = Known()
        if known.mask is not None and not self.is_pointwise:
            known.forget_mask()
        return self._with(known)._run(x, into)

    def _with(self, known: Known) -> Pass:
        """The pass with the numbers that barriers have told."""
        if self.measured is None and not any(isinstance(v, Later) for v in self.outside or ()):
            return self
        outside = None if self.outside is None else tuple(told(v, known.maps) for v in self.outside)
        now = replace(self, measured=None, outside=outside)
        found = None if self.measured is None else known.maps[self.measured]
        if isinstance(found, Piecewise):
            return replace(now, bend=found)
        return now if found is None else replace(now, pre=found.then(self.pre))

    def _run(self, x: Any, into: Any) -> Any:
        if self.table is not None:
            return apply_table(x, self.table, dtype=self.dtype, into=into)
        if self.bend is not None:
            maps = [self.bend.then(self.pre).then(r) for r in self.post]
            return apply_piecewise(x, maps, dtype=self.dtype, channels=self.channels, into=into)
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
            outside=[told(v, {}) for v in self.outside or (0.0,) * len(self.post)],
            limit=self.limit,
            into=into,
        )

    def written(self, dtype: Any) -> Any:
        """The dtype of the result for an array of ``dtype``, which may be a GPU's bfloat16."""
        if self.dtype:
            return np.dtype(self.dtype)
        kept = self._keeps_values and self.order in (None, 0, ONEHOT)
        return dtype if kept or dtype.kind == "f" else np.dtype(float_for(dtype))

    @property
    def made(self) -> int:
        """Channels of the result for one of the input."""
        return len(self.post) if self.channels else 1

    def between(self, leading: int) -> int:
        """Bytes that kernels keep beside input and result, of ``leading`` volumes."""
        if self.order != 3 and not self.antialias:
            return 0
        return 8 * leading * max(math.prod(self.seen.shape), math.prod(self.grid.shape))

    def describe(self) -> str:
        """One line: what is read, how it is mapped, what is written."""
        parts = [self.formula] if self.formula else []
        if not self.pre.is_identity:
            parts.append(_ramp_text(self.pre))
        if not self.is_pointwise:
            how = "copy" if self.order is None else _ORDER_NAMES[self.order]
            how += ", antialiased" if self.antialias else ""
            how += "" if self.index_map.is_axis_aligned else ", oblique"
            parts.append(f"gather ({how}) to {self.index_map.shape}")
        parts += [str(self.table)] if self.table is not None else []
        parts += [_ramp_text(r) if self.kernel == "ramp" else "sigmoid" for r in self.post if not r.is_identity]
        kept = self._keeps_values and self.order in (None, 0, ONEHOT)
        parts.append(self.dtype or ("same dtype" if kept else "float"))
        return " -> ".join(parts) + f"   [{', '.join(self.steps) or 'nothing'}]"


@dataclass(frozen=True)
class Barrier:
    """A step that needs the whole volume, on the grid where it stands in the plan."""

    step: BarrierStep
    grid: Grid
    #: From there to the grid of the scan.
    index_map: IndexMap
    #: Which barrier of the plan it is.
    number: int
    dtype: str | None = None

    def __call__(self, x: Any, into: Any = None, known: Known | None = None) -> Any:
        """The step on one volume; ``into`` takes the result."""
        if known is None:
            known = Known()
        mask = known.where(self.step.where, x, self.index_map)
        if self.step.measures:
            known.note_variance(x, mask)
        array, measured, finding = self.step.apply(x, mask, self.grid, known)
        known.tell(self.step.name, self.step.where, finding)
        if measured is not None:
            known.maps[self.number] = measured
        name = view_of(array).dtype.name
        if into is None and self.dtype in (None, name):
            return array
        return apply_ramps(array, [IDENTITY], dtype=self.dtype or name, into=into)

    @property
    def steps(self) -> tuple[str, ...]:
        """The name of the step."""
        return (self.step.name,)

    def written(self, dtype: Any) -> Any:
        """The dtype of the result for an array of ``dtype``."""
        if self.dtype:
            return np.dtype(self.dtype)
        return dtype if self.step.measures or dtype.kind == "f" else np.dtype(float_for(dtype))

    @property
    def made(self) -> int:
        """Channels of the result for one of the input."""
        return 1

    def between(self, leading: int) -> int:  # noqa: ARG002 - one volume after the other
        """Bytes beside input and result: a mask and what finding it takes, or two float32 volumes."""
        return (1 if self.step.measures and not self.step.where else 9) * math.prod(self.grid.shape)

    def describe(self) -> str:
        """One line: what is looked at, and what is written."""
        made = "" if self.step.measures else f" -> {self.dtype or 'float'}"
        return f"whole volume: {self.step.describe()}{made}   [{self.step.name}]"


def whole_box(shape: tuple[int, ...]) -> Box:
    """The box of a whole shape."""
    return tuple((0, n) for n in shape)


def _ramp_text(ramp: Ramp) -> str:
    text = ("x" if ramp.a == 1 else f"{ramp.a:.6g} x") + (f" {ramp.b:+.6g}" if ramp.b else "")
    return text if np.isinf(ramp.lo) and np.isinf(ramp.hi) else f"clip({text}, {ramp.lo:.6g}, {ramp.hi:.6g})"
