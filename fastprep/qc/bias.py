"""Figures of bias correction: how strong a field is, how uniform each tissue, and how alike two fields are.

All are of the voxels inside a mask and in float64. Over a whole image they would praise whatever darkens the head
towards its background. Arrays are of any library, on the host, or Images; answers are Python numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError
from fastprep.qc._host import array_of

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FieldStatistics:
    """Of a multiplicative field whose geometric mean is 1: a gain of 1.2 is 20 % too bright.

    ``percentiles`` are by per cent. ``cv`` is ``std / mean``, the share of an image's spread that the field makes.
    """

    mean: float
    std: float
    cv: float
    min: float
    max: float
    percentiles: dict[int, float]


def field_statistics(log_field: Any, mask: Any = None) -> FieldStatistics:
    """The strength of a field ``exp(log_field - mean(log_field))``, inside the mask.

    Parameters
    ----------
    log_field : array or Image of any shape, natural logarithm of the field.
    mask : of the same shape, non-zero inside; by default every voxel.

    Raises
    ------
    ShapeError, ArgumentError, NonFiniteError
        A mask of another shape, an empty mask, NaN or infinity inside it.

    Examples
    --------
    Half of the voxels twice as bright as the other half:

    >>> import numpy as np
    >>> field = field_statistics(np.log([1.0, 1.0, 2.0, 2.0]))
    >>> round(field.min, 3), round(field.max, 3), round(field.cv, 3)
    (0.707, 1.414, 0.333)
    """
    (logs,) = _inside(mask, log_field=log_field)
    gain = np.exp(logs - logs.mean())
    mean, std = float(gain.mean()), float(gain.std())
    percentiles = dict(zip(_PERCENTILES, np.percentile(gain, _PERCENTILES).tolist(), strict=True))
    return FieldStatistics(mean, std, std / mean, float(gain.min()), float(gain.max()), percentiles)


def tissue_cv(x: Any, labels: Any, mask: Any = None) -> dict[int, float]:
    """Coefficient of variation of each tissue, ``std / mean`` (of the population) by label; 0 is background.

    A bias field makes every tissue less uniform, so correction must lower this; what noise, partial volume and the
    tissue itself leave is the best that can be reached. Dividing by the mean makes it blind to gain.

    Parameters
    ----------
    x : array or Image, intensities.
    labels : of the same shape, whole numbers or bool.
    mask : of the same shape, non-zero inside; by default every voxel.

    Raises
    ------
    ArgumentError
        No label inside the mask, or a tissue whose mean is 0.
    ShapeError, DTypeError, NonFiniteError
        Shapes that differ, labels that are no whole numbers, NaN or infinity in a tissue.

    Examples
    --------
    Grey (1) and white (2) matter:

    >>> tissue_cv([[90.0, 110.0], [300.0, 300.0]], [[1, 1], [2, 2]])
    {1: 0.1, 2: 0.0}
    """
    values, marks = _labelled(x, labels, mask)
    found = {}
    for label in np.unique(marks[marks != 0]).tolist():
        mean, std = _moments(values, marks, label)
        if mean == 0:
            msg = f"x has mean 0 where labels are {label}: a coefficient of variation needs another"
            raise ArgumentError(msg)
        found[int(label)] = std / abs(mean)
    if not found:
        msg = "labels hold no voxel other than 0 inside the mask: expected at least one tissue"
        raise ArgumentError(msg)
    return found


def joint_cv(x: Any, labels: Any, a: int, b: int, mask: Any = None) -> float:
    """Coefficient of joint variation of two tissues, ``(std_a + std_b) / |mean_a - mean_b|``.

    Their overlap: unlike the variation of one tissue it does not fall when a correction flattens the contrast between
    them. Likar, Viergever and Pernus, IEEE TMI 20(12), 2001.

    Raises
    ------
    ArgumentError
        A label without voxels inside the mask, or two tissues of the same mean.
    ShapeError, DTypeError, NonFiniteError
        As `tissue_cv`.

    Examples
    --------
    >>> joint_cv([90.0, 110.0, 290.0, 310.0], [1, 1, 2, 2], 1, 2)
    0.1
    """
    values, marks = _labelled(x, labels, mask)
    (mean_a, std_a), (mean_b, std_b) = (_moments(values, marks, label) for label in (a, b))
    if mean_a == mean_b:
        msg = f"labels {a} and {b} have the same mean {mean_a:g}: expected two tissues that differ"
        raise ArgumentError(msg)
    return (std_a + std_b) / abs(mean_a - mean_b)


def field_correlation(a: Any, b: Any, mask: Any = None) -> float:
    """Pearson's correlation of two log fields inside the mask.

    Fields are known up to a factor, which is a constant of their logarithms and drops out.

    Raises
    ------
    ArgumentError
        An empty mask, or a field that is constant in it.
    ShapeError, NonFiniteError
        Shapes that differ, NaN or infinity inside the mask.

    Examples
    --------
    >>> round(field_correlation([0.0, 0.1, 0.2], [1.0, 1.1, 1.2]), 9)
    1.0
    """
    first, second = (values - values.mean() for values in _inside(mask, a=a, b=b))
    lengths = []
    for name, values in (("a", first), ("b", second)):
        lengths.append(float(np.sqrt(values @ values)))
        # Not its length: a constant less its rounded mean is not quite 0.
        if np.ptp(values) == 0:
            msg = f"{name} is constant inside the mask: its correlation is not defined"
            raise ArgumentError(msg)
    return float(np.clip(first @ second / (lengths[0] * lengths[1]), -1, 1))


def _labelled(x: Any, labels: Any, mask: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Intensities and labels, 0 outside the mask."""
    values, marks = array_of(x, "x"), array_of(labels, "labels")
    if marks.dtype.kind not in "biu":
        msg = f"labels of dtype {marks.dtype}: expected whole numbers or bool"
        raise DTypeError(msg)
    _check_shape(marks, values.shape, "labels")
    if mask is not None:
        inside = array_of(mask, "mask")
        _check_shape(inside, values.shape, "mask")
        marks = np.where(inside != 0, marks, 0)
    return values, marks


def _moments(values: npt.NDArray[Any], marks: npt.NDArray[Any], label: int) -> tuple[float, float]:
    tissue = values[marks == label].astype(np.float64)
    if not tissue.size:
        msg = f"label {label} has no voxel inside the mask"
        raise ArgumentError(msg)
    _check_finite(tissue, "x")
    return float(tissue.mean()), float(tissue.std())


def _inside(mask: Any, **arrays: Any) -> list[_Values]:
    """The values of each array inside the mask."""
    views = {name: array_of(x, name) for name, x in arrays.items()}
    shape = next(iter(views.values())).shape
    chosen: Any = ...
    if mask is not None:
        marks = array_of(mask, "mask")
        _check_shape(marks, shape, "mask")
        chosen = marks != 0
    found = []
    for name, view in views.items():
        _check_shape(view, shape, name)
        values = view[chosen].astype(np.float64).ravel()
        if not values.size:
            msg = "mask is empty: expected at least one voxel inside"
            raise ArgumentError(msg)
        _check_finite(values, name)
        found.append(values)
    return found


def _check_shape(x: npt.NDArray[Any], shape: tuple[int, ...], name: str) -> None:
    if x.shape != shape:
        msg = f"{name} of shape {x.shape}: expected {shape}, one value per voxel"
        raise ShapeError(msg)


def _check_finite(values: _Values, name: str) -> None:
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        msg = f"{name} holds {bad} values inside the mask that are NaN or infinite"
        raise NonFiniteError(msg)
