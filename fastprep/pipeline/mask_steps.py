"""Steps that find a mask on the scan as it is, and the one that normalises inside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import fastprep
from fastprep.core.checks import check_range
from fastprep.core.errors import ArgumentError, MaskError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import moments_of
from fastprep.ops._morphology import check_radius
from fastprep.ops.normalize_in_mask import METHODS
from fastprep.ops.percentile_clip import check_percentiles
from fastprep.pipeline.barriers import Answer, MaskedStep
from fastprep.pipeline.run import FOUND, Finding, Known
from fastprep.pipeline.scan_steps import Look, MaskStep, keywords_of
from fastprep.pipeline.values import flag, number, set_fields, several, whole

if TYPE_CHECKING:
    from fastprep.segment import Segmenter


@dataclass(frozen=True, kw_only=True)
class BodyMask(MaskStep):
    """`fastprep.body_mask`."""

    name = "body_mask"
    threshold: float = -500.0
    opening_mm: float = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        threshold, radius = number("threshold", self.threshold), number("opening_mm", self.opening_mm)
        set_fields(self, threshold=threshold, opening_mm=check_radius(radius, "opening_mm"))

    @property
    def what(self) -> str:
        """The patient."""
        return "body"

    def look(self, scan: Image) -> Look:
        """For what is denser than air."""
        mask = fastprep.body_mask(scan, **keywords_of(self))
        return Look(mask, size_of(mask, f"body: nothing is above {self.threshold:g} HU"))


@dataclass(frozen=True, kw_only=True)
class LungMask(MaskStep):
    """`fastprep.lung_mask`, right lung 1 and left lung 2; a scan whose lungs are not both found is refused."""

    name = "lung_mask"
    threshold: float | None = -400.0
    body_threshold: float = -500.0
    opening_mm: float = 2.5
    airway: float = -900.0
    airway_mm: float = 2.0
    gas: float = -940.0
    min_lung_ml: float = 100.0
    max_ratio: float = 5.0
    closing_mm: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, value in keywords_of(self).items():
            if not (key == "threshold" and value is None):
                set_fields(self, **{key: number(key, value)})
        for key in ("opening_mm", "airway_mm", "min_lung_ml", "closing_mm"):
            check_radius(getattr(self, key), key)

    @property
    def what(self) -> str:
        """Both of them."""
        return "lungs"

    def look(self, scan: Image) -> Look:
        """For two lungs."""
        found = fastprep.lung_mask(scan, **keywords_of(self))
        if not found.ok:
            msg = f"lungs: {found.why}"
            raise MaskError(msg)
        return Look(found.labels, found.to_dict())


@dataclass(frozen=True, kw_only=True)
class Segment(MaskStep):
    """A model as the mask step: `fastprep.segment.load_segmenter` of its keys, or in Python the model itself.

    ``prepare`` is a preset, or a pipeline, that makes of the scan what the model wants to see; its answer is brought
    back. The record of an output has the model's name and SHA-256; with ``sha256`` any other model is refused.
    """

    name = "segment"
    model: Any
    sha256: str | None = None
    prepare: Any = None
    threshold: float = 0.5
    activation: str | None = None
    channel: int | None = None
    slices: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.model, str) or callable(self.model)):
            msg = f"model={self.model!r}: expected a file, 'package.module:name', or what can be called"
            raise ArgumentError(msg)
        prepare = self.prepare
        if isinstance(prepare, Mapping):
            # Here, for a pipeline is made of steps.
            from fastprep.pipeline.pipeline import Pipeline

            prepare = Pipeline.from_dict(prepare)
        channel = None if self.channel is None else whole("channel", self.channel)
        set_fields(self, prepare=prepare, threshold=number("threshold", self.threshold), channel=channel)
        set_fields(self, slices=flag("slices", self.slices))

    def to_dict(self) -> dict[str, Any]:
        """As every step's; of a model that came as an object, what it is called."""
        form = super().to_dict()[self.name]
        if not isinstance(self.model, str):
            identity = self.segmenter.identity
            form.update({"model": identity["name"], "sha256": identity.get("sha256")})
        if hasattr(self.prepare, "to_dict"):
            form["prepare"] = self.prepare.to_dict()
        return {self.name: form}

    @property
    def what(self) -> str:
        """Whatever it was trained for."""
        return "mask"

    @property
    def digest(self) -> str:
        """Of the model's weights, or what else it is."""
        return str(self.segmenter.identity.get("sha256") or "")

    @cached_property
    def segmenter(self) -> Segmenter:
        """The model, loaded once."""
        # Here, for a model may be shown the scan through a pipeline.
        from fastprep.segment import as_segmenter, load_segmenter

        how = keywords_of(self, "model", "sha256")
        if isinstance(self.model, str):
            return load_segmenter(self.model, sha256=self.sha256, **how)
        return as_segmenter(self.model, **how)

    def look(self, scan: Image) -> Look:
        """The model's answer."""
        from fastprep.segment import segment

        mask, identity = segment(self.segmenter, scan), self.segmenter.identity
        return Look(mask, {"model": identity, **size_of(mask, f"segment: {identity['name']} found nothing")})


@dataclass(frozen=True, kw_only=True)
class NormalizeInMask(MaskedStep):
    """`fastprep.normalize_in_mask`; padding after it is what is outside the mask, 0 unless ``outside`` is a number."""

    name = "normalize_in_mask"
    mask: str | None = FOUND
    method: str = "zscore"
    outside: str | float = "zero"
    out_range: tuple[float, float] = (0.0, 1.0)
    percentiles: tuple[float, float] = (0.5, 99.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask is None:
            msg = "mask=None: expected 'found' or 'foreground'"
            raise ArgumentError(msg)
        if self.method not in METHODS:
            msg = f"method={self.method!r}: expected one of {', '.join(METHODS)}"
            raise ArgumentError(msg)
        outside = self.outside
        if not isinstance(outside, str):
            outside = number("outside", outside)
        elif outside not in ("zero", "keep"):
            msg = f"outside={outside!r}: expected 'zero', 'keep' or a number"
            raise ArgumentError(msg)
        low, high = several("out_range", self.out_range, 2)
        least, most = several("percentiles", self.percentiles, 2)
        check_percentiles(least, most)
        ends = check_range(low, high, name="out_range")
        set_fields(self, outside=outside, out_range=ends, percentiles=(least, most))

    @property
    def beyond(self) -> float | None:
        """What is outside the mask, unless that was kept."""
        if self.outside == "keep":
            return None
        return 0.0 if isinstance(self.outside, str) else self.outside

    def apply(self, x: Any, mask: Any, grid: Grid, known: Known) -> Answer:  # noqa: ARG002 - as the others
        """The normalised image."""
        how: dict[str, Any] = {"out_range": self.out_range, "percentiles": self.percentiles}
        result = fastprep.normalize_in_mask(Image(x, grid), mask, method=self.method, outside=self.outside, **how)
        return Answer(result.array, None, {})

    def _what(self) -> str:
        return f"{self.method} inside"


def size_of(mask: Image, why: str) -> Finding:
    """Millilitres of a mask, or square centimetres of one in a plane.

    Raises
    ------
    MaskError
        Nothing is inside, with the words of ``why``.
    """
    view = view_of(mask.array)
    count = moments_of(view, view).count
    if not count:
        raise MaskError(why)
    size = float(count * math.prod(mask.spacing) / 10 ** len(mask.spacing))
    return {"volume_ml" if mask.grid.ndim == 3 else "area_cm2": size}
