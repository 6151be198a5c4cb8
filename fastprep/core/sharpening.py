"""Sharpening of a histogram: what a smooth field has done to it, undone in part (Sled et al. 1998, N3)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]

#: Standard deviations of normal noise to the median of its absolute value.
_MAD = 1.4826


def transform_size(bins: int) -> int:
    """Bins of the padded histogram: a power of two, at least twice as many."""
    return int(2 ** (math.ceil(math.log2(bins)) + 1))


def step_between(low: float, high: float, bins: int) -> float:
    """The distance of bins in float32, as ITK has it."""
    return float((np.float32(high) - np.float32(low)) / np.float32(bins - 1))


def sharpened(counts: _Array, low: float, slope: float, fwhm: float, noise: float) -> _Array:
    """The expected value without the field for each bin at ``low + k slope``.

    A Wiener deconvolution of the counts by a Gaussian of ``fwhm`` gives the sharp histogram U; what a bin is expected
    to be is then ``G * (value U) / (G * U)``.
    """
    bins = counts.size
    size = transform_size(bins)
    start = (size - bins) // 2
    padded = np.zeros(size)
    padded[start : start + bins] = counts
    width = fwhm / slope
    far = np.minimum(np.arange(size), size - np.arange(size))
    blur = np.fft.rfft(2 * math.sqrt(math.log(2) / math.pi) / width * np.exp(-4 * math.log(2) * far**2 / width**2)).real
    deblurred = np.maximum(np.fft.irfft(np.fft.rfft(padded) * (blur / (blur**2 + noise)), size), 0)
    values = low + (np.arange(size) - start) * slope
    above = np.fft.irfft(np.fft.rfft(values * deblurred) * blur, size)
    below = np.fft.irfft(np.fft.rfft(deblurred) * blur, size)
    expected = np.divide(above, below, out=np.zeros(size), where=below != 0)
    return np.asarray(expected[start : start + bins])


def spread_around(expected: _Array, counts: _Array, low: float, slope: float) -> float:
    """The standard deviation of values around what is expected of them, by the median of their distances.

    Counts between two distances, in bins, are shared between both, so that the median is continuous in all it is made
    of; it is at least half a bin.
    """
    bins = counts.size
    away = np.minimum(np.abs(low + slope * np.arange(bins) - expected) / slope, bins - 1)
    base = np.floor(away).astype(int)
    part, above = away - base, np.minimum(base + 1, bins - 1)
    near = np.bincount(base, counts * (1 - part), bins) + np.bincount(above, counts * part, bins)
    before = np.concatenate([[0], np.cumsum(near)])
    middle = int(np.searchsorted(before[1:-1], before[-1] / 2, side="right"))
    median = middle - 0.5 + (before[-1] / 2 - before[middle]) / near[middle]
    return _MAD * max(float(median), 0.5) * slope
