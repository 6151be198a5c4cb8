from __future__ import annotations

import numpy as np
import pytest

from fastprep.core.fuzzy import fuzzy_means, memberships, spread_out, tissue_means
from oracles import skfuzzy_means

RNG = np.random.default_rng(0)
SAMPLE = np.rint(RNG.normal(RNG.choice([40, 95, 150], 4000, p=[0.2, 0.5, 0.3]), 14)).clip(0, 255)
VALUES, COUNTS = (part.astype(np.float64) for part in np.unique(SAMPLE, return_counts=True))


@pytest.mark.parametrize("start", [(30, 90, 160), (95, 96, 97), (10, 200)])
@pytest.mark.parametrize(("tolerance", "iterations"), [(0.005, 50), (1e-8, 7), (0.3, 50)])
def test_it_is_scikit_fuzzys(start, tolerance, iterations):
    """Voxel by voxel there, by counts here: the same centres, memberships, and end."""
    centers = np.array(start, np.float64)
    found = fuzzy_means(VALUES, COUNTS, centers, tolerance=tolerance, iterations=iterations)
    theirs, shares, done = skfuzzy_means(SAMPLE, memberships(SAMPLE, centers), tolerance, iterations)
    assert found.iterations == done
    np.testing.assert_allclose(found.centers, theirs, rtol=1e-9)
    np.testing.assert_allclose(memberships(SAMPLE, found.centers), shares, atol=1e-9)
    np.testing.assert_allclose(
        tissue_means(VALUES, COUNTS, found.centers), [np.average(SAMPLE, weights=u) for u in shares], rtol=1e-9
    )


def test_blocks_make_no_difference():
    values = np.sort(np.random.default_rng(1).random(20_000))
    counts = np.ones(values.size)
    found = fuzzy_means(values, counts, np.array([0.2, 0.9]), tolerance=1e-6, iterations=9)
    theirs, _, done = skfuzzy_means(values, memberships(values, np.array([0.2, 0.9])), 1e-6, 9)
    assert found.iterations == done
    np.testing.assert_allclose(found.centers, theirs, rtol=1e-9)


@pytest.mark.parametrize(("scale", "offset"), [(1e-20, 0.0), (1e12, 0.0), (3.0, -700.0)])
def test_units_make_no_difference(scale, offset):
    start = np.array([30.0, 90, 160])
    one = fuzzy_means(VALUES, COUNTS, start, tolerance=0.005, iterations=50)
    other = fuzzy_means(VALUES * scale + offset, COUNTS, start * scale + offset, tolerance=0.005, iterations=50)
    assert one.iterations == other.iterations
    np.testing.assert_allclose((other.centers - offset) / scale, one.centers, rtol=1e-9)


@pytest.mark.parametrize("classes", [2, 3, 5, 9])
def test_starts_differ_where_voxels_tie(classes):
    values, counts = np.arange(9.0), np.array([1, 1, 1, 10**6, 1, 1, 1, 1, 1.0])
    start = spread_out(values, counts, classes)
    assert np.unique(start).size == classes
    even = spread_out(np.arange(1001.0), np.ones(1001), 3)
    np.testing.assert_array_equal(even, [100, 500, 900])


def test_a_value_on_a_centre_is_wholly_of_its_class():
    found = memberships(np.array([1.0, 5, 9]), np.array([1.0, 9]))
    np.testing.assert_allclose(found.T, [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-30)
