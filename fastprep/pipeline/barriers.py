"""Steps that need the whole volume before a voxel of the result is known; labels pass them untouched.

A bias corrector makes another image. A statistic only measures: what it makes of the values is a Ramp, which becomes
part of the pass after it as that of a window does.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import fastprep
from fastprep.core.errors import ArgumentError, ConfigError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.namespace import device_of
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import moments_of, spread_of
from fastprep.ops.polynomial_bias import LOSSES
from fastprep.ops.zscore import zscore_ramp
from fastprep.pipeline.run import Finding, Known
from fastprep.pipeline.steps import Step
from fastprep.pipeline.values import count, counts, number, positive, sequence, set_fields, unknown

_FOREGROUND = "foreground"


class Answer(NamedTuple):
    """The image after a barrier, the Ramp it measured for the pass to come, and what there is to tell."""

    array: Any
    ramp: Ramp | None
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class BarrierStep(Step, ABC):
    """Base. ``mask`` is "foreground", what is brighter than `fastprep.otsu` tells, or None for every voxel.

    The foreground is found on the image as the first such step meets it, and is the same for those after it until a
    spatial step moves the voxels; the next one then finds its own.
    """

    #: Whether it measures a Ramp and leaves the image alone.
    measures: ClassVar[bool] = False
    mask: str | None = _FOREGROUND

    def __post_init__(self) -> None:
        if self.mask not in (_FOREGROUND, None):
            msg = f"mask={self.mask!r}: expected {_FOREGROUND!r}, or null for every voxel"
            raise ArgumentError(msg)

    @abstractmethod
    def apply(self, x: Any, mask: Any, grid: Grid, known: Known) -> Answer:
        """On one volume of that grid."""

    def describe(self) -> str:
        """What it does, for `Plan`."""
        return f"{self._what()} of {'the foreground' if self.mask else 'every voxel'}"

    @abstractmethod
    def _what(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class BiasStep(BarrierStep):
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
class ZScore(BarrierStep):
    """`fastprep.zscore`; what lies beyond the image becomes what air does, so that padding is background."""

    name = "zscore"
    measures = True

    def apply(self, x: Any, mask: Any, grid: Grid, known: Known) -> Answer:  # noqa: ARG002 - as the others
        """The Ramp that makes the mean 0 and the standard deviation 1."""
        found = spread_of(view_of(x), None if mask is None else view_of(mask))
        return Answer(x, zscore_ramp(found), {"mean": found.mean, "std": found.std})

    def _what(self) -> str:
        return "mean and std"


def _finding(result: Any, mask: Any) -> Finding:
    """Of a bias field: how it was reached, and how strong it is inside the mask."""
    log = moments_of(view_of(result.log_field.array), None if mask is None else view_of(mask))
    strength = {"mean": log.mean, "std": log.std, "min": log.low, "max": log.high}
    reached = {"iterations": list(result.iterations), "convergence": list(result.convergence)}
    return {**(reached if result.iterations else {}), "log_field": strength}
