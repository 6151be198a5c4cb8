"""Steps that need the whole volume before a voxel of the result is known; labels pass them untouched.

A bias corrector makes another image. A normaliser (``normalisers``) only measures: what it makes of the values is a
Ramp, which becomes part of the pass after it as that of a window does.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import fastprep
from fastprep.core.errors import ArgumentError, ConfigError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.namespace import device_of
from fastprep.core.piecewise import Piecewise
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import moments_of
from fastprep.ops.polynomial_bias import LOSSES
from fastprep.pipeline.run import FOREGROUND, FOUND, Finding, Known
from fastprep.pipeline.steps import Step
from fastprep.pipeline.values import count, counts, number, positive, sequence, set_fields, unknown

_WHERE = {FOREGROUND: "the foreground", FOUND: "the mask found", None: "every voxel"}


def check_mask(mask: str | None) -> None:
    """Where a step looks: the foreground, the mask that a step in front has found, or None for every voxel."""
    if mask not in _WHERE:
        msg = f"mask={mask!r}: expected {FOREGROUND!r}, {FOUND!r}, or null for every voxel"
        raise ArgumentError(msg)


class Answer(NamedTuple):
    """The image after a barrier, the map it measured for the pass to come, and what there is to tell."""

    array: Any
    measured: Ramp | Piecewise | None
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class BarrierStep(Step, ABC):
    """Base."""

    #: Whether it measures a map of the values and leaves the image alone; that map in words, and whether it is no Ramp.
    measures: ClassVar[bool] = False
    formula: ClassVar[str] = ""
    bends: ClassVar[bool] = False

    @property
    def where(self) -> str | None:
        """The mask it looks inside, see `MaskedStep`; None is every voxel."""
        return None

    @property
    def beyond(self) -> float | None:
        """What lies beyond the image after it, where that is no longer what it was."""
        return None

    @abstractmethod
    def apply(self, x: Any, mask: Any, grid: Grid, known: Known) -> Answer:
        """On one volume of that grid."""

    @abstractmethod
    def describe(self) -> str:
        """What it does, for `Plan`."""


@dataclass(frozen=True, kw_only=True)
class MaskedStep(BarrierStep, ABC):
    """Base. ``mask`` is "foreground", that of `fastprep.foreground_mask`; "found"; or None for every voxel.

    The foreground is found on the image as the first such step meets it, and is the same for those after it until a
    spatial step moves the voxels; the next one then finds its own. What is "found" is the mask of a step such as
    `LungMask`, which goes through the spatial steps as labels do.
    """

    mask: str | None = FOREGROUND

    def __post_init__(self) -> None:
        check_mask(self.mask)

    @property
    def where(self) -> str | None:
        """As it was told."""
        return self.mask

    def describe(self) -> str:
        """What it does, for `Plan`."""
        return f"{self._what()} of {_WHERE[self.mask]}"

    @abstractmethod
    def _what(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class BiasStep(MaskedStep):
    """A bias corrector: the function of its name, with its fields as keywords where they are not None."""

    #: Whether the function takes ``progress``.
    reports: ClassVar[bool] = False

    def apply(self, x: Any, mask: Any, grid: Grid, known: Known) -> Answer:
        """The corrected image."""
        keywords = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "mask"}
        given = {name: value for name, value in keywords.items() if value is not None}
        result = getattr(fastprep, self.name)(Image(x, grid), mask, **given, **self._watch(x, known))
        return Answer(result.corrected.array, None, {} if known.run is None else _finding(result, mask))

    def _watch(self, x: Any, known: Known) -> dict[str, Any]:
        """Keywords by which a long one can be stopped; on a GPU the host would have to wait for every iteration."""
        if not self.reports or known.run is None or device_of(x) == "gpu":
            return {}
        return {"progress": lambda *_: known.check()}

    def _what(self) -> str:
        return "bias field"


@dataclass(frozen=True, kw_only=True)
class N4(BiasStep):
    """`fastprep.n4`; its field is smooth, so every fourth voxel along each axis is looked at unless told otherwise."""

    name = "n4"
    reports = True
    iterations: tuple[int, ...] = (50, 50, 50, 50)
    shrink_factor: int | tuple[int, ...] = 4
    convergence: str = "exact"
    convergence_threshold: float = 1e-3
    bias_field_fwhm: float = 0.15
    wiener_noise: float = 0.01
    histogram_bins: int = 200
    control_points: int | tuple[int, ...] = 4
    spline_order: int = 3
    spline_spacing: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = tuple(count("iterations", n) for n in sequence("iterations", self.iterations))
        if not levels:
            msg = "iterations=[]: expected one number per level"
            raise ArgumentError(msg)
        if self.convergence not in ("exact", "itk"):
            msg = f"convergence={self.convergence!r}: expected 'exact' or 'itk'"
            raise ArgumentError(msg)
        order = count("spline_order", self.spline_order, most=3)
        set_fields(
            self,
            iterations=levels,
            shrink_factor=counts("shrink_factor", self.shrink_factor),
            convergence_threshold=number("convergence_threshold", self.convergence_threshold),
            bias_field_fwhm=positive("bias_field_fwhm", self.bias_field_fwhm),
            wiener_noise=positive("wiener_noise", self.wiener_noise),
            histogram_bins=count("histogram_bins", self.histogram_bins, least=2, most=512),
            control_points=counts("control_points", self.control_points, least=order + 1),
            spline_order=order,
            spline_spacing=None if self.spline_spacing is None else positive("spline_spacing", self.spline_spacing),
        )


@dataclass(frozen=True, kw_only=True)
class PolynomialBias(BiasStep):
    """`fastprep.polynomial_bias`."""

    name = "polynomial_bias"
    reports = True
    order: int = 3
    iterations: int = 50
    convergence_threshold: float = 3e-4
    bias_field_fwhm: float = 0.1
    wiener_noise: float = 0.01
    histogram_bins: int = 200
    loss: str = "huber"
    tuning: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES:
            raise ConfigError(unknown("loss", self.loss, dict.fromkeys(LOSSES)))
        set_fields(
            self,
            order=count("order", self.order, most=4),
            iterations=count("iterations", self.iterations),
            convergence_threshold=number("convergence_threshold", self.convergence_threshold),
            bias_field_fwhm=positive("bias_field_fwhm", self.bias_field_fwhm),
            wiener_noise=positive("wiener_noise", self.wiener_noise),
            histogram_bins=count("histogram_bins", self.histogram_bins, least=2, most=512),
            tuning=None if self.tuning is None else positive("tuning", self.tuning),
        )


@dataclass(frozen=True, kw_only=True)
class _SmoothBias(BiasStep):
    """A corrector with a width in mm."""

    sigma: float = 40.0

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, sigma=positive("sigma", self.sigma))


@dataclass(frozen=True, kw_only=True)
class HomomorphicBias(_SmoothBias):
    """`fastprep.homomorphic_bias`."""

    name = "homomorphic_bias"


@dataclass(frozen=True, kw_only=True)
class GaussianBias(_SmoothBias):
    """`fastprep.gaussian_bias`."""

    name = "gaussian_bias"


@dataclass(frozen=True, kw_only=True)
class LocalNormalize(MaskedStep):
    """`fastprep.local_normalize`; padding is 0 after it, as air far from the foreground is."""

    name = "local_normalize"
    window: float | tuple[float, ...] = 30.0
    floor: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        floor = number("floor", self.floor)
        if not 0 <= floor < math.inf:
            msg = f"floor={self.floor!r}: expected a number of at least 0"
            raise ArgumentError(msg)
        one = isinstance(self.window, numbers.Real)
        widths = (self.window,) if one else sequence("window", self.window)
        found = tuple(positive("window", width) for width in widths)
        set_fields(self, window=found[0] if one else found, floor=floor)

    @property
    def beyond(self) -> float | None:
        """The mean."""
        return 0.0

    def apply(self, x: Any, mask: Any, grid: Grid, known: Known) -> Answer:  # noqa: ARG002 - as the others
        """The image, each voxel against its neighbourhood."""
        result = fastprep.local_normalize(Image(x, grid), window=self.window, mask=mask, floor=self.floor)
        return Answer(result.array, None, {})

    def _what(self) -> str:
        return "local mean and std"


def _finding(result: Any, mask: Any) -> Finding:
    """Of a bias field: how it was reached, and how strong it is inside the mask."""
    log = moments_of(view_of(result.log_field.array), None if mask is None else view_of(mask))
    strength = {"mean": log.mean, "std": log.std, "min": log.low, "max": log.high}
    reached = {"iterations": list(result.iterations), "convergence": list(result.convergence)}
    return {**(reached if result.iterations else {}), "log_field": strength}
