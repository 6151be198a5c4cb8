from __future__ import annotations

import numpy as np
import pytest

from fastprep.core.sharpening import sharpened, spread_around, step_between, transform_size

BINS, LOW, SLOPE = 200, 3.0, 0.01


def blurred(peaks, fwhm):
    values = LOW + SLOPE * np.arange(BINS)
    sigma = fwhm / (2 * np.sqrt(2 * np.log(2)))
    return sum(1000 * np.exp(-0.5 * ((values - p) / sigma) ** 2) for p in peaks)


def test_blurred_peaks_are_expected_where_they_were():
    """What a field of that width has spread is taken back to its peak."""
    peaks, fwhm = (3.6, 4.4), 0.15
    expected = sharpened(blurred(peaks, fwhm), LOW, SLOPE, fwhm, 0.01)
    for peak in peaks:
        near = np.abs(LOW + SLOPE * np.arange(BINS) - peak) < fwhm / 2
        assert np.abs(expected[near] - peak).max() < 0.03, "of 0.075 before"


def test_nothing_becomes_negative():
    counts = np.zeros(BINS)
    counts[[10, 11, 150]] = 5
    expected = sharpened(counts, LOW, SLOPE, 0.15, 0.01)
    assert np.isfinite(expected).all()
    assert expected[10] < expected[150]


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_spread_of_normal_values(sigma):
    counts = blurred((4.0,), sigma * 2 * np.sqrt(2 * np.log(2)))
    assert spread_around(np.full(BINS, 4.0), counts, LOW, SLOPE) == pytest.approx(sigma, rel=0.02)


def test_spread_is_at_least_half_a_bin():
    counts = np.zeros(BINS)
    counts[[20, 150]] = 7
    values = LOW + SLOPE * np.arange(BINS)
    assert spread_around(values, counts, LOW, SLOPE) == pytest.approx(1.4826 * 0.5 * SLOPE)


def test_outliers_do_not_spread():
    counts = blurred((4.0,), 0.1)
    with_few = counts.copy()
    with_few[-1] += 0.02 * counts.sum()
    alone, together = (spread_around(np.full(BINS, 4.0), c, LOW, SLOPE) for c in (counts, with_few))
    assert together == pytest.approx(alone, rel=0.05)


def test_sizes():
    assert [transform_size(n) for n in (2, 200, 256, 257, 512)] == [4, 512, 512, 1024, 1024]
    assert step_between(1.0, 2.0, 201) == float(np.float32(1) / np.float32(200))
