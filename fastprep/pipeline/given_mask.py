"""given_mask: a mask that comes with the scan, from a reader or from another program."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastprep.core.errors import ArgumentError, ConfigError, GeometryError, MaskError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import shape_of
from fastprep.ops._masks import mask_view
from fastprep.pipeline.mask_steps import size_of
from fastprep.pipeline.run import Finding
from fastprep.pipeline.scan_steps import Found, Look, MaskStep

if TYPE_CHECKING:
    from fastprep.pipeline.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class GivenMask(MaskStep):
    """The mask that is given with each scan: ``pipeline(scan, mask=lungs)``, ``fastprep run --masks FOLDER``."""

    name = "given_mask"
    of: str = "mask"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.of, str) or not self.of.replace("-", "").replace("_", "").isalnum():
            msg = f"of={self.of!r}: expected a word, such as lungs"
            raise ArgumentError(msg)

    @property
    def what(self) -> str:
        """As it was told."""
        return self.of

    def look(self, scan: Image) -> Look:  # noqa: ARG002 - as the others
        """There is nothing to look for."""
        msg = f"{self.of}: no mask was given with the scan: pipeline(scan, mask=...), or fastprep run --masks FOLDER"
        raise MaskError(msg)


def with_mask(pipeline: Pipeline, scan: Image, mask: Any, finding: Finding | None = None) -> Pipeline:
    """The pipeline for a scan whose mask is known.

    Raises
    ------
    ConfigError
        None of its steps takes a mask.
    ShapeError, GeometryError, DTypeError
        A mask of another shape, on another grid, or of floats.
    MaskError
        Nothing is inside it.
    """
    wanting = [step for step in pipeline.steps if isinstance(step, GivenMask)]
    if not wanting:
        msg = "a mask was given, but no step of the pipeline takes it: put given_mask first"
        raise ConfigError(msg)
    found = _on_grid(mask, scan)
    mask_view(found.array)
    size = size_of(found, f"{wanting[0].of}: the mask that was given is empty")
    told = {"step": GivenMask.name, **(finding or {}), **size}
    steps = tuple(
        Found(mask=found, what=step.of, write=step.write, finding=told) if isinstance(step, GivenMask) else step
        for step in pipeline.steps
    )
    return replace(pipeline, steps=steps)


def _on_grid(mask: Any, scan: Image) -> Image:
    array = mask.array if isinstance(mask, Image) else mask
    shape = tuple(shape_of(array))
    if shape != scan.grid.shape:
        msg = f"mask of shape {shape}: expected that of the scan, {scan.grid.shape}"
        raise ShapeError(msg)
    if isinstance(mask, Image) and not mask.grid.same_as(scan.grid):
        msg = f"mask on {mask.grid}, scan on {scan.grid}: expected one grid"
        raise GeometryError(msg)
    return Image(array, scan.grid, kind="label")
