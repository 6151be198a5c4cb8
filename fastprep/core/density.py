"""How values are spread: the density of a histogram, smoothed by a Gaussian, and its modes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.distribution import Distribution

#: A maximum lower than this share of the highest belongs to the rare tails, not to a tissue.
RARE = 0.2
#: Standard deviations after which a Gaussian is nothing beside what is compared here.
_REACH = 8.0
#: Of a height beside the highest of three, so that it has a logarithm.
_LEAST = 1e-12
#: Digits of a height, relative to the highest, that rounding leaves alone.
_DIGITS = 12


class Mode(NamedTuple):
    """Where a density is highest around, and how high: the share of voxels per unit of x."""

    value: float
    height: float


def silverman(d: Distribution) -> float:
    """The bandwidth ``0.9 min(std, IQR / 1.34) n^(-1/5)`` (Silverman 1986), at least 1.5 steps between values.

    The step is the bin's width where values are continuous; numbers that came from integers lie further apart, and
    each is not to become a mode of its own.
    """
    centers, weights = d.centers, d.counts.astype(np.float64)
    share = weights / weights.sum()
    mean = float((share * centers).sum())
    spread = math.sqrt(float((share * np.square(centers - mean)).sum()))
    first, last = np.searchsorted(np.cumsum(share), (0.25, 0.75))
    iqr = (last - first) * d.width
    wide = min(spread, iqr / 1.34) if iqr else spread
    return float(max(0.9 * wide * float(d.total) ** -0.2, 1.5 * d.width * _step(d.counts, int(first), int(last))))


def modes(d: Distribution, bandwidth: float) -> list[Mode]:
    """The maxima of the density, by value; of a plateau its middle. Rare ones are left out.

    A maximum between bins is where the parabola through the logarithms of three heights is highest: exact for a
    Gaussian.
    """
    around = math.ceil(_REACH * bandwidth / d.width)
    heights = _smoothed(d.counts, bandwidth / d.width, around)
    top = float(heights.max())
    # Equal counts are smoothed to equal heights but for the last digits.
    steps = np.sign(np.diff(np.round(heights / top, _DIGITS)))
    moves = np.flatnonzero(steps)
    peaks = np.flatnonzero((steps[moves][:-1] > 0) & (steps[moves][1:] < 0))
    found = []
    for left, right in zip(moves[peaks] + 1, moves[peaks + 1], strict=True):
        if heights[left] < RARE * top:
            continue
        at = (left + right) / 2 + (_vertex(heights[left - 1 : left + 2]) if left == right else 0.0)
        found.append(Mode(float(d.low + (at - around) * d.width), float(heights[left]) / float(d.total * d.width)))
    return found


def share_below(d: Distribution, bandwidth: float, value: float) -> float:
    """The share of voxels below ``value``: the area of the smoothed density, which is smooth in ``value``.

    At a mode it differs little from the plain count, since what smoothing carries across from both sides is equal.
    """
    z = (value - d.centers) / (bandwidth * math.sqrt(2))
    near = np.abs(z) < _REACH
    weights = d.counts.astype(np.float64)
    below = float(weights[z >= _REACH].sum())
    below += math.fsum(w * 0.5 * math.erfc(-at) for w, at in zip(weights[near], z[near], strict=True) if w)
    return below / d.total


def _smoothed(counts: npt.NDArray[np.uint64], sigma: float, around: int) -> npt.NDArray[np.float64]:
    """The counts and ``around`` bins more on both sides, convolved with a Gaussian of ``sigma`` bins; 0 outside."""
    size = counts.size + 2 * around
    length = 1 << (size + 2 * around - 1).bit_length()
    kernel = np.exp(-0.5 * np.square(np.arange(-around, around + 1) / sigma))
    spectrum = np.fft.rfft(counts.astype(np.float64), length) * np.fft.rfft(kernel / kernel.sum(), length)
    return np.asarray(np.fft.irfft(spectrum, length)[:size])


def _vertex(three: npt.NDArray[np.float64]) -> float:
    """Where the parabola through the logarithms of three heights is highest, from the middle one."""
    a, b, c = np.log(np.maximum(three, _LEAST * three[1]))
    return float(0.5 * (a - c) / (a - 2 * b + c))


def _step(counts: npt.NDArray[np.uint64], first: int, last: int) -> float:
    """Bins from one value to the next, on average: in the middle half of the voxels, where tails are not."""
    held = np.flatnonzero(counts)
    middle = held[(held >= first) & (held <= last)]
    some = middle if middle.size > 2 else held
    return float(some[-1] - some[0]) / (some.size - 1) if some.size > 1 else 1.0
