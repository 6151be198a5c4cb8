from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from fastprep.core.density import modes, share_below, silverman
from fastprep.core.distribution import Distribution
from oracles import statsmodels_density


def distribution(values, bins=None):
    if bins is None:
        low = int(values.min())
        return Distribution(float(low), 1.0, np.bincount(values - low).astype(np.uint64))
    counts, edges = np.histogram(values, bins)
    return Distribution((edges[0] + edges[1]) / 2, edges[1] - edges[0], counts.astype(np.uint64))


def test_heights_are_those_of_statsmodels():
    """A kernel density estimate of the very voxels, at each of the modes."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(90, 7, 3000), rng.normal(150, 9, 5000)])
    found = modes(distribution(values, 1 << 16), 4.0)
    assert len(found) == 2
    for mode in found:
        near = mode.value + np.array([-0.05, 0, 0.05])
        low, middle, high = statsmodels_density(values, 4.0, near)
        assert middle == pytest.approx(mode.height, rel=1e-5)
        assert middle > max(low, high)


def test_the_rule_of_silverman_is_that_of_statsmodels():
    from oracles import peer

    values = np.random.default_rng(1).gamma(3, 20, 4000)
    theirs = peer("statsmodels.nonparametric.bandwidths").bw_silverman(values)
    # Theirs has another constant for the interquartile range: 1.349.
    assert silverman(distribution(values, 1 << 16)) == pytest.approx(theirs, rel=0.01)


@settings(max_examples=25)
@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.floats(20, 80), st.floats(1.5, 6))
def test_a_gaussian_has_its_mode_at_its_mean(low, width, mean, sigma):
    """Between bins too, at the height that it has."""
    k = np.arange(101)
    counts = np.round(1e9 * np.exp(-0.5 * ((k - mean) / sigma) ** 2)).astype(np.uint64)
    d = Distribution(low, width, counts)
    (mode,) = modes(d, 3 * width)
    assert (mode.value - low) / width == pytest.approx(mean, abs=1e-4)
    assert share_below(d, 3 * width, mode.value) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("length", [1, 2, 5, 40])
def test_a_plateau_has_its_mode_in_the_middle(length):
    counts = np.zeros(101, np.uint64)
    counts[30 : 30 + length] = 7
    (mode,) = modes(Distribution(0.0, 1.0, counts), 2.0)
    assert mode.value == pytest.approx(30 + (length - 1) / 2, abs=1e-6)


def test_ends_are_modes_too():
    """Zeros of the background are not overlooked, but found where they are."""
    counts = np.zeros(101, np.uint64)
    counts[0], counts[60], counts[100] = 100, 80, 90
    assert [round(m.value, 6) for m in modes(Distribution(0.0, 1.0, counts), 3.0)] == [0, 60, 100]


def test_what_is_rare_is_no_tissue():
    counts = np.zeros(201, np.uint64)
    counts[40], counts[100], counts[160] = 19, 100, 21
    assert [round(m.value) for m in modes(Distribution(0.0, 1.0, counts), 3.0)] == [100, 160]


@pytest.mark.parametrize("scale", [1.0, 3.7, 0.013])
def test_integers_stored_as_floats_have_the_modes_of_integers(scale):
    """No value becomes a mode of its own, whatever the bins do between them."""
    rng = np.random.default_rng(2)
    values = np.rint(rng.normal(np.repeat([60, 110], 40000), 8)).astype(int)
    one, other = distribution(values), distribution(values * scale, 1 << 16)
    here, there = silverman(one), silverman(other)
    assert there == pytest.approx(here * scale, rel=2e-3)
    assert len(modes(one, here)) == len(modes(other, there)) == 2
    for a, b in zip(modes(one, here), modes(other, there), strict=True):
        assert b.value / scale == pytest.approx(a.value, abs=0.02)


def test_few_voxels_of_many_values_are_smoothed_across_their_steps():
    values = 10 * np.random.default_rng(4).normal(80, 4, 100_000).astype(int)
    assert silverman(distribution(values)) >= 15
    assert len(modes(distribution(values), silverman(distribution(values)))) == 1


def test_share_below_is_smooth_and_right():
    values = np.random.default_rng(5).integers(0, 200, 5000)
    d = distribution(values)
    for at in (-1e4, 3.2, 99.5, 1e4):
        assert share_below(d, 5.0, at) == pytest.approx(norm.cdf((at - values) / 5).mean(), abs=1e-12)
