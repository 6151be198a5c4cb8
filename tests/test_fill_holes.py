from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, ShapeError
from fastprep.testing.assertions import assert_same
from layouts import same_error


def masks(shape=(2, 7, 12, 15), seed=0):
    return np.random.default_rng(seed).random(shape) < 0.75


def test_volumes_of_a_batch(backend, put):
    given = masks()
    there = put(given)
    expected = np.stack([ndi.binary_fill_holes(m) for m in given])
    assert (expected != given).sum() > 20
    assert_same(fp.fill_holes(there), expected, there, tolerance=0)


def test_slices_by_themselves(backend, put):
    given = masks()
    there = put(given)
    expected = np.stack([[ndi.binary_fill_holes(plane) for plane in m] for m in given])
    assert_same(fp.fill_holes(there, planar=True), expected, there, tolerance=0)
    plane = put(given[0, 3])
    for planar in (False, True):
        assert_same(fp.fill_holes(plane, planar=planar), expected[0, 3], plane, tolerance=0)


def test_neighbours_of_holes(backend, put):
    given = masks()[0]
    there = put(given)
    for connectivity, rank in ((18, 2), (26, 3), (3, 3)):
        expected = ndi.binary_fill_holes(given, ndi.generate_binary_structure(3, rank))
        assert_same(fp.fill_holes(there, connectivity=connectivity), expected, there, tolerance=0)
    plane = put(given[3])
    expected = ndi.binary_fill_holes(given[3], np.ones((3, 3)))
    assert_same(fp.fill_holes(plane, connectivity=8), expected, plane, tolerance=0)


@pytest.mark.parametrize(("volume", "left"), [(0, 6), (1, 6), (1.5, 5), (3.0, 3), (4.4, 3), (4.5, 0), (None, 0)])
def test_millimetres(backend, put, volume, left):
    """Holes of one, two and three voxels of 1.5 mm3."""
    mask = np.ones((5, 9, 12), bool)
    mask[2, 2, 2] = mask[2, 5, 2:4] = mask[1:4, 5, 8] = False
    for there in (put(mask), Image(put(mask), Grid.from_spacing(mask.shape, (1.5, 1, 1)))):
        spacing = None if isinstance(there, Image) else (1.5, 1, 1)
        found = fp.fill_holes(there, max_volume_mm3=volume, spacing=spacing)
        array = found.array if isinstance(there, Image) else found
        expected = mask.copy()
        sizes = ndi.label(~mask)[0]
        for i, n in enumerate(np.bincount(sizes.ravel())[1:], 1):
            expected[sizes == i] = volume is None or n * 1.5 <= volume
        assert (~expected).sum() == left
        assert_same(array, expected, put(mask), tolerance=0)


def test_a_volume_of_whole_voxels_is_filled(backend, put):
    """0.3 mm3 is less than three voxels of 0.1 mm3 to a computer."""
    assert 0.3 / 0.1 < 3
    mask = np.ones((3, 3, 9), bool)
    mask[1, 1, 3:6] = False
    assert_same(
        fp.fill_holes(put(mask), max_volume_mm3=0.3, spacing=(0.1, 1, 1)), np.ones_like(mask), put(mask), tolerance=0
    )


def test_images(backend, put):
    given = masks()[0]
    grid = Grid.from_spacing(given.shape, (2, 1, 1))
    found = fp.fill_holes(Image(put(given), grid, modality="CT"))
    assert found.kind == "label" and found.grid is grid and found.modality == "CT"
    assert_same(found.array, ndi.binary_fill_holes(given), put(given), tolerance=0)


def test_libraries(xp):
    given = masks()[0].astype(np.uint8)
    there = xp.asarray(given)
    assert_same(fp.fill_holes(there), ndi.binary_fill_holes(given), there, tolerance=0)


def test_errors(backend, put):
    mask = put(masks()[0])
    same_error(lambda: fp.fill_holes(mask, max_volume_mm3=3), ArgumentError, "spacing is missing: ")
    same_error(lambda: fp.fill_holes(mask, max_volume_mm3=3, spacing=(1,)), GeometryError, "expected 3 positive")
    same_error(
        lambda: fp.fill_holes(mask, max_volume_mm3=math.nan, spacing=(1, 1, 1)), ArgumentError, "max_volume_mm3=nan: "
    )
    same_error(lambda: fp.fill_holes(mask, connectivity=5), ArgumentError, "connectivity=5: expected 6, 18 or 26")
    same_error(lambda: fp.fill_holes(put(np.ones((3, 4), np.float32))), DTypeError, "mask of dtype float32")
    same_error(lambda: fp.fill_holes(put(np.ones((3, 0), bool))), ShapeError, r"mask of shape \(3, 0\)")
