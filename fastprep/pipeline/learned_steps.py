"""The steps that training cases tell the numbers of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastprep.core.errors import ArgumentError
from fastprep.core.piecewise import Piecewise
from fastprep.core.ramp import Ramp
from fastprep.fitted.dataset import DatasetStatistics
from fastprep.fitted.nyul import PERCENTILES
from fastprep.fitted.nyul import Nyul as Scale
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import quantiles_of
from fastprep.ops.fcm_normalize import order_of
from fastprep.ops.least_squares_normalize import (
    Three,
    check_means,
    least_squares_normalize_of,
    least_squares_normalize_ramp,
)
from fastprep.pipeline.barriers import check_mask
from fastprep.pipeline.learned import LearnedStep
from fastprep.pipeline.normalisers import Normaliser
from fastprep.pipeline.run import FOREGROUND, Finding
from fastprep.pipeline.steps import IntensityStep
from fastprep.pipeline.values import number, positive, sequence, set_fields, several


@dataclass(frozen=True, kw_only=True)
class Nyul(Normaliser, LearnedStep):
    """`fastprep.Nyul`: what the training cases' percentiles are on the standard scale is in ``landmarks``."""

    name = "nyul"
    formula = "standard scale"
    bends = True
    percentiles: tuple[float, ...] = tuple(map(float, PERCENTILES))
    output_range: tuple[float, float] = (1.0, 100.0)
    landmarks: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        percentiles = tuple(number("percentiles", p) for p in sequence("percentiles", self.percentiles))
        low, high = several("output_range", self.output_range, 2)
        set_fields(self, percentiles=percentiles, output_range=(low, high))
        if self.landmarks is not None:
            set_fields(self, landmarks=several("landmarks", self.landmarks, len(percentiles)))
        self._nyul()

    def _nyul(self) -> Scale:
        form = {"percentiles": list(self.percentiles), "output_range": list(self.output_range)}
        if self.landmarks is not None:
            form["landmarks"] = list(self.landmarks)
        return Scale.from_dict(form)

    def measure(self, view: Any, mask: Any) -> tuple[Piecewise, Finding]:
        """The straight lines from the image's percentiles to the landmarks."""
        values = quantiles_of(view, mask, [p / 100 for p in self.percentiles]).tolist()
        return self._nyul().map_from(values), {"percentiles": values}

    @property
    def is_fitted(self) -> bool:
        """Whether there is a standard scale."""
        return self.landmarks is not None

    def learner(self) -> Scale:
        """Of the standard scale."""
        return self._nyul()

    def learned(self, learner: Scale) -> Nyul:
        """With the scale that was learned."""
        return replace(self, landmarks=learner.landmarks)

    def summary(self) -> str:
        """The landmarks."""
        return "landmarks " + _told(self.landmarks)

    def _what(self) -> str:
        return f"{len(self.percentiles)} percentiles"


