"""clahe_parameters: a clip limit and tiles for an image, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ShapeError
from fastprep.ops._bias import Scan
from fastprep.ops._clahe import check_found, levels_of, marks_of, scan_for
from fastprep.ops._masked import counts_of, is_counted
from fastprep.registry import kernel

Float = npt.NDArray[np.float64]

#: Bins of the values of types that have more than 16 bits.
_BINS = 4096
#: What a tile has along an axis at the least, so that its histogram tells something.
_SMALLEST = 16


class Measures(NamedTuple):
    """Of the values between the percentiles 1 and 99, where the lowest grey level is 0 and the highest 1."""

    #: Both percentiles, their distance, and the mean.
    low: float
    high: float
    spread: float
    mean: float
    #: RMS contrast: the standard deviation.
    contrast: float
    #: The third standardised moment; 0 of a constant.
    skewness: float


@dataclass(frozen=True)
class ClaheParameters:
    """What `clahe_parameters` chose.

    Attributes
    ----------
    clip_limit, tiles : for `clahe`.
    rule : the name of the rule that held.
    why : the rule and the numbers, as a sentence.
    measures : what the rules looked at.
    """

    clip_limit: float
    tiles: tuple[int, ...]
    rule: str
    why: str
    measures: Measures

    @property
    def keywords(self) -> dict[str, Any]:
        """The first two as keywords: ``clahe(x, **parameters.keywords)``."""
        return {"clip_limit": self.clip_limit, "tiles": self.tiles}


class _Rule(NamedTuple):
    name: str
    clip_limit: float
    tiles: int
    measure: str
    limit: float
    above: bool


#: The first that holds is taken. Limits of 8-bit images as parts of their range.
_RULES = (
    _Rule("few grey levels", 3.0, 16, "spread", 50 / 255, above=False),
    _Rule("dark", 2.5, 12, "mean", 80 / 255, above=False),
    _Rule("bright", 2.0, 8, "mean", 180 / 255, above=True),
    _Rule("low contrast", 3.0, 16, "contrast", 0.1, above=False),
    _Rule("skewed to dark", 2.2, 10, "skewness", 0.5, above=True),
    _Rule("skewed to bright", 2.8, 14, "skewness", -0.5, above=False),
)
_USUAL = _Rule("usual", 2.0, 8, "", 0.0, above=True)
_WORDS = {
    "spread": "percentiles 1 to 99 span {:.0%} of the grey levels",
    "mean": "the mean is at {:.0%} of the grey levels",
    "contrast": "the standard deviation is {:.1%} of the grey levels",
    "skewness": "the skewness is {:.2f}",
}
_LIMITS = {"spread": "{:.0%}", "mean": "{:.0%}", "contrast": "{:.0%}", "skewness": "{:.1f}"}


def clahe_parameters(
    x: Any, mask: Any = None, *, value_range: tuple[float, float] | None = None, nan: str = "raise"
) -> ClaheParameters:
    """A clip limit and a number of tiles by what the grey levels are like, with the reason.

    The first rule that holds: few grey levels, p99 - p1 below 50/255 of the range: 3.0 and 16 tiles; dark, a mean below
    80/255: 2.5 and 12; bright, one above 180/255: 2.0 and 8; low contrast, an RMS contrast (standard deviation) below
    0.1: 3.0 and 16; a skewness above 0.5: 2.2 and 10, below -0.5: 2.8 and 14; else 2.0 and 8. They are
    rules of thumb for chest radiographs, no measure of quality: look at the result. No tile has fewer than about 16
    voxels along an axis.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x); one volume.
    mask : array or Image of the shape of ``x``; non-zero is inside, and only that is looked at.
    value_range, nan : as of `clahe`; of types other than uint8 the range of None is that of the values, not of the
        type, so that 12 bits in 16 are not dark.

    Returns
    -------
    ClaheParameters. All is measured in float64, of the values between the percentiles 1 and 99.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask, unless ``nan`` is "ignore".
    ArgumentError
        An empty mask, or a range out of order.
    ShapeError
        A batch, or a mask of another shape.
    DTypeError
        A mask, which has no grey levels.

    Examples
    --------
    An underexposed radiograph:

    >>> import numpy as np
    >>> chest = (np.arange(128 * 128) % 120).astype(np.uint8).reshape(128, 128)
    >>> found = clahe_parameters(chest)
    >>> found.clip_limit, found.tiles
    (2.5, (8, 8))
    >>> print(found.why)
    dark: the mean is at 23% of the grey levels, below 31%; tiles of at least 16 voxels
    """
    scan = scan_for(x, mask, None)
    if len(scan.volumes) != 1:
        msg = f"x of shape {(*scan.leading, *scan.space)}: expected one volume; loop over a batch"
        raise ShapeError(msg)
    measures = _measured(scan, value_range, nan)
    rule = next((r for r in _RULES if _holds(r, measures)), _USUAL)
    tiles = tuple(min(rule.tiles, max(n // _SMALLEST, 1)) for n in scan.space)
    why = f"{rule.name}: {_words(rule, measures)}"
    if any(t < rule.tiles for t in tiles):
        why += f"; tiles of at least {_SMALLEST} voxels"
    return ClaheParameters(rule.clip_limit, tiles, rule.name, why, measures)


def _measured(scan: Scan, value_range: tuple[float, float] | None, nan: str) -> Measures:
    marks = marks_of(scan)
    levels = levels_of(scan, marks, value_range, _BINS, nan)[0]
    found = kernel("percentile", scan.array)(scan.volumes, marks, np.array([0.01, 0.99]))
    check_found(found, marks, nan)
    if levels is None:
        return Measures(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    first, last = np.clip(found[0].quantiles(np.array([0.01, 0.99])), levels.low, levels.high).tolist()
    values, counts = _counted(scan, marks, first, last)
    scale = levels.high - levels.low
    total = counts.sum()
    low, high, mean = (first - levels.low) / scale, (last - levels.low) / scale, (first - levels.low) / scale
    if not total or first == last:
        return Measures(low, high, high - low, mean, 0.0, 0.0)
    share, scaled = counts / total, (values - levels.low) / scale
    mean = float(share @ scaled)
    contrast = math.sqrt(share @ np.square(scaled - mean))
    skewness = float(share @ (scaled - mean) ** 3) / contrast**3 if contrast else 0.0
    return Measures(low, high, high - low, mean, contrast, skewness)


def _counted(scan: Scan, marks: Any, first: float, last: float) -> tuple[Float, Float]:
    """Values from the first to the last, and how many voxels have each: exact of integers of 8 and 16 bits."""
    if is_counted(scan.volumes.dtype):
        exact = counts_of(scan.volumes[0], None if marks is None else marks[0])
        centers, held = exact.centers, exact.counts.astype(np.float64)
        return centers, np.where((centers >= first) & (centers <= last), held, 0)
    if first == last:
        return np.array([first]), np.zeros(1)
    run = kernel("histogram", scan.array)
    counts = run(scan.volumes, marks, np.array([first]), np.array([last]), _BINS)[0].astype(np.float64)
    edges = np.linspace(first, last, _BINS + 1)
    return (edges[1:] + edges[:-1]) / 2, counts


def _holds(rule: _Rule, measures: Measures) -> bool:
    value = getattr(measures, rule.measure)
    return bool(value > rule.limit if rule.above else value < rule.limit)


def _words(rule: _Rule, measures: Measures) -> str:
    """What a rule saw; of the usual what all of them did."""
    if rule is _USUAL:
        return ", ".join(_WORDS[name].format(getattr(measures, name)) for name in _WORDS)
    limit = f"{'above' if rule.above else 'below'} {_LIMITS[rule.measure].format(rule.limit)}"
    return f"{_WORDS[rule.measure].format(getattr(measures, rule.measure))}, {limit}"
