"""Taps: partition of unity, exact on polynomials, equal to SciPy, and as blurred as promised."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given
from hypothesis import strategies as st

from fastprep.core.taps import Taps, axis_taps

SCALES = st.one_of(st.floats(0.05, 6), st.floats(-6, -0.05), st.sampled_from([1.0, -1.0, 0.5, 2.0]))
OFFSETS = st.one_of(st.floats(-20, 40), st.integers(-40, 80).map(lambda n: n / 2))
ORDERS = st.sampled_from([0, 1, 3])
SIZES = st.integers(1, 40)


def apply(taps: Taps, signal: np.ndarray) -> np.ndarray:
    """The outputs that lie inside."""
    return (taps.weight * signal[taps.index]).sum(axis=0)[taps.start : taps.stop]


def coordinates(scale: float, offset: float, m: int) -> np.ndarray:
    return np.round(scale * np.arange(m) + offset, 9)


@given(SCALES, OFFSETS, SIZES, SIZES, ORDERS, st.booleans())
def test_weights_sum_to_one_and_indices_are_in_range(
    scale: float, offset: float, m: int, n: int, order: int, antialias: bool
) -> None:
    taps = axis_taps(scale, offset, m, n, order=order, antialias=antialias)
    assert taps.index.shape == taps.weight.shape == (len(taps.index), m)
    assert taps.index.min() >= 0
    assert taps.index.max() < n
    np.testing.assert_allclose(taps.weight.sum(axis=0), 1, atol=1e-9)
    if order < 3:
        assert (taps.weight >= 0).all()


@given(SCALES, OFFSETS, SIZES, SIZES, ORDERS)
def test_inside_is_half_a_voxel_around_the_field(scale: float, offset: float, m: int, n: int, order: int) -> None:
    taps = axis_taps(scale, offset, m, n, order=order)
    at = coordinates(scale, offset, m)
    inside = np.zeros(m, dtype=bool)
    inside[taps.start : taps.stop] = True
    np.testing.assert_array_equal(inside, (at >= -0.5) & (at < n - 0.5))


@given(SCALES, OFFSETS, SIZES, SIZES)
def test_nearest_takes_the_upper_of_a_tie(scale: float, offset: float, m: int, n: int) -> None:
    taps = axis_taps(scale, offset, m, n, order=0)
    at = coordinates(scale, offset, m)[taps.start : taps.stop]
    np.testing.assert_array_equal(apply(taps, np.arange(n)), np.floor(at + 0.5))


@given(SCALES, OFFSETS, SIZES, SIZES, st.floats(-3, 3), st.floats(-1000, 1000))
def test_linear_reproduces_ramps_and_holds_the_edge(
    scale: float, offset: float, m: int, n: int, slope: float, start: float
) -> None:
    taps = axis_taps(scale, offset, m, n, order=1)
    at = np.clip(coordinates(scale, offset, m), 0, n - 1)[taps.start : taps.stop]
    np.testing.assert_allclose(apply(taps, slope * np.arange(n) + start), slope * at + start, atol=1e-8)


@given(SCALES, OFFSETS, SIZES, SIZES)
def test_cubic_is_scipys_spline(scale: float, offset: float, m: int, n: int) -> None:
    signal = np.random.default_rng(n).normal(size=n)
    coefficients = ndi.spline_filter1d(signal, 3, mode="mirror") if n > 1 else signal
    taps = axis_taps(scale, offset, m, n, order=3)
    at = coordinates(scale, offset, m)[taps.start : taps.stop]
    expected = ndi.map_coordinates(signal, [at], order=3, mode="mirror") if n > 1 else np.full(at.size, signal[0])
    np.testing.assert_allclose(apply(taps, coefficients), expected, atol=1e-9)


@given(st.floats(0.1, 2), st.floats(0, 1), st.tuples(*[st.floats(-1, 1)] * 4))
def test_cubic_reproduces_cubics_away_from_borders(
    scale: float, offset: float, polynomial: tuple[float, float, float, float]
) -> None:
    # The mirror's kink fades by 2 - sqrt(3) a voxel: below 1e-11 of its size after 20.
    n, far = 80, 30
    x = (np.arange(n) - n / 2) / n
    coefficients = ndi.spline_filter1d(np.polyval(polynomial, x), 3, mode="mirror")
    taps = axis_taps(scale, far + offset, math.floor((n - 2 * far - 1) / scale), n, order=3)
    at = coordinates(scale, far + offset, taps.index.shape[1])
    np.testing.assert_allclose(apply(taps, coefficients), np.polyval(polynomial, (at - n / 2) / n), atol=1e-10)


@given(SIZES, SIZES, ORDERS, st.booleans())
def test_whole_voxels_are_copied(n: int, m: int, order: int, antialias: bool) -> None:
    taps = axis_taps(1.0, 0.0, m, n, order=order, antialias=antialias)
    signal = np.random.default_rng(n).normal(size=n)
    # Antialiased cubic taps hold the prefilter themselves.
    filtered = order == 3 and n > 1 and not antialias
    coefficients = ndi.spline_filter1d(signal, 3, mode="mirror") if filtered else signal
    np.testing.assert_allclose(apply(taps, coefficients), signal[: min(n, m)], atol=1e-10)


@given(st.floats(2.5, 6), st.floats(0, 1), st.sampled_from([1, 3]))
def test_antialias_blurs_to_the_point_spread_of_the_new_spacing(step: float, offset: float, order: int) -> None:
    n, middle = 400, 200
    taps = axis_taps(step, middle + offset, 8, n, order=order, antialias=True)
    at = coordinates(step, middle + offset, 8)
    mean = (taps.weight * taps.index).sum(axis=0)
    variance = (taps.weight * (taps.index - mean) ** 2).sum(axis=0)
    sigma = math.sqrt(step**2 - 1) / (2 * math.sqrt(2 * math.log(2)))
    t = at - np.floor(at)
    np.testing.assert_allclose(mean, at, atol=1e-6)
    # A spline has no second moment of its own, linear interpolation t (1 - t). The Gaussian is sampled and cut off at
    # 4 sigma; below a step of 2.5 sampling makes it narrower, as in SciPy and TorchIO.
    np.testing.assert_allclose(variance, sigma**2 + (t * (1 - t) if order == 1 else 0), rtol=0.02)


@given(st.floats(-1, 1).filter(lambda k: abs(k) > 0.05), OFFSETS, SIZES, SIZES, ORDERS)
def test_antialias_does_nothing_to_finer_grids(scale: float, offset: float, m: int, n: int, order: int) -> None:
    plain = axis_taps(scale, offset, m, n, order=order)
    smooth = axis_taps(scale, offset, m, n, order=order, antialias=True)
    signal = np.random.default_rng(n).normal(size=n)
    coefficients = ndi.spline_filter1d(signal, 3, mode="mirror") if order == 3 and n > 1 else signal
    np.testing.assert_allclose(apply(smooth, signal), apply(plain, coefficients), atol=1e-10)


@given(st.floats(1.01, 5), OFFSETS, SIZES, SIZES, st.sampled_from([1, 3]))
def test_antialias_is_blur_then_interpolation(step: float, offset: float, m: int, n: int, order: int) -> None:
    """The merged taps are SciPy's Gaussian, then its interpolation of the blurred signal."""
    signal = np.random.default_rng(n).normal(size=n)
    sigma = math.sqrt(step**2 - 1) / (2 * math.sqrt(2 * math.log(2)))
    radius = int(4 * sigma + 0.5)
    blurred = ndi.gaussian_filter1d(signal, sigma, radius=radius, mode="nearest") if radius else signal
    plain = axis_taps(step, offset, m, n, order=order)
    coefficients = ndi.spline_filter1d(blurred, 3, mode="mirror") if order == 3 and n > 1 else blurred
    expected = apply(plain, coefficients)
    merged = axis_taps(step, offset, m, n, order=order, antialias=True)
    np.testing.assert_allclose(apply(merged, signal), expected, atol=1e-8)


def test_a_tenth_three_times_is_on_the_tie() -> None:
    # 0.1 * 5 is 0.5 and 3 * 0.1 is 0.30000000000000004: neither may fall on the wrong side.
    assert axis_taps(0.1, 0.2, 4, 2, order=0).index[0].tolist() == [0, 0, 0, 1]
    assert axis_taps(0.1, -0.5 - 0.3, 5, 2, order=0).start == 3


@pytest.mark.parametrize("order", [0, 1, 3])
def test_nothing_inside(order: int) -> None:
    taps = axis_taps(1.0, 100.0, 5, 4, order=order)
    assert (taps.start, taps.stop) == (0, 0)
