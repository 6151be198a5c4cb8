from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.fuzzy import memberships
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same
from layouts import same_error, tolerance
from normaliser_cases import MEANS, brain, standardised
from oracles import skfuzzy_means

TOL = tolerance("least_squares_normalize")


def means_of(x, mask):
    """Means over the whole image, weighted by memberships, as intensity-normalization 2.2.4 takes them."""
    v = x[mask].astype(np.float64)
    _, shares, _ = skfuzzy_means(v, memberships(v, np.percentile(v, (10, 50, 90))), 0.005, 50)
    whole = np.zeros((3, *x.shape))
    whole[:, mask] = shares
    return np.array([np.average(x, weights=w) for w in whole])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_it_is_intensity_normalizations(backend, put, dtype):
    """The first image sets the standard, by its fluid; the others come near it."""
    first, mask = brain(dtype=dtype)
    second = np.where(first > 60, first * 0.8 + 30, first).astype(dtype)
    ruler = fp.least_squares_normalize(put(first), mask=put(mask))
    means = means_of(first, mask)
    rtol = 1e-9 if dtype == "uint8" else 1e-4
    np.testing.assert_allclose(ruler.means, means, rtol=rtol)
    np.testing.assert_allclose(ruler.standard, means / means[0], rtol=rtol)
    assert ruler.scale == pytest.approx(ruler.means[0])
    assert_same(ruler.normalized, standardised(first, 1 / ruler.scale), put(first), tolerance=TOL)

    found = fp.least_squares_normalize(put(second), mask=put(mask), standard=ruler.standard)
    m, s = means_of(second, mask).reshape(3, 1), (means / means[0]).reshape(3, 1)
    assert found.scale == pytest.approx(((m.T @ m) / (m.T @ s)).item(), rel=rtol)
    assert found.standard == ruler.standard and found.ramp == Ramp(1 / found.scale)
    assert_same(found.normalized, standardised(second, 1 / found.scale), put(second), tolerance=TOL)


def test_tissues_found_elsewhere(backend, put):
    x, mask = brain("t2", "int16")
    x[0, 0, 0] = 32767
    parts = [mask & (x > 160), mask & (x > 95) & (x <= 160), mask & (x <= 95)]
    found = fp.least_squares_normalize(put(x), tissues=[put(p) for p in parts], standard=(3, 2, 1))
    m = np.array([x[p].mean(dtype=np.float64) for p in parts])
    np.testing.assert_allclose(found.means, m, rtol=1e-12)
    assert found.scale == pytest.approx((m @ m) / (m @ np.array([3, 2, 1])), rel=1e-12)


def test_tissues_are_ordered_by_the_modality(backend, put):
    x, mask = brain("t2", "uint8")
    found = fp.least_squares_normalize(put(x), mask=put(mask), modality="t2")
    np.testing.assert_allclose(found.means, MEANS["t2"], atol=8)


def test_images_and_libraries(xp):
    x, mask = brain(dtype="float32", shape=(8, 13, 12))
    grid = Grid.from_spacing(x.shape, (2, 1, 1))
    found = fp.least_squares_normalize(Image(xp.asarray(x), grid), mask=xp.asarray(mask))
    assert found.normalized.grid is grid
    assert_same(found.normalized.array, standardised(x, 1 / found.scale), xp.asarray(x), tolerance=TOL)


def test_errors(backend, put):
    x, mask = brain(dtype="float32")
    where = put(mask)

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.least_squares_normalize(put(given), **{"mask": where, **how}), error, match)

    fails(ArgumentError, r"standard with means \(1, 2\): expected three finite ones above 0", standard=(1, 2))
    fails(ArgumentError, r"standard with means \(1, 2, 0\)", standard=(1, 2, 0))
    fails(ArgumentError, "x with means .*: expected three finite ones above 0, .* before it was standardised", x - 90)
    fails(ArgumentError, "mask and tissues: expected three masks", tissues=[where] * 3)
    fails(ArgumentError, "tissues of length 2: expected three masks", mask=None, tissues=[where] * 2)
    fails(ArgumentError, "expected three masks", mask=None, tissues=[where, where, None])
    fails(ArgumentError, "mask holds no voxel", mask=None, tissues=[where, where, put(np.zeros_like(mask))])
    fails(NonFiniteError, "inside the mask", np.where(x > 155, np.nan, x), mask=None, tissues=[where] * 3)
    fails(ArgumentError, "modality='ct'", modality="ct")
    fails(ShapeError, "expected one volume", np.stack([x, x]))
