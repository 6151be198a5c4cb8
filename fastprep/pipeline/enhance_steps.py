"""Steps that make another image of the whole one: contrast by neighbourhood, and less noise with its edges kept."""

from __future__ import annotations

import dataclasses
from abc import ABC
from dataclasses import dataclass
from typing import Any

import fastprep
from fastprep.core.checks import check_range, float_for
from fastprep.core.errors import ArgumentError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.ops._arrays import view_of
from fastprep.ops._clahe import MOST_BINS, check_clip_limit
from fastprep.pipeline.barriers import Answer, BarrierStep, MaskedStep
from fastprep.pipeline.run import Finding, Known
from fastprep.pipeline.values import count, counts, flag, number, positive, sequence, set_fields, several


@dataclass(frozen=True, kw_only=True)
class Clahe(MaskedStep):
    """`fastprep.clahe` of the whole image, not rounded to grey levels; with ``scales`` `fastprep.multiscale_clahe`.

    With ``adaptive`` each image's clip limit and tiles are those of `fastprep.clahe_parameters`, told in its record.
    What is outside the mask stays as it is.
    """

    name = "clahe"
    mask: str | None = None
    clip_limit: float = 2.0
    tiles: int | tuple[int, ...] = 8
    bins: int = 256
    value_range: tuple[float, float] | None = None
    scales: tuple[float, ...] | None = None
    adaptive: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        limit = number("clip_limit", self.clip_limit)
        check_clip_limit(limit)
        ends = self.value_range
        if ends is not None:
            low, high = several("value_range", ends, 2)
            ends = check_range(low, high, name="value_range")
        scales = self.scales
        if scales is not None:
            scales = tuple(positive("scales", v) for v in sequence("scales", scales))
            if not scales:
                msg = "scales=[]: expected one number at least"
                raise ArgumentError(msg)
        set_fields(
            self,
            clip_limit=limit,
            tiles=counts("tiles", self.tiles),
            bins=count("bins", self.bins, least=2, most=MOST_BINS),
            value_range=ends,
            scales=scales,
            adaptive=flag("adaptive", self.adaptive),
        )

    def apply(self, x: Any, mask: Any, grid: Grid, known: Known) -> Answer:  # noqa: ARG002 - as the others
        """The equalised image."""
        image = Image(x, grid)
        how: dict[str, Any] = {"clip_limit": self.clip_limit, "tiles": self.tiles}
        finding: Finding = {}
        if self.adaptive:
            found = fastprep.clahe_parameters(image, mask=mask, value_range=self.value_range)
            how = {"clip_limit": found.clip_limit, "tiles": found.tiles}
            finding = {"clip_limit": found.clip_limit, "tiles": list(found.tiles), "why": found.why}
        how.update(bins=self.bins, value_range=self.value_range, mask=mask, dtype=float_for(view_of(x).dtype))
        if self.scales is None:
            return Answer(fastprep.clahe(image, **how).array, None, finding)
        return Answer(fastprep.multiscale_clahe(image, scales=self.scales, **how).array, None, finding)

    def _what(self) -> str:
        if self.adaptive:
            return "adaptive CLAHE"
        return f"CLAHE, clip limit {self.clip_limit:g}, {_by(self.tiles)} tiles,"


@dataclass(frozen=True, kw_only=True)
class FilterStep(BarrierStep, ABC):
    """A filter of the whole image: the function of its name, with its fields as keywords."""

    def apply(self, x: Any, mask: Any, grid: Grid, known: Known) -> Answer:  # noqa: ARG002 - as the others
        """The filtered image."""
        keywords = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        result = getattr(fastprep, self.name)(Image(x, grid), dtype=float_for(view_of(x).dtype), **keywords)
        return Answer(result.array, None, {})


@dataclass(frozen=True, kw_only=True)
class DenoiseNlm(FilterStep):
    """`fastprep.denoise_nlm`."""

    name = "denoise_nlm"
    patch: int | tuple[int, ...] = 3
    distance: int | tuple[int, ...] = 3
    h: float = 1.0
    sigma: float | None = None
    rician: bool = False

    def __post_init__(self) -> None:
        set_fields(
            self,
            patch=_odd("patch", self.patch),
            distance=counts("distance", self.distance, least=0),
            h=positive("h", self.h),
            sigma=None if self.sigma is None else number("sigma", self.sigma),
            rician=flag("rician", self.rician),
        )

    def describe(self) -> str:
        """What it does, for `Plan`."""
        return f"non-local means, patch {_by(self.patch)}, distance {_by(self.distance)}"


@dataclass(frozen=True, kw_only=True)
class DenoiseTv(FilterStep):
    """`fastprep.denoise_tv`."""

    name = "denoise_tv"
    weight: float | None = None
    eps: float = 2e-4
    iterations: int = 200

    def __post_init__(self) -> None:
        set_fields(
            self,
            weight=None if self.weight is None else positive("weight", self.weight),
            eps=number("eps", self.eps),
            iterations=count("iterations", self.iterations),
        )

    def describe(self) -> str:
        """What it does, for `Plan`."""
        weight = "by the noise" if self.weight is None else f"{self.weight:g}"
        return f"total variation, weight {weight}"


@dataclass(frozen=True, kw_only=True)
class Median(FilterStep):
    """`fastprep.median`."""

    name = "median"
    size: int | tuple[int, ...] = 3

    def __post_init__(self) -> None:
        set_fields(self, size=_odd("size", self.size))

    def describe(self) -> str:
        """What it does, for `Plan`."""
        return f"median of {_by(self.size)}"


@dataclass(frozen=True, kw_only=True)
class Bilateral(FilterStep):
    """`fastprep.bilateral`."""

    name = "bilateral"
    sigma_value: float
    sigma_space: float = 1.0

    def __post_init__(self) -> None:
        space, value = positive("sigma_space", self.sigma_space), positive("sigma_value", self.sigma_value)
        set_fields(self, sigma_space=space, sigma_value=value)

    def describe(self) -> str:
        """What it does, for `Plan`."""
        return f"bilateral filter of {self.sigma_space:g} mm and {self.sigma_value:g}"


def _odd(name: str, value: Any) -> int | tuple[int, ...]:
    found = counts(name, value)
    if any(n % 2 == 0 for n in (found if isinstance(found, tuple) else (found,))):
        msg = f"{name}={value!r}: expected odd numbers"
        raise ArgumentError(msg)
    return found


def _by(sizes: int | tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes)) if isinstance(sizes, tuple) else str(sizes)
