"""How much of two masks is the same: Dice, IoU, what was found and what was not, and volumes.

Counts are exact and ratios float64, of masks on the host or on a GPU. Overlap flatters large organs, distance
(`fastprep.qc.surface`) small ones: print both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastprep.core.image import Image
from fastprep.core.namespace import shape_of
from fastprep.qc._masks import counts_of
from fastprep.qc._spacing import spacing_of


class Volumes(NamedTuple):
    """Of two masks in mm3, and how much larger the second is: 0.1 is 10 %."""

    a_mm3: float
    b_mm3: float
    change: float


def dice(a: Any, b: Any) -> float:
    """Overlap of two masks, ``2 |a and b| / (|a| + |b|)``: 1 is the same, 0 is apart.

    Two empty masks agree: 1. Where one alone is empty it is 0.

    Parameters
    ----------
    a, b : masks of one shape, bool or whole numbers of which non-zero is inside; Images must lie on one grid.

    Raises
    ------
    ShapeError, GeometryError
        Masks of other shapes, or Images on other grids.
    DTypeError
        Floats: decide first, ``p > 0.5``.
    DeviceError
        Masks on different devices.

    References
    ----------
    Dice, Ecology 26(3), 1945.

    Examples
    --------
    A tumour of two voxels, one of them found, and one that is none:

    >>> dice([True, True, False], [True, False, True])
    0.5
    """
    found = counts_of(a, b)
    total = 2 * found.both + found.a_alone + found.b_alone
    return 2 * found.both / total if total else 1.0


def iou(a: Any, b: Any) -> float:
    """Intersection over union, ``|a and b| / |a or b|`` (Jaccard 1912): Dice's order of masks on a harsher scale.

    Two empty masks agree: 1. Masks and errors as `dice`.

    Examples
    --------
    >>> round(iou([True, True, False], [True, False, True]), 3)
    0.333
    """
    found = counts_of(a, b)
    union = found.both + found.a_alone + found.b_alone
    return found.both / union if union else 1.0


def sensitivity(truth: Any, found: Any) -> float:
    """The share of the truth that was found, ``TP / (TP + FN)``, also called recall; NaN where there is none.

    Masks and errors as `dice`.

    Examples
    --------
    >>> sensitivity([True, True, False, False], [True, False, True, False])
    0.5
    """
    counts = counts_of(truth, found)
    return _share(counts.both, counts.a_alone)


def specificity(truth: Any, found: Any) -> float:
    """The share of what is not the truth that was left alone, ``TN / (TN + FP)``; NaN where there is none.

    Nearly 1 for any mask of a small organ, because most of a scan is neither. Masks and errors as `dice`.

    Examples
    --------
    >>> round(specificity([True, False, False, False], [True, True, False, False]), 3)
    0.667
    """
    counts = counts_of(truth, found)
    return _share(counts.neither, counts.b_alone)


def precision(truth: Any, found: Any) -> float:
    """The share of what was found that is true, ``TP / (TP + FP)``; NaN where nothing was found.

    Masks and errors as `dice`.

    Examples
    --------
    >>> precision([True, True, False, False], [True, True, True, True])
    0.5
    """
    counts = counts_of(truth, found)
    return _share(counts.both, counts.b_alone)


def volumes(a: Any, b: Any, spacing: Sequence[float] | None = None) -> Volumes:
    """The volumes of two masks in mm3 (mm2 of two axes), and ``(b - a) / a``: NaN where both are empty.

    Parameters
    ----------
    a, b : masks of one shape (z, y, x) or (y, x), as `dice` takes them.
    spacing : mm along each axis; Images bring their own.

    Raises
    ------
    ArgumentError
        No spacing.
    ShapeError, GeometryError, DTypeError, DeviceError
        As `dice`; also for a spacing of another length, or not above 0.

    Examples
    --------
    A lesion that grew from two voxels to three:

    >>> volumes([[True, True, False]], [[True, True, True]], (2.0, 0.5))
    Volumes(a_mm3=2.0, b_mm3=3.0, change=0.5)
    """
    counts = counts_of(a, b)
    voxel = math.prod(spacing_of(a, b, spacing, np.ndim(a) if isinstance(a, (list, tuple)) else _axes(a)))
    first, second = counts.both + counts.a_alone, counts.both + counts.b_alone
    change = (second - first) / first if first else math.inf if second else math.nan
    return Volumes(first * voxel, second * voxel, change)


def _axes(x: Any) -> int:
    return len(shape_of(x.array if isinstance(x, Image) else x))


def _share(good: int, bad: int) -> float:
    return good / (good + bad) if good + bad else math.nan
