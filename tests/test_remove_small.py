from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, GeometryError
from fastprep.testing.assertions import assert_same
from layouts import same_error


def truth(mask, voxels, connectivity=None):
    labels, _ = ndi.label(mask, ndi.generate_binary_structure(mask.ndim, connectivity or mask.ndim))
    large = np.bincount(labels.ravel()) >= voxels
    return mask & large[labels]


def masks(shape=(2, 9, 10, 14), seed=0):
    return np.random.default_rng(seed).random(shape) < 0.1


@pytest.mark.parametrize(("volume", "voxels"), [(0, 0), (0.1, 1), (1.0, 2), (1.5, 3), (1.51, 4), (1e30, 10**9)])
def test_millimetres(backend, put, volume, voxels):
    """Voxels of 0.5 mm3."""
    given = masks()
    there = put(given)
    found = fp.remove_small(there, volume, spacing=(2, 0.5, 0.5))
    assert_same(found, np.stack([truth(m, voxels) for m in given]), there, tolerance=0)


def test_a_volume_of_whole_voxels_is_kept(backend, put):
    """3 x 0.1 mm3 is more than three voxels of 0.1 mm3 to a computer."""
    assert 3 * 0.1 / 0.1 > 3
    row = np.zeros((1, 1, 40), bool)
    row[..., 3:6] = row[..., 20:22] = True
    found = fp.remove_small(put(row), 3 * 0.1, spacing=(0.1, 1, 1))
    assert_same(found, truth(row, 3), put(row), tolerance=0)


def test_images(backend, put):
    given = masks()
    grid = Grid.from_spacing(given.shape[1:], (2, 1, 1))
    found = fp.remove_small(Image(put(given), grid), 5.0)
    assert found.kind == "label" and found.grid is grid
    assert_same(found.array, np.stack([truth(m, 3) for m in given]), put(given), tolerance=0)


def test_a_tilted_gantry_has_smaller_voxels():
    """The volume is that of the cells, less than the product of the distances along the axes."""
    given = masks()[0]
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[1, 0] = 1.0  # spacing sqrt(2), 1, 1, volume 1
    image = Image(given, Grid(given.shape, affine))
    np.testing.assert_array_equal(fp.remove_small(image, 4.0).array, truth(given, 4))
    assert (truth(given, 4) != truth(given, 3)).any()


def test_planes_and_neighbours(backend, put):
    plane = masks()[0, 2]
    there = put(plane)
    found = fp.remove_small(there, 4.0, spacing=(2, 0.75), connectivity=4)
    assert_same(found, truth(plane, 3, 1), there, tolerance=0)
    image = Image(there, Grid.from_spacing(plane.shape, (2, 0.75)))
    assert_same(fp.remove_small(image, 4.0).array, truth(plane, 3), there, tolerance=0)


def test_libraries(xp):
    there = xp.asarray(masks()[0])
    assert_same(fp.remove_small(there, 3, spacing=(1, 1, 1)), truth(masks()[0], 3), there, tolerance=0)


def test_errors(backend, put):
    mask = put(masks()[0])
    same_error(lambda: fp.remove_small(mask, 3), ArgumentError, "spacing is missing: ")
    same_error(lambda: fp.remove_small(mask, 3, spacing=(1, 0, 1)), GeometryError, "spacing=")
    same_error(lambda: fp.remove_small(mask, 3, spacing=(1, 1)), GeometryError, "expected 3 positive")
    for volume in (-1, math.nan, math.inf, True):
        same_error(
            lambda v=volume: fp.remove_small(mask, v, spacing=(1, 1, 1)), ArgumentError, f"min_volume_mm3={volume!r}: "
        )
    same_error(lambda: fp.remove_small(mask, 3, spacing=(1, 1, 1), connectivity=7), ArgumentError, "connectivity=7")
    floats = put(np.ones((3, 4, 5), np.float32))
    same_error(lambda: fp.remove_small(floats, 3, spacing=(1, 1, 1)), DTypeError, "compare probabilities first")
