"""Nyul: every scan's histogram onto one standard scale, learned from a cohort."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import check_range
from fastprep.core.errors import ArgumentError, ConfigError, NotFittedError
from fastprep.core.piecewise import MOST_KNOTS, Piecewise, through
from fastprep.fitted._cases import (
    Masks,
    are_percentiles,
    modality_in,
    modality_of,
    numbers,
    observe_all,
    same_modality,
    whole,
)
from fastprep.io.atomic import atomic_path
from fastprep.io.landmarks import read_json, read_landmarks
from fastprep.ops._each import each_volume
from fastprep.ops._masked import masked_volumes, numbers_of, quantiles_of
from fastprep.ops.foreground_mask import foreground_mask

#: As of Nyul, Udupa and Zhang, and of intensity-normalization.
PERCENTILES = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)


class Nyul:
    """Piecewise-linear histogram standardisation (Nyul, Udupa and Zhang 2000).

    The landmarks of an image are the values at ``percentiles`` of its voxels inside the mask. Fitting moves those of
    each training image by the line that takes the first and the last to ``output_range``, and averages over images: the
    standard scale. An image is transformed by the straight lines from its own landmarks to those of the standard scale;
    the first and the last line go on beyond. So MR scans of one contrast, whose numbers no scanner agrees on, get
    numbers that mean the same tissue. One Nyul is for one contrast: fit another for T2.

    Parameters
    ----------
    percentiles : strictly increasing, from 0 to 100, between 2 and 64 of them.
    output_range : what the first and the last percentile become.

    Notes
    -----
    Without a mask it is the `foreground_mask` of the image, in `fit` and in `transform` alike. Landmarks of equal
    value, as images of few grey levels have, become one, at the mean of their places on the scale. Volumes are looked
    at one after the other and not kept; the scale is a sum of exact numbers, so neither the order of cases nor how they
    are divided over workers that `merge` changes its bits. Equal to intensity-normalization 2.2.4 for equal masks.

    Examples
    --------
    Two scanners, the second with twice the signal: the same tissue gets the same number.

    >>> import numpy as np
    >>> t1 = np.arange(20.0, 221.0).reshape(1, 3, 67)
    >>> brains = [t1, 2 * t1 + 10]
    >>> nyul = Nyul().fit(brains, masks=[np.ones(t1.shape)] * 2)
    >>> [nyul.transform(x, mask=x > 0)[0, 1, 33].round(6).item() for x in brains]
    [50.5, 50.5]
    """

    def __init__(
        self, percentiles: Sequence[float] = PERCENTILES, output_range: tuple[float, float] = (1, 100)
    ) -> None:
        self.percentiles = tuple(map(float, percentiles))
        if not (2 <= len(self.percentiles) <= MOST_KNOTS and are_percentiles(self.percentiles)):
            msg = f"percentiles={self.percentiles}: expected 2 to {MOST_KNOTS}, strictly increasing, from 0 to 100"
            raise ArgumentError(msg)
        self.output_range = check_range(*output_range, name="output_range")
        self._forget()

    def _forget(self) -> None:
        self.modality: str | None = None
        #: How many volumes it was fitted on; 0 where a file does not tell.
        self.cases = 0
        self._scale: list[Fraction] | None = None  # the sum over cases, exactly

    # ---- fitting ----------------------------------------------------------------------------------------------------

    def fit(self, images: Iterable[Any], masks: Masks = None) -> Self:
        """Learn the standard scale of a cohort, and nothing of what was learned before; returns itself.

        Parameters
        ----------
        images : Images or arrays, one after the other: ``map(fastprep.load, paths)`` holds one at a time.
        masks : as many masks, a function from an image to its mask, or None for the foreground.

        Raises
        ------
        ArgumentError
            No image, not as many masks as images, two modalities, an empty mask, or an image whose first and last
            percentile are equal.
        NonFiniteError
            NaN or infinity inside a mask.
        ShapeError
            A mask of another shape than its image.
        """
        self._forget()
        observe_all(self, images, masks)
        return self

    def observe(self, x: Any, mask: Any = None) -> None:
        """Take in one more volume, or each of a batch; errors are those of `fit`."""
        self._check_counted()
        modality = same_modality(self.modality, modality_of(x))
        array, ndim = numbers_of(x)
        found = [
            self._on_range(quantiles_of(view, inside, self._q))
            for _, view, inside in masked_volumes(array, _mask(x, mask), ndim)
        ]
        self._scale = _sum(self._scale, *([Fraction(v) for v in landmarks] for landmarks in found))
        self.modality, self.cases = modality, self.cases + len(found)

    def merge(self, other: Self) -> Self:
        """What both learned, as if one had seen all cases.

        Raises
        ------
        ArgumentError
            Other percentiles, range or modality, or a scale from a file that does not tell its cases.
        """
        for key in ("percentiles", "output_range"):
            if getattr(self, key) != getattr(other, key):
                msg = f"{key}={getattr(other, key)}: expected {getattr(self, key)}, those of the other"
                raise ArgumentError(msg)
        both = type(self)(self.percentiles, self.output_range)
        both.modality = same_modality(self.modality, other.modality)
        for one in (self, other):
            one._check_counted()
            if one._scale is not None:
                both._scale = _sum(both._scale, one._scale)
                both.cases += one.cases
        return both

    def _on_range(self, landmarks: npt.NDArray[np.float64]) -> list[float]:
        first, last = landmarks[0], landmarks[-1]
        if not last > first:
            msg = f"percentiles {self.percentiles[0]:g} and {self.percentiles[-1]:g} of x are both {first:g}: no scale"
            raise ArgumentError(msg)
        low, high = self.output_range
        moved: list[float] = (low + (landmarks - first) * ((high - low) / (last - first))).tolist()
        return moved

    def _check_counted(self) -> None:
        if self._scale is not None and not self.cases:
            msg = "the scale comes from a file that does not tell how many cases it is of: nothing can be added to it"
            raise ArgumentError(msg)

    # ---- applying ---------------------------------------------------------------------------------------------------

    @property
    def is_fitted(self) -> bool:
        """Whether there is a standard scale."""
        return self._scale is not None

    @property
    def landmarks(self) -> tuple[float, ...]:
        """The standard scale: the values that the percentiles become.

        Raises
        ------
        NotFittedError
            Nothing was observed.
        """
        if self._scale is None:
            msg = "Nyul has no standard scale yet: call fit(images) or load(path) first"
            raise NotFittedError(msg)
        return tuple(float(total / max(self.cases, 1)) for total in self._scale)

    def transform(self, x: Any, mask: Any = None) -> Any:
        """``x`` on the standard scale, outside the mask too; each volume of a batch by its own landmarks.

        Parameters
        ----------
        x : Image, or array (..., z, y, x) or (y, x).
        mask : array or Image of the space axes of ``x``, or of its whole shape; a function from ``x`` to it; None is
            the foreground.

        Returns
        -------
        What ``x`` was: floats keep their type, integers become float32.

        Raises
        ------
        NotFittedError
            Nothing was observed.
        ArgumentError
            Another modality than that of `fit`, an empty mask, or one value only inside it.
        NonFiniteError
            NaN or infinity inside the mask.
        ShapeError
            A mask of another shape.
        """
        self.landmarks  # noqa: B018  (asked first, so that it fails before any work)
        same_modality(self.modality, modality_of(x))
        return each_volume(x, _mask(x, mask), self.map_of)

    def map_of(self, view: Any, mask: Any) -> Piecewise:
        """The map of one volume, given as kernels see it."""
        return self.map_from(quantiles_of(view, mask, self._q))

    def map_from(self, values: Iterable[float]) -> Piecewise:
        """The map of an image whose values at the percentiles are these."""
        values = tuple(values)
        found = through(values, self.landmarks)
        if found is None:
            msg = f"x is constant at all of its percentiles, {values[0]:g}: its values tell nothing apart"
            raise ArgumentError(msg)
        return found

    @property
    def _q(self) -> list[float]:
        return [p / 100 for p in self.percentiles]

    # ---- keeping ----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain form, as JSON and YAML take it."""
        form: dict[str, Any] = {"percentiles": list(self.percentiles), "output_range": list(self.output_range)}
        if self.is_fitted:
            form |= {"landmarks": list(self.landmarks), "cases": self.cases}
        return form | ({"modality": self.modality} if self.modality else {})

    @classmethod
    def from_dict(cls, form: Any) -> Self:
        """Of a ``to_dict`` form.

        Raises
        ------
        ConfigError
            It is none.
        """
        try:
            made = cls(numbers(form, "percentiles"), numbers(form, "output_range", 2))  # type: ignore[arg-type]
        except ArgumentError as error:
            raise ConfigError(str(error)) from error
        if "landmarks" in form:
            made._take(numbers(form, "landmarks", len(made.percentiles)), whole(form, "cases"))
        made.modality = modality_in(form)
        return made

    def _take(self, landmarks: Sequence[float], count: int) -> None:
        self.cases = count
        self._scale = [Fraction(v) * max(count, 1) for v in landmarks]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the standard scale: as JSON, or for ``.npy`` as intensity-normalization reads it.

        Raises
        ------
        NotFittedError
            Nothing was observed.
        WriteError
            The operating system refused.
        """
        table = np.array([self.landmarks, self.percentiles])
        with atomic_path(path) as temporary:
            if Path(path).suffix.lower() == ".npy":
                np.save(temporary, table)
            else:
                temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str], name: str | None = None) -> Self:
        """Of a file: its own JSON, intensity-normalization's standard histogram, or TorchIO's landmarks.

        Parameters
        ----------
        path : ``.json``; ``.npy`` of both libraries; ``.pt`` or ``.pth`` of TorchIO, which needs PyTorch.
        name : which of the images a ``.pt`` has landmarks of; None where there is one.

        Raises
        ------
        ReadError
            No such file.
        ConfigError
            It holds no standard scale, or several and no ``name``.
        """
        if Path(path).suffix.lower() == ".json":
            return cls.from_dict(read_json(path))
        percentiles, landmarks = read_landmarks(path, name)
        try:
            made = cls(percentiles, (landmarks[0], landmarks[-1]))
        except ArgumentError as error:
            msg = f"{os.fspath(path)}: {error}"
            raise ConfigError(msg) from error
        made._take(landmarks, 0)
        return made

    def __repr__(self) -> str:
        return (
            f"Nyul({len(self.percentiles)} percentiles, {self.cases} cases)" if self.is_fitted else "Nyul(not fitted)"
        )


def _sum(*scales: list[Fraction] | None) -> list[Fraction]:
    return [sum(column, Fraction(0)) for column in zip(*filter(None, scales), strict=True)]


def _mask(x: Any, mask: Any) -> Any:
    if mask is None:
        return foreground_mask(x)
    return mask(x) if callable(mask) else mask
