"""Steps that look at the scan as it is, before anything is done to it: what they find decides the steps after them.

They stand first, and pass the scan on untouched. One of them may find a mask: the steps after it crop to it, measure
inside it, or clear what is outside.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastprep.core.errors import ArgumentError, ConfigError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.ops.crop_to_mask import crop_around
from fastprep.pipeline.run import FOUND, Finding
from fastprep.pipeline.steps import SpatialStep, Step
from fastprep.pipeline.values import flag, number, sequence, set_fields

if TYPE_CHECKING:
    from fastprep.pipeline.pipeline import Pipeline


class Look(NamedTuple):
    """What a step saw: a mask of the scan, where it looks for one, and what there is to tell."""

    mask: Image | None
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class ScanStep(Step, ABC):
    """Base."""

    @abstractmethod
    def look(self, scan: Image) -> Look:
        """At one volume in physical units."""

    @property
    def digest(self) -> str:
        """What else than its keys decides what it finds, as the weights of a model do."""
        return ""


@dataclass(frozen=True, kw_only=True)
class MaskStep(ScanStep, ABC):
    """Base of those that find a mask. With ``write`` it goes beside the output, on the output's grid."""

    write: bool = True

    def __post_init__(self) -> None:
        flag("write", self.write)

    @property
    @abstractmethod
    def what(self) -> str:
        """What the mask is of; the name of its file ends in it."""


@dataclass(frozen=True, kw_only=True)
class CropToMask(SpatialStep):
    """To the box of the mask that was found, and ``margin`` mm around it, within the image.

    The box lies along the axes of the scan as it is read, and is widened to those of this step where they differ. A
    margin is one number, or one for each axis of the scan.
    """

    name = "crop_to_mask"
    margin: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        several = not isinstance(self.margin, (int, float))
        margins = tuple(number("margin", m) for m in (sequence("margin", self.margin) if several else (self.margin,)))
        if any(not 0 <= m < np.inf for m in margins):
            msg = f"margin={self.margin!r}: expected mm, none negative"
            raise ArgumentError(msg)
        set_fields(self, margin=margins if several else margins[0])

    def index_map(self, grid: Grid) -> IndexMap:
        """Nothing, as long as the mask is not known."""
        return IndexMap.identity(grid.shape)

    def box(self, mask: Image) -> Grid:
        """The part of the scan's grid that is kept."""
        ndim = mask.grid.ndim
        margins = self.margin if isinstance(self.margin, tuple) else (self.margin,) * ndim
        if len(margins) != ndim:
            msg = f"crop_to_mask: margin={list(margins)}: expected one number, or {ndim}"
            raise ConfigError(msg)
        around = np.ceil(np.round(np.divide(margins, mask.spacing), 9)).astype(int)
        return crop_around(mask.array, around.tolist()).grid(mask.grid)


@dataclass(frozen=True, kw_only=True)
class _CropTo(SpatialStep):
    """To a box that is known; no step of its own in YAML."""

    box: Grid

    def to_dict(self) -> dict[str, Any]:
        """For people: what was found has no place in YAML."""
        return {self.name: {"box": self.box.to_dict()}}

    def index_map(self, grid: Grid) -> IndexMap:
        borders = np.array([(-0.5, n - 0.5) for n in self.box.shape])
        corners = np.stack(np.meshgrid(*borders, indexing="ij"), -1).reshape(-1, len(borders))
        at = np.round(grid.to_index(self.box.to_world(corners)), 6) + 0.5
        start = np.clip(np.floor(at.min(axis=0)), 0, grid.shape).astype(int)
        stop = np.clip(np.ceil(at.max(axis=0)), 0, grid.shape).astype(int)
        if (start >= stop).any():
            msg = "the mask lies where earlier steps have cropped the scan away"
            raise ConfigError(msg)
        return IndexMap.crop(start.tolist(), stop.tolist())


# Not in the class body, where a name would make it one of the steps that a pipeline may have.
_CropTo.name = CropToMask.name


