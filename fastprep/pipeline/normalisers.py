"""Normalisers: barriers that measure an image's intensities, each by the function of its name.

What lies beyond the image becomes what air does, so that padding is background.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastprep.core.checks import check_range
from fastprep.core.density import Mode
from fastprep.core.grid import Grid
from fastprep.core.piecewise import Piecewise
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import spread_of
from fastprep.ops._modes import check_modality
from fastprep.ops.fcm_normalize import class_of, fcm_normalize_of, fcm_normalize_ramp
from fastprep.ops.kde_normalize import kde_normalize_of, kde_normalize_ramp
from fastprep.ops.minmax import minmax_of, minmax_ramp
from fastprep.ops.percentile_clip import check_percentiles, percentile_clip_of, percentile_clip_ramp
from fastprep.ops.robust import robust_of, robust_ramp
from fastprep.ops.white_stripe import check_width, white_stripe_of, white_stripe_ramp
from fastprep.ops.zscore import zscore_ramp
from fastprep.pipeline.barriers import Answer, MaskedStep
from fastprep.pipeline.run import Finding, Known
from fastprep.pipeline.values import count, flag, number, positive, set_fields, several


@dataclass(frozen=True, kw_only=True)
class Normaliser(MaskedStep):
    """Base."""

    measures = True

    def apply(self, x: Any, mask: Any, grid: Grid, known: Known) -> Answer:  # noqa: ARG002 - as the others
        """The image as it is, and the map that will normalise it."""
        measured, finding = self.measure(view_of(x), None if mask is None else view_of(mask))
        return Answer(x, measured, finding)

    @abstractmethod
    def measure(self, view: Any, mask: Any) -> tuple[Ramp | Piecewise, Finding]:
        """The map of one volume's values, and the numbers it was made from."""


@dataclass(frozen=True, kw_only=True)
class ZScore(Normaliser):
    """`fastprep.zscore`."""

    name = "zscore"
    formula = "(x - mean) / std"

    def measure(self, view: Any, mask: Any) -> tuple[Ramp, Finding]:
        """Mean 0 and standard deviation 1."""
        found = spread_of(view, mask)
        return zscore_ramp(found), {"mean": found.mean, "std": found.std}

    def _what(self) -> str:
        return "mean and std"


@dataclass(frozen=True, kw_only=True)
class MinMax(Normaliser):
    """`fastprep.minmax`."""

    name = "minmax"
    formula = "(x - min) / (max - min)"
    out_range: tuple[float, float] = (0.0, 1.0)
    clip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = several("out_range", self.out_range, 2)
        set_fields(self, out_range=check_range(low, high, name="out_range"), clip=flag("clip", self.clip))

    def measure(self, view: Any, mask: Any) -> tuple[Ramp, Finding]:
        """The extremes to ``out_range``."""
        low, high = minmax_of(view, mask)
        return minmax_ramp(low, high, self.out_range, clip=self.clip), {"min": low, "max": high}

    def _what(self) -> str:
        return "extremes"


@dataclass(frozen=True, kw_only=True)
class Robust(Normaliser):
    """`fastprep.robust`."""

    name = "robust"
    formula = "(x - median) / IQR"

    def measure(self, view: Any, mask: Any) -> tuple[Ramp, Finding]:
        """Median 0 and interquartile range 1."""
        p25, median, p75 = robust_of(view, mask)
        return robust_ramp(p25, median, p75), {"p25": p25, "median": median, "p75": p75}

    def _what(self) -> str:
        return "quartiles"


@dataclass(frozen=True, kw_only=True)
class PercentileClip(Normaliser):
    """`fastprep.percentile_clip`."""

    name = "percentile_clip"
    formula = "clip(x, percentiles)"
    low: float = 0.5
    high: float = 99.5
    out_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = number("low", self.low), number("high", self.high)
        check_percentiles(low, high)
        set_fields(self, low=low, high=high)
        if self.out_range is not None:
            ends = several("out_range", self.out_range, 2)
            set_fields(self, out_range=check_range(ends[0], ends[1], name="out_range"))

    def measure(self, view: Any, mask: Any) -> tuple[Ramp, Finding]:
        """Held between two percentiles, and those to ``out_range``."""
        p_low, p_high = percentile_clip_of(view, mask, self.low, self.high)
        return percentile_clip_ramp(p_low, p_high, self.out_range), {"low": p_low, "high": p_high}

    def _what(self) -> str:
        return f"percentiles {self.low:g} and {self.high:g}"


