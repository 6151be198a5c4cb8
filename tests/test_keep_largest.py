from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, ShapeError
from fastprep.testing.assertions import assert_same
from layouts import same_error


def truth(mask, count=1, connectivity=None):
    labels, _ = ndi.label(mask, ndi.generate_binary_structure(mask.ndim, connectivity or mask.ndim))
    sizes = np.bincount(labels.ravel())[1:]
    return np.isin(labels, 1 + np.argsort(-sizes, kind="stable")[:count])


def masks(shape=(3, 9, 10, 14), seed=0):
    return np.random.default_rng(seed).random(shape) < 0.15


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_volumes_of_a_batch(backend, put, count):
    given = masks()
    there = put(given)
    assert_same(fp.keep_largest(there, count), np.stack([truth(m, count) for m in given]), there, tolerance=0)


def test_neighbours_and_planes(backend, put):
    given = masks()[0]
    there, plane = put(given), put(given[4])
    assert_same(fp.keep_largest(there, connectivity=6), truth(given, 1, 1), there, tolerance=0)
    assert_same(fp.keep_largest(plane, 2, connectivity=4), truth(given[4], 2, 1), plane, tolerance=0)
    assert_same(fp.keep_largest(plane), truth(given[4]), plane, tolerance=0)


def test_integers_become_bool_and_the_mask_stays(backend, put):
    for dtype in ("uint8", "int16", "int64"):
        given = (masks()[0] * 7).astype(dtype)
        before = given.copy()
        there = put(given)
        assert_same(fp.keep_largest(there), truth(given != 0), there, tolerance=0)
        np.testing.assert_array_equal(given, before)


def test_images(backend, put):
    given = masks()
    grid = Grid.from_spacing(given.shape[1:], (2, 1, 1))
    found = fp.keep_largest(Image(put(given), grid, modality="MR"))
    assert found.kind == "label" and found.grid is grid and found.modality == "MR"
    assert_same(found.array, np.stack([truth(m) for m in given]), put(given), tolerance=0)


def test_libraries(xp):
    there = xp.asarray(masks()[0])
    assert_same(fp.keep_largest(there), truth(masks()[0]), there, tolerance=0)


@pytest.mark.parametrize("count", [0, -1, 1.0, True, None])
def test_counts_that_are_none(backend, put, count):
    same_error(lambda: fp.keep_largest(put(masks()[0]), count), ArgumentError, f"count={count!r}: expected")


def test_errors(backend, put):
    same_error(lambda: fp.keep_largest(put(np.ones((3, 4)))), DTypeError, "mask of dtype float64: expected bool or")
    same_error(lambda: fp.keep_largest(put(np.ones(3, bool))), ShapeError, r"mask of shape \(3,\)")
    same_error(lambda: fp.keep_largest(put(masks()), connectivity=7), ArgumentError, "connectivity=7: expected 6, 18")
