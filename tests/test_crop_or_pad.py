from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, check_layouts, same_error, values

GRID = np.array([[0.0, 0.1, -0.7, 5], [0.0, 0.8, 0.1, -7], [1.9, 0.0, 0.0, 11], [0, 0, 0, 1]])


def padded(x, shape, fill):
    """NumPy: of an odd difference the larger half is at the end."""
    for axis, m in enumerate(shape, x.ndim - len(shape)):
        n = x.shape[axis]
        if n >= m:
            x = np.take(x, range((n - m) // 2, (n - m) // 2 + m), axis)
        else:
            sides = [(0, 0)] * x.ndim
            sides[axis] = ((m - n) // 2, m - n - (m - n) // 2)
            x = np.pad(x, sides, constant_values=fill)
    return x


@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((2, 3, 8, 5), dtype)
    fill = np.array(1).astype(dtype)
    check_layouts(
        lambda a: fp.crop_or_pad(a, (6, 5, 6), fill=1), padded(x, (6, 5, 6), fill), x, put, backend, tolerance=0
    )


@given(
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    data=st.data(),
)
def test_numpy(shape, data):
    wanted = data.draw(st.lists(st.integers(1, 12), min_size=len(shape), max_size=len(shape)))
    x = values((2, *shape), "int16")
    assert_same(fp.crop_or_pad(x, wanted, fill=-3), padded(x, wanted, -3), x, tolerance=0)


@pytest.mark.parametrize(
    ("dtype", "fill", "stored"),
    [("int8", 300, 127), ("uint8", -1024, 0), ("int16", 2.5, 2), ("bool", 7, True), ("float32", -0.25, -0.25)],
)
def test_fill_is_held_in_the_dtype(backend, put, dtype, fill, stored):
    x = np.zeros((2, 2), dtype)
    result = to_numpy(fp.crop_or_pad(put(x), (2, 3), fill=fill))
    assert result.dtype == dtype and result[:, 2].tolist() == [stored, stored]


def test_default_fill(backend, put):
    x = put(np.ones((2, 2, 2), np.int16))
    grid = Grid((2, 2, 2), GRID)
    assert to_numpy(fp.crop_or_pad(x, (2, 2, 3)))[0, 0, 2] == 0
    assert to_numpy(fp.crop_or_pad(Image(x, grid, modality="CT"), (2, 2, 3)).array)[0, 0, 2] == -1024
    assert to_numpy(fp.crop_or_pad(Image(x, grid, "label", "CT"), (2, 2, 3)).array)[0, 0, 2] == 0


@pytest.mark.parametrize("wanted", [(3, 9, 4), (8, 2, 5), (1, 1, 1)])
def test_voxels_keep_their_world_position(backend, put, wanted):
    x = np.arange(1, 5 * 6 * 7 + 1, dtype=np.int32).reshape(5, 6, 7)
    image = Image(x, Grid((5, 6, 7), GRID))
    result = fp.crop_or_pad(image.with_array(put(x)), wanted)
    array = to_numpy(result.array)
    where = np.argwhere(array > 0)
    source = np.rint(image.grid.to_index(result.grid.to_world(where))).astype(int)
    assert len(where) == np.prod(np.minimum(wanted, x.shape))
    assert np.array_equal(array[tuple(where.T)], x[tuple(source.T)])


def test_nan_survives(backend, put):
    x = np.full((2, 2), np.nan, np.float32)
    assert np.isnan(to_numpy(fp.crop_or_pad(put(x), (3, 2)))).tolist() == [[True, True], [True, True], [False, False]]


def test_libraries(xp):
    for dtype in ("int16", "bool", "float32"):
        x = values((3, 4, 5), dtype)
        given_ = xp.asarray(x)
        assert_same(fp.crop_or_pad(given_, (5, 3, 5)), padded(x, (5, 3, 5), 0), given_, tolerance=0)


def test_errors(backend, put):
    x = put(np.zeros((3, 4), np.int16))
    same_error(lambda: fp.crop_or_pad(x, (3, 4, 5)), ShapeError, "expected 2 axes")
    same_error(lambda: fp.crop_or_pad(x, (3,)), ShapeError, "2 or 3")
    same_error(lambda: fp.crop_or_pad(x, (3, 0)), ShapeError, "at least 1")
    same_error(lambda: fp.crop_or_pad(x, (3, 2.5)), ShapeError, "whole numbers")
    same_error(lambda: fp.crop_or_pad(x, (3, 9), fill=float("nan")), ArgumentError, "fill=nan")
    same_error(lambda: fp.crop_or_pad(put(np.zeros((0, 3, 4))), (3, 4)), ShapeError, "none of length zero")
    image = Image(x, Grid.from_spacing((3, 4), (1, 1)))
    same_error(lambda: fp.crop_or_pad(image, (3, 4, 5)), ShapeError, "expected 2 axes")
