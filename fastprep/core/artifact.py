"""What metal does to the tissue around it: figures in HU, and the words for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_Values = npt.NDArray[np.float64]

#: Words for how badly metal spoils the tissue around it; "none" is a scan without metal.
SEVERITIES = ("none", "minimal", "mild", "moderate", "severe")
#: Soft tissue, fat included, and its mean and standard deviation where a scan shows none without artifact; HU.
_SOFT, _USUAL = (-150.0, 250.0), (20.0, 60.0)
#: What neighbouring rays differ by there, a root of a mean square in HU.
USUAL_RAY = 8.0
#: Beyond these values count as these. Of the whole range the first, of what is compared voxel by voxel the second.
_WHOLE, _TISSUE = (-1000.0, 2000.0), (-350.0, 450.0)


@dataclass(frozen=True)
class Definition:
    """The constants of the measure, in mm, ml and HU.

    ``inner`` mm from metal are partial volume; up to ``outer`` mm are its surroundings, and rays are ``ray`` mm long.
    Air (HU < ``air``) and bone (HU > ``bone``) that a ball of ``ball`` mm fits into are no tissue, nor is what lies
    within ``rim`` mm of them, nor what a ball of ``thin`` mm does not fit into. The reference is ``along`` mm of
    slices, or what is ``far`` mm away in the same slices, and at least ``least_ml``. The ``most`` largest implants are
    looked at. ``thresholds`` are the index from which on artifacts are mild, moderate and severe.
    """

    inner: float = 2.0
    outer: float = 20.0
    ray: float = 40.0
    air: float = -400.0
    bone: float = 250.0
    ball: float = 4.0
    rim: float = 2.0
    thin: float = 3.0
    along: float = 40.0
    far: float = 60.0
    least_ml: float = 5.0
    most: int = 24
    thresholds: tuple[float, float, float] = (15.0, 25.0, 60.0)

    def severity(self, index: float) -> str:
        """The word for an index of a scan with metal."""
        return SEVERITIES[1 + sum(index >= limit for limit in self.thresholds)]


@dataclass(frozen=True)
class ImplantArtifact:
    """The artifact around one implant, in HU; 0 where its surroundings are no worse than the reference.

    ``label`` is that of the report's region. ``shadow`` and ``streak`` are how much darker and brighter than soft
    tissue its surroundings are on average, ``spread`` is what the artifact adds to their standard deviation and ``ray``
    to that between neighbouring rays. ``index = sqrt(shadow^2 + ray^2)`` decides on ``severity``: bone that is nowhere
    else in the scan is bright too, but neither dark nor different from ray to ray. ``tissue_ml`` was looked at, and
    compared with the ``reference``: "along the body", "far from metal" or "none".
    """

    label: int
    severity: str
    index: float
    shadow: float
    streak: float
    spread: float
    ray: float
    tissue_ml: float
    reference: str


@dataclass(frozen=True)
class Artifact:
    """How badly metal spoils the tissue of a scan, apart from how much metal there is: as around the worst implant.

    ``index``, ``shadow``, ``streak``, ``spread`` and ``ray`` are that implant's figures in HU, 0 without metal.
    ``implants`` has those of each that was looked at, the largest first, ``notes`` what could not be. What is as fine
    as streaks counts as such: around metal in the air cells of the temporal bone the figures are too high.
    """

    severity: str = "none"
    index: float = 0.0
    shadow: float = 0.0
    streak: float = 0.0
    spread: float = 0.0
    ray: float = 0.0
    implants: tuple[ImplantArtifact, ...] = ()
    notes: tuple[str, ...] = ()
    definition: Definition = field(default=Definition())

    def to_dict(self) -> dict[str, Any]:
        """Plain form, for JSON."""
        form = asdict(self)
        form["definition"]["thresholds"] = list(self.definition.thresholds)
        return {**form, "implants": list(form["implants"]), "notes": list(self.notes)}


class Fan(NamedTuple):
    """Points on rays from one place: (rays, points) of a plane, and which of them are to be looked at."""

    middle: tuple[float, float]
    row: _Values
    column: _Values
    seen: npt.NDArray[np.bool_]


def worst_of(implants: Sequence[ImplantArtifact], notes: Sequence[str], definition: Definition) -> Artifact:
    """The artifact of a scan from those of its implants."""
    if not implants:
        return Artifact(notes=tuple(notes), definition=definition)
    worst = max(implants, key=lambda one: one.index)
    figures = {k: getattr(worst, k) for k in ("severity", "index", "shadow", "streak", "spread", "ray")}
    return Artifact(**figures, implants=tuple(implants), notes=tuple(notes), definition=definition)


def soft_range(reference: _Values) -> tuple[float, float]:
    """Mean -+ 2 standard deviations of the soft tissue among values; of the usual one where there is too little."""
    soft = reference[(reference >= _SOFT[0]) & (reference <= _SOFT[1])]
    mean, std = (float(soft.mean()), float(soft.std())) if soft.size > 1 else _USUAL
    return mean - 2 * std, mean + 2 * std


def deviations(values: _Values, low: float, high: float) -> tuple[float, float]:
    """Means of ``max(0, low - v)`` and ``max(0, v - high)``."""
    if not values.size:
        return 0.0, 0.0
    held = np.clip(values, *_WHOLE)
    return float(np.maximum(low - held, 0).mean()), float(np.maximum(held - high, 0).mean())


def variance(values: _Values) -> float:
    """Of tissue: values far beyond count less."""
    return float(np.clip(values, *_TISSUE).var()) if values.size else 0.0


def upper(levels: Sequence[float], weights: Sequence[int]) -> float:
    """Weighted mean of levels and one standard deviation: what is more is hardly chance."""
    total = sum(weights)
    if not total:
        return 0.0
    mean = sum(w * x for w, x in zip(weights, levels, strict=True)) / total
    return mean + math.sqrt(sum(w * (x - mean) ** 2 for w, x in zip(weights, levels, strict=True)) / total)


def fan_of(part: npt.NDArray[np.bool_], spacing: tuple[float, float], rays: int, inner: float, length: float) -> Fan:
    """Rays from the middle of a part of a plane: ``length`` mm from ``inner`` mm behind where each leaves the part."""
    row, column = np.nonzero(part)
    middle = float(row.mean()), float(column.mean())
    step = min(spacing)
    reach = float(np.hypot((row - middle[0]) * spacing[0], (column - middle[1]) * spacing[1]).max())
    along = np.arange(0, reach + inner + length + step, step)
    turn = np.arange(rays)[:, None] * (2 * math.pi / rays)
    points = middle[0] + np.sin(turn) * along / spacing[0], middle[1] + np.cos(turn) * along / spacing[1]
    inside, at = _nearest(*points, part.shape)
    last = np.where(inside & part[at], along, 0).max(axis=1, keepdims=True) + inner
    return Fan(middle, *points, inside & (along > last) & (along <= last + length))


def ray_differences(plane: _Values, tissue: npt.NDArray[np.bool_], fan: Fan, least: int) -> _Values:
    """How much each ray differs from the mean of its two neighbours, where all three are tissue; NaN below ``least``.

    ``plane`` is interpolated between its voxels.
    """
    if min(plane.shape) < 2:
        return np.full(len(fan.row), np.nan)
    held = np.clip(plane, *_TISSUE)
    inside, at = _nearest(fan.row, fan.column, plane.shape)
    seen = fan.seen & inside & tissue[at]
    i = np.clip(np.floor(fan.row), 0, plane.shape[0] - 2).astype(np.int64)
    j = np.clip(np.floor(fan.column), 0, plane.shape[1] - 2).astype(np.int64)
    p, q = np.clip(fan.row - i, 0, 1), np.clip(fan.column - j, 0, 1)
    upper, lower = (held[k, j] * (1 - q) + held[k, j + 1] * q for k in (i, i + 1))
    value = upper * (1 - p) + lower * p
    all_three = seen & np.roll(seen, 1, axis=0) & np.roll(seen, -1, axis=0)
    differs = value - (np.roll(value, 1, axis=0) + np.roll(value, -1, axis=0)) / 2
    count = all_three.sum(axis=1)
    mean = np.where(all_three, differs, 0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count >= least, mean, np.nan)


def mean_square(differences: _Values) -> tuple[float, int]:
    """Of those that are no NaN, and how many those are."""
    there = differences[np.isfinite(differences)]
    return (float(np.square(there).mean()) if there.size else 0.0), there.size


def excess(square: float, reference: float) -> float:
    """The root of what a mean square has more than its reference, 0 where it has less."""
    return math.sqrt(max(0.0, square - reference))


def _nearest(row: _Values, column: _Values, shape: Sequence[int]) -> tuple[npt.NDArray[np.bool_], tuple[Any, Any]]:
    """Which points lie in a plane, and the voxel nearest to each."""
    i, j = np.rint(row).astype(np.int64), np.rint(column).astype(np.int64)
    inside = (i >= 0) & (i < shape[0]) & (j >= 0) & (j < shape[1])
    return inside, (i.clip(0, shape[0] - 1), j.clip(0, shape[1] - 1))