@dataclass(frozen=True, kw_only=True)
class DatasetNormalize(IntensityStep, LearnedStep):
    """Clip at percentiles of all training voxels, then ``(x - mean) / std`` of them all, as nnU-Net prepares CT.

    ``mask`` is where training cases are looked at: "foreground", or None for every voxel. Without ``percentiles`` it
    is a global z-score.
    """

    name = "dataset_normalize"
    mask: str | None = FOREGROUND
    percentiles: tuple[float, float] | None = (0.5, 99.5)
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        check_mask(self.mask)
        if self.percentiles is not None:
            low, high = several("percentiles", self.percentiles, 2)
            set_fields(self, percentiles=(low, high))
            DatasetStatistics(self.percentiles)
        known = [self.mean, self.std] + ([self.low, self.high] if self.percentiles else [])
        if any(v is not None for v in known) and any(v is None for v in known):
            msg = f"mean={self.mean}, std={self.std}, low={self.low}, high={self.high}: expected all of them, or none"
            raise ArgumentError(msg)
        if self.is_fitted:
            set_fields(self, mean=number("mean", self.mean), std=positive("std", self.std))
            set_fields(self, **{k: number(k, getattr(self, k)) for k in ("low", "high") if self.percentiles})
            _ = self.ramps

    @property
    def ramps(self) -> list[Ramp]:
        """The clip and the scale in one."""
        if self.mean is None or self.std is None:
            return []
        scale = Ramp(1 / self.std, -self.mean / self.std)
        if self.low is None or self.high is None:
            return [scale]
        return [Ramp(lo=self.low, hi=self.high).then(scale)]

    @property
    def is_fitted(self) -> bool:
        """Whether mean and standard deviation are known."""
        return self.mean is not None

    def learner(self) -> DatasetStatistics:
        """Of all voxels."""
        return DatasetStatistics(self.percentiles or (50.0,))

    def learned(self, learner: DatasetStatistics) -> DatasetNormalize:
        """With the numbers of all voxels seen."""
        ends = dict.fromkeys(("low", "high"))
        if self.percentiles is not None:
            low, high = map(learner.percentile, self.percentiles)
            ends = {"low": low, "high": high}
        return replace(self, mean=learner.mean, std=learner.std, **ends)

    def summary(self) -> str:
        """The numbers."""
        clip = "" if self.percentiles is None else f", clipped to {_told((self.low or 0.0, self.high or 0.0))}"
        return f"mean {self.mean or 0.0:.6g}, std {self.std or 0.0:.6g}{clip}"


@dataclass(frozen=True, kw_only=True)
class LeastSquaresNormalize(Normaliser, LearnedStep):
    """`fastprep.least_squares_normalize` to the average of the training cases' means in units of fluid's."""

    name = "least_squares_normalize"
    formula = "x / scale"
    modality: str = "t1"
    standard: Three | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        order_of(self.modality)
        if self.standard is not None:
            csf, gm, wm = several("standard", self.standard, 3)
            set_fields(self, standard=check_means((csf, gm, wm), "standard"))

    def measure(self, view: Any, mask: Any) -> tuple[Ramp, Finding]:
        """The factor that brings the means of the tissues nearest to the standard."""
        means = least_squares_normalize_of(view, mask, order_of(self.modality))
        scale, ramp = least_squares_normalize_ramp(means, self.standard or check_means(means, "x"))
        return ramp, {"means": list(means), "scale": scale}

    @property
    def is_fitted(self) -> bool:
        """Whether there is a standard."""
        return self.standard is not None

    def learner(self) -> TissueMeans:
        """Of the means of the tissues."""
        return TissueMeans(self.modality)

    def learned(self, learner: TissueMeans) -> LeastSquaresNormalize:
        """With their average for a standard."""
        return replace(self, standard=learner.standard)

    def summary(self) -> str:
        """The standard."""
        return "means " + _told(self.standard)

    def _what(self) -> str:
        return f"means of three tissues ({self.modality})"


class TissueMeans:
    """Means of fluid, grey and white matter in units of fluid's, added up over cases."""

    def __init__(self, modality: str) -> None:
        self.modality = modality
        self._total = np.zeros(3)
        self._cases = 0

    def observe(self, x: Any, mask: Any = None) -> None:
        """Take in one volume."""
        mask = mask(x) if callable(mask) else mask
        found = least_squares_normalize_of(view_of(x), None if mask is None else view_of(mask), order_of(self.modality))
        means = check_means(found, "x")
        self._total = self._total + np.array(means) / means[0]
        self._cases += 1

    def merge(self, other: TissueMeans) -> TissueMeans:
        """Both together."""
        both = TissueMeans(self.modality)
        both._total, both._cases = self._total + other._total, self._cases + other._cases
        return both

    @property
    def standard(self) -> Three:
        """Their average."""
        csf, gm, wm = (self._total / self._cases).tolist()
        return csf, gm, wm


def _told(values: Iterable[float] | None) -> str:
    return ", ".join(f"{value:.5g}" for value in values or ())