@dataclass(frozen=True, kw_only=True)
class Found(MaskStep):
    """A mask that is known, in place of the step that found it; no step of its own in YAML."""

    mask: Image
    what: str = ""
    #: What there is to tell of a mask that was given, as long as it has not been told.
    finding: Finding | None = None

    def look(self, scan: Image) -> Look:  # noqa: ARG002 - it has looked
        """The mask, once more."""
        return Look(self.mask, self.finding or {})

    def to_dict(self) -> dict[str, Any]:
        """For people: a mask has no place in YAML."""
        return {self.name: {"what": self.what}}


# As above.
Found.name = "mask"


@dataclass(frozen=True)
class Looked:
    """What the scan steps of a pipeline found on a scan.

    Parameters
    ----------
    pipeline : the pipeline for this scan, and for labels on its grid: nothing in it is left to look for.
    found : what each of them tells, plain as JSON.
    """

    pipeline: Pipeline
    found: tuple[Finding, ...] = ()

    @property
    def mask(self) -> Image | None:
        """On the scan's grid; None where no step looks for one."""
        step = finder(self.pipeline.steps)
        return step.mask if isinstance(step, Found) else None


def scan_steps(steps: Sequence[Step]) -> list[ScanStep]:
    """Those that look, which stand in front of the others.

    Raises
    ------
    ConfigError
        One of them is not in front, two find a mask, or a step wants a mask that none finds.
    """
    looking = [step for step in steps if isinstance(step, ScanStep)]
    late = next((step for step in steps[: len(looking)] if not isinstance(step, ScanStep)), None)
    if late is not None:
        msg = f"{looking[-1].name} looks at the scan as it is: put it before {late.name}"
        raise ConfigError(msg)
    finders = [step for step in looking if isinstance(step, MaskStep)]
    if len(finders) > 1:
        msg = f"{' and '.join(step.name for step in finders)}: a pipeline has one mask"
        raise ConfigError(msg)
    for step in steps:
        wants = isinstance(step, (CropToMask, _CropTo)) or getattr(step, "mask", None) == FOUND
        if wants and not finders:
            msg = f"{step.name} wants a mask: put a step that finds one first, as lung_mask, segment or given_mask"
            raise ConfigError(msg)
    return looking


def look(pipeline: Pipeline, scan: Image) -> Looked:
    """See `Pipeline.look`."""
    looking = scan_steps(pipeline.steps)
    if all(isinstance(step, Found) and step.finding is None for step in looking):
        return Looked(pipeline)
    if scan.kind == "label":
        msg = f"{looking[0].name} looks at a scan, not at labels: prepare them with pipeline.look(scan).pipeline"
        raise ArgumentError(msg)
    if len(scan.array.shape) != scan.grid.ndim:
        msg = f"array of shape {tuple(scan.array.shape)}: {looking[0].name} expects one volume"
        raise ShapeError(msg)
    known: list[Step] = []
    mask, told = None, []
    for step in looking:
        seen = step.look(scan)
        told.append({"step": step.name, **seen.finding})
        if isinstance(step, MaskStep) and seen.mask is not None:
            mask = seen.mask
            known.append(Found(mask=mask, what=step.what, write=step.write))
    rest = (_settled(step, mask) for step in pipeline.steps[len(looking) :])
    return Looked(replace(pipeline, steps=(*known, *rest)), tuple(told))


def finder(steps: Sequence[Step]) -> MaskStep | None:
    """The step that finds the mask, or has found it."""
    return next((step for step in steps if isinstance(step, MaskStep)), None)


def _settled(step: Step, mask: Image | None) -> Step:
    return _CropTo(box=step.box(mask)) if isinstance(step, CropToMask) and mask is not None else step


def keywords_of(step: MaskStep, *without: str) -> dict[str, Any]:
    """The fields of a step as keywords of the function it stands for."""
    own = {"write", *without}
    return {f.name: getattr(step, f.name) for f in dataclasses.fields(step) if f.name not in own}
