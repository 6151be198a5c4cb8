"""DatasetStatistics: what all voxels of a cohort are like together, nnU-Net's fingerprint."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fastprep.core.errors import ArgumentError, ConfigError, NoKernelError, NotFittedError
from fastprep.core.image import Image
from fastprep.core.moments import Moments
from fastprep.core.namespace import device_of
from fastprep.core.order_statistics import of_counts
from fastprep.core.ramp import Ramp
from fastprep.core.spectrum import Spectrum
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
from fastprep.io.landmarks import read_json
from fastprep.ops._masked import counts_of, is_counted, masked_volumes, moments_of, numbers_of, spread_of
from fastprep.ops._pointwise import apply_ramps

#: nnU-Net clips CT at the first and the last.
PERCENTILES = (0.5, 50, 99.5)
_NNUNET = {"percentile_00_5": 0.5, "median": 50.0, "percentile_99_5": 99.5}


@dataclass(frozen=True)
class _Summary:
    """What a file tells."""

    count: int
    mean: float
    std: float
    low: float
    high: float


class DatasetStatistics:
    """Count, mean, standard deviation, extremes and percentiles of all voxels inside the masks of a cohort.

    As of one array of all these voxels, but streamed: a volume is looked at and forgotten. Moments are exact sums.
    Percentiles are those of values cut to 13 significant bits: whole numbers up to 8192 in magnitude, as HU are, are
    exact, others within 2**-13 (0.012 %) of themselves.

    For nnU-Net's CT normalisation (Isensee et al. 2021) fit it on the voxels of all foreground classes; nnU-Net itself
    looks at a random sample of them.

    Parameters
    ----------
    percentiles : those that `to_dict` keeps; strictly increasing, from 0 to 100. `transform` clips at the first and the
        last.

    Notes
    -----
    Without a mask it is every voxel.

    Examples
    --------
    Two livers, and a scan put on the scale of both:

    >>> import numpy as np
    >>> scans = [np.array([[-1000, 40, 60]], np.int16), np.array([[60, 40, -1000]], np.int16)]
    >>> liver = DatasetStatistics().fit(scans, masks=lambda x: x > 0)
    >>> liver.count, liver.mean, liver.std, liver.percentile(99.5)
    (4, 50.0, 10.0, 60.0)
    >>> liver.transform(scans[0]).tolist()
    [[-1.0, -1.0, 1.0]]
    """

    def __init__(self, percentiles: Sequence[float] = PERCENTILES) -> None:
        self.percentiles = tuple(map(float, percentiles))
        if not (self.percentiles and are_percentiles(self.percentiles)):
            msg = f"percentiles={self.percentiles}: expected numbers from 0 to 100, strictly increasing"
            raise ArgumentError(msg)
        self._forget()

    def _forget(self) -> None:
        self.modality: str | None = None
        self.cases = 0
        self._moments: Moments | None = None
        self._spectrum: Spectrum | None = None
        # Of a file, which tells no more.
        self._summary: _Summary | None = None
        self._values: tuple[float, ...] = ()

    # ---- fitting ----------------------------------------------------------------------------------------------------

    def fit(self, images: Iterable[Any], masks: Masks = None) -> Self:
        """Learn from a cohort, and nothing of what was learned before; returns itself.

        Parameters
        ----------
        images : Images or arrays, one after the other: ``map(fastprep.load, paths)`` holds one at a time.
        masks : as many masks, a function from an image to its mask, or None for every voxel.

        Raises
        ------
        ArgumentError
            No image, not as many masks as images, two modalities, or an empty mask.
        NonFiniteError
            NaN or infinity inside a mask.
        ShapeError
            A mask of another shape than its image.
        NoKernelError
            Floats on a GPU; integers of 8 and 16 bits are counted there.
        """
        self._forget()
        observe_all(self, images, masks)
        return self

    def observe(self, x: Any, mask: Any = None) -> None:
        """Take in one more volume, or each of a batch; errors are those of `fit`."""
        self._check_counted()
        modality = same_modality(self.modality, modality_of(x))
        mask = mask(x) if callable(mask) else mask
        spectrum = self._spectrum or Spectrum()
        found = _counted(x, mask, spectrum)
        before = [] if self._moments is None else [self._moments]
        self._moments, self._spectrum = _together([*before, *found]), spectrum
        self.modality, self.cases = modality, self.cases + len(found)

    def merge(self, other: Self) -> Self:
        """What both learned, as if one had seen all cases.

        Raises
        ------
        ArgumentError
            Other percentiles or another modality, or numbers from a file that holds no counts.
        """
        if self.percentiles != other.percentiles:
            msg = f"percentiles={other.percentiles}: expected {self.percentiles}, those of the other"
            raise ArgumentError(msg)
        both = type(self)(self.percentiles)
        both.modality = same_modality(self.modality, other.modality)
        for one in (self, other):
            one._check_counted()
            if one._moments is not None and one._spectrum is not None:
                both._spectrum = both._spectrum or Spectrum()
                both._spectrum.merge(one._spectrum)
                both._moments = _together([m for m in (both._moments, one._moments) if m is not None])
                both.cases += one.cases
        return both

    def _check_counted(self) -> None:
        if self._summary is not None:
            msg = "the statistics come from a file without counts: nothing can be added to them"
            raise ArgumentError(msg)

    # ---- what it knows ----------------------------------------------------------------------------------------------

    @property
    def is_fitted(self) -> bool:
        """Whether there are any numbers."""
        return self._moments is not None or self._summary is not None

    @property
    def _numbers(self) -> Moments | _Summary:
        found = self._summary or self._moments
        if found is None:
            msg = "DatasetStatistics has seen no voxel yet: call fit(images) or load(path) first"
            raise NotFittedError(msg)
        return found

    @property
    def count(self) -> int:
        """How many voxels; 0 where a file does not tell."""
        return self._numbers.count

    @property
    def mean(self) -> float:
        """Their mean."""
        return self._numbers.mean

    @property
    def std(self) -> float:
        """Their standard deviation (ddof 0)."""
        return self._numbers.std

    @property
    def low(self) -> float:
        """The smallest."""
        return self._numbers.low

    @property
    def high(self) -> float:
        """The largest."""
        return self._numbers.high

    def percentile(self, q: float) -> float:
        """The value at a percentile, from 0 to 100, by the line between neighbours.

        Raises
        ------
        ArgumentError
            Another one than the file has that the statistics come from.
        """
        self._numbers  # noqa: B018  (asked first: without any there is nothing to look up)
        if not 0 <= q <= 100:
            msg = f"q={q}: expected a percentile from 0 to 100"
            raise ArgumentError(msg)
        if self._spectrum is not None:
            values, counts = self._spectrum.values_and_counts()
            at = np.array([q / 100])
            return float(of_counts(counts.astype(np.uint64), values, 0, at).quantiles(at)[0])
        if q not in self.percentiles:
            msg = f"q={q}: expected one of {self.percentiles}, which the file has"
            raise ArgumentError(msg)
        return self._values[self.percentiles.index(q)]

    # ---- applying ---------------------------------------------------------------------------------------------------

    def transform(self, x: Any, *, clip: bool = True) -> Any:
        """``x`` on the cohort's scale: clipped to the first and the last percentile, less the mean, over the std.

        Parameters
        ----------
        x : Image, or array of any shape; all of it is mapped.
        clip : False leaves the clipping out: z-scores of the cohort.

        Returns
        -------
        What ``x`` was: floats keep their type, integers become float32.

        Raises
        ------
        NotFittedError
            Nothing was observed.
        ArgumentError
            Another modality than that of `fit`, or a cohort of one value.
        """
        ramp = self.ramp(clip=clip)
        same_modality(self.modality, modality_of(x))
        array, _ = numbers_of(x)
        result = apply_ramps(array, [ramp])
        return x.with_array(result) if isinstance(x, Image) else result

    def ramp(self, *, clip: bool = True) -> Ramp:
        """The Ramp of `transform`."""
        mean, std = self.mean, self.std
        if not std > 0:
            msg = f"the cohort is constant, {mean:g}: its values tell nothing apart"
            raise ArgumentError(msg)
        scale = Ramp(1 / std, -mean / std)
        ends = self.percentile(self.percentiles[0]), self.percentile(self.percentiles[-1])
        return Ramp(lo=ends[0], hi=ends[1]).then(scale) if clip else scale

    # ---- keeping ----------------------------------------------------------------------------------------------------

    def to_dict(self, *, counts: bool = False) -> dict[str, Any]:
        """Plain form, as JSON and YAML take it; ``counts`` keeps all that `merge` and `observe` need."""
        form: dict[str, Any] = {"percentiles": list(self.percentiles)}
        if self.is_fitted:
            form["values"] = [self.percentile(q) for q in self.percentiles]
            form |= {key: getattr(self, key) for key in ("count", "mean", "std", "low", "high", "cases")}
        if counts and self._moments is not None and self._spectrum is not None:
            values, totals = self._spectrum.values_and_counts()
            form["counts"] = {"m2": [self._moments.m2], "values": values.tolist(), "totals": totals.tolist()}
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
            made = cls(numbers(form, "percentiles"))
        except ArgumentError as error:
            raise ConfigError(str(error)) from error
        made.modality = modality_in(form)
        if "mean" not in form:
            return made
        mean, std, low, high = (numbers({key: [form.get(key)]}, key)[0] for key in ("mean", "std", "low", "high"))
        count, made.cases = whole(form, "count"), whole(form, "cases")
        if "counts" not in form:
            made._summary = _Summary(count, mean, std, low, high)
            made._values = numbers(form, "values", len(made.percentiles))
            return made
        kept = form["counts"]
        made._moments = Moments(count, mean, numbers(kept, "m2", 1)[0], low, high, 0)
        values = numbers(kept, "values")
        made._spectrum = Spectrum()
        made._spectrum.add(np.array(values), np.array(numbers(kept, "totals", len(values))))
        return made

    def save(self, path: str | os.PathLike[str], *, counts: bool = False) -> None:
        """Write the ``to_dict`` form as JSON.

        Raises
        ------
        WriteError
            The operating system refused.
        """
        text = json.dumps(self.to_dict(counts=counts), indent=None if counts else 2)
        with atomic_path(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str], channel: int = 0) -> Self:
        """Of a file: its own JSON, or nnU-Net's ``dataset_fingerprint.json`` or plans, of one channel.

        Raises
        ------
        ReadError
            No such file.
        ConfigError
            It holds no such statistics.
        """
        form = read_json(path)
        channels = form.get("foreground_intensity_properties_per_channel") if isinstance(form, dict) else None
        if channels is None:
            return cls.from_dict(form)
        found = channels.get(str(channel)) if isinstance(channels, dict) else None
        if not isinstance(found, dict):
            msg = f"{os.fspath(path)} has no channel {channel}"
            raise ConfigError(msg)
        names = {"mean": "mean", "std": "std", "low": "min", "high": "max"}
        own = {key: found.get(name) for key, name in names.items()}
        values = [found.get(name) for name in _NNUNET]
        return cls.from_dict({**own, "percentiles": list(_NNUNET.values()), "values": values})

    def __repr__(self) -> str:
        told = f"{self.cases} cases, {self.count} voxels" if self.is_fitted else "not fitted"
        return f"DatasetStatistics({told})"


def _counted(x: Any, mask: Any, spectrum: Spectrum) -> list[Moments]:
    """The moments of each volume in physical units; their voxels are counted once all are known to be sound."""
    stored = x.array if isinstance(x, Image) else x
    rescale = x.rescale if isinstance(x, Image) else Ramp()
    ndim = x.grid.ndim if isinstance(x, Image) else None
    volumes = [(view, inside) for _, view, inside in masked_volumes(stored, mask, ndim)]
    dtype = volumes[0][0].dtype
    if is_counted(dtype) and rescale == Ramp(rescale.a, rescale.b):
        exact = [counts_of(view, inside) for view, inside in volumes]
        for one in exact:
            spectrum.add(rescale(one.centers), one.counts)
        return [_rescaled(one.moments(), rescale) for one in exact]
    if device_of(stored) == "gpu":
        msg = (
            f"DatasetStatistics of {dtype} on a GPU: expected integers of 8 or 16 bits there. "
            "fastprep never moves data by itself: pass x.cpu() (PyTorch) or x.get() (CuPy)"
        )
        raise NoKernelError(msg)
    array, _ = numbers_of(x)
    volumes = [(view, inside) for _, view, inside in masked_volumes(array, mask, ndim)]
    found = [_sound(view, inside) for view, inside in volumes]
    for view, inside in volumes:
        spectrum.add(view if inside is None else view[inside != 0])
    return found


def _sound(view: Any, mask: Any) -> Moments:
    """The moments of one volume, which may be constant."""
    found = moments_of(view, mask)
    if found.nonfinite or not found.count:
        spread_of(view, mask)  # raises what is to be said
    return found


def _rescaled(found: Moments, rescale: Ramp) -> Moments:
    """The moments of values through a Ramp without bounds."""
    low, high = sorted((rescale.a * found.low + rescale.b, rescale.a * found.high + rescale.b))
    return Moments(found.count, rescale.a * found.mean + rescale.b, rescale.a**2 * found.m2, low, high, 0)


def _together(found: Sequence[Moments]) -> Moments:
    """All of them by Chan's formula."""
    if len(found) == 1:
        return found[0]
    return Moments.of_chunks(np.array([[m.count, m.count * m.mean, m.m2, m.low, m.high, 0] for m in found]))
