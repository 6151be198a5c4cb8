from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, LAYOUTS, check_layouts, same_error, values

GRID = np.array([[0.0, 0.1, -0.7, 5], [0.0, 0.8, 0.1, -7], [1.9, 0.0, 0.0, 11], [0, 0, 0, 1]])


def box_mask(shape, start, stop):
    """A mask of two corners: the box is not filled."""
    mask = np.zeros(shape, bool)
    mask[tuple(start)] = mask[tuple(np.array(stop) - 1)] = True
    return mask


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((2, 5, 6, 7), dtype)
    mask = put(box_mask((5, 6, 7), (1, 0, 3), (4, 6, 6)))
    check_layouts(lambda a: fp.crop_to_mask(a, mask), x[:, 1:4, 0:6, 3:6], x, put, backend, tolerance=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_mask(backend, put, dtype):
    x = put(values((5, 6, 7), "int16"))
    # The smallest number each type has next to 0, and a negative one where there are.
    inside = (
        1 if np.dtype(dtype).kind in "bu" else -1 if np.dtype(dtype).kind == "i" else np.finfo(dtype).smallest_normal
    )
    mask = box_mask((5, 6, 7), (1, 2, 0), (5, 3, 6)) * np.array(inside, dtype)
    assert mask.dtype == dtype
    for name, layout in LAYOUTS.items():
        if backend != "gpu" or name not in ("big-endian", "unaligned", "read-only"):
            assert_same(fp.crop_to_mask(x, put(layout(mask))), to_numpy(x)[1:5, 2:3, 0:6], x, tolerance=0)


def test_flat_masks_of_every_layout(backend, put):
    x = values((6, 7), "int16")
    mask = box_mask((6, 7), (2, 0), (5, 6))
    for name, layout in LAYOUTS.items():
        if backend != "gpu" or name not in ("big-endian", "unaligned", "read-only"):
            assert_same(fp.crop_to_mask(put(x), put(layout(mask))), x[2:5, 0:6], put(x), tolerance=0)


@given(shape=st.lists(st.integers(1, 9), min_size=2, max_size=3), seed=st.integers(0, 99), margin=st.integers(0, 3))
def test_numpy(shape, seed, margin):
    mask = np.random.default_rng(seed).random(shape) > 0.9
    mask.flat[seed % mask.size] = True
    x = values(shape, "int16")
    box = tuple(
        slice(max(i.min() - margin, 0), min(i.max() + 1 + margin, n))
        for i, n in zip(np.nonzero(mask), shape, strict=True)
    )
    assert_same(fp.crop_to_mask(x, mask, margin=margin), x[box], x, tolerance=0)


def test_margin_per_axis(backend, put):
    x = values((9, 9, 9), "int16")
    mask = put(box_mask(x.shape, (4, 4, 4), (5, 5, 5)))
    assert_same(fp.crop_to_mask(put(x), mask, margin=(0, 2, 9)), x[4:5, 2:7], put(x), tolerance=0)


def test_nan_in_a_mask_is_inside(backend, put):
    mask = np.zeros((3, 3), np.float32)
    mask[1, 2] = np.nan
    x = values((3, 3), "int16")
    assert_same(fp.crop_to_mask(put(x), put(mask)), x[1:2, 2:3], put(x), tolerance=0)


def test_voxels_keep_their_world_position(backend, put):
    x = np.arange(5 * 6 * 7, dtype=np.int32).reshape(5, 6, 7)
    image = Image(put(x), Grid((5, 6, 7), GRID))
    mask = Image(put(box_mask(x.shape, (1, 2, 3), (4, 5, 6))), image.grid, kind="label")
    result = fp.crop_to_mask(image, mask)
    world = result.grid.to_world([0, 0, 0])
    assert np.abs(world - image.grid.to_world([1, 2, 3])).max() < 1e-12
    assert to_numpy(result.array)[0, 0, 0] == x[1, 2, 3]


def test_libraries(xp):
    x = values((5, 6), "int16")
    mask = box_mask(x.shape, (1, 2), (4, 5))
    given_ = xp.asarray(x)
    assert_same(fp.crop_to_mask(given_, xp.asarray(mask)), x[1:4, 2:5], given_, tolerance=0)


def test_errors(backend, put):
    x = put(np.zeros((3, 4), np.int16))
    mask = put(np.ones((3, 4), bool))
    same_error(lambda: fp.crop_to_mask(x, put(np.zeros((3, 4)))), ArgumentError, "no voxel")
    same_error(lambda: fp.crop_to_mask(x, put(np.ones((4, 4)))), ShapeError, "mask of shape")
    same_error(lambda: fp.crop_to_mask(x, put(np.ones(4))), ShapeError, "mask of shape")
    same_error(lambda: fp.crop_to_mask(x, mask, margin=-1), ArgumentError, "margin=-1")
    same_error(lambda: fp.crop_to_mask(x, mask, margin=(1, 1, 1)), ArgumentError, "or 2")
    same_error(lambda: fp.crop_to_mask(x, put(np.zeros((0, 3), bool))), ShapeError, "mask of shape")
    same_error(lambda: fp.crop_to_mask(put(np.zeros((0, 3))), put(np.zeros((0, 3)))), ArgumentError, "no voxel")