@dataclass(frozen=True, kw_only=True)
class WhiteStripe(Normaliser):
    """`fastprep.white_stripe`."""

    name = "white_stripe"
    formula = "(x - mean) / std of the stripe"
    modality: str = "t1"
    width: float = 0.05
    width_low: float | None = None
    width_high: float | None = None
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_modality(self.modality)
        sides = {key: getattr(self, key) for key in ("width_low", "width_high") if getattr(self, key) is not None}
        set_fields(self, width=number("width", self.width), **{k: number(k, v) for k, v in sides.items()})
        check_width(self._sides)
        set_fields(self, bandwidth=None if self.bandwidth is None else positive("bandwidth", self.bandwidth))

    @property
    def _sides(self) -> tuple[float, float]:
        low, high = (self.width if side is None else side for side in (self.width_low, self.width_high))
        return low, high

    def measure(self, view: Any, mask: Any) -> tuple[Ramp, Finding]:
        """Mean 0 and standard deviation 1 of the white stripe."""
        found = white_stripe_of(view, mask, self.modality, self._sides, self.bandwidth)
        stripe = {"mode": found.mode, "bounds": list(found.bounds), "voxels": found.voxels}
        told = {"mean": found.mean, "std": found.std, **stripe, "modes": _modes(found.modes)}
        return white_stripe_ramp(found), told

    def _what(self) -> str:
        return f"white stripe ({self.modality})"


@dataclass(frozen=True, kw_only=True)
class KdeNormalize(Normaliser):
    """`fastprep.kde_normalize`."""

    name = "kde_normalize"
    formula = "x / mode"
    modality: str = "t1"
    norm: float = 1.0
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_modality(self.modality)
        set_fields(self, norm=positive("norm", self.norm))
        set_fields(self, bandwidth=None if self.bandwidth is None else positive("bandwidth", self.bandwidth))

    def measure(self, view: Any, mask: Any) -> tuple[Ramp, Finding]:
        """The mode of white matter to ``norm``."""
        found = kde_normalize_of(view, mask, self.modality, self.bandwidth)
        return kde_normalize_ramp(found, self.norm), {"mode": found.mode, "modes": _modes(found.modes)}

    def _what(self) -> str:
        return f"mode of white matter ({self.modality})"


@dataclass(frozen=True, kw_only=True)
class FcmNormalize(Normaliser):
    """`fastprep.fcm_normalize`."""

    name = "fcm_normalize"
    formula = "x / mean of a tissue"
    tissue: str | int = "wm"
    classes: int = 3
    modality: str = "t1"
    norm: float = 1.0
    tolerance: float = 0.005
    iterations: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        class_of(self.tissue, self.classes, self.modality)
        set_fields(
            self,
            norm=positive("norm", self.norm),
            tolerance=positive("tolerance", self.tolerance),
            iterations=count("iterations", self.iterations),
        )

    def measure(self, view: Any, mask: Any) -> tuple[Ramp, Finding]:
        """The mean of the tissue to ``norm``."""
        found = fcm_normalize_of(view, mask, self.classes, self.tolerance, self.iterations, None)
        at = class_of(self.tissue, self.classes, self.modality)
        told = {"mean": found.means[at], "means": list(found.means), "iterations": found.iterations}
        return fcm_normalize_ramp(found, at, self.norm), told

    def _what(self) -> str:
        return f"mean of {self.tissue} ({self.modality})"


def _modes(modes: Sequence[Mode]) -> list[list[float]]:
    return [[mode.value, mode.height] for mode in modes]
