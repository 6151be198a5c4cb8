from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, check_layouts, same_error, tolerance, values

TOL = tolerance("zscore")


def truth(x, mask=None, ndim=3):
    """Volume by volume, in float64."""
    wide = x.astype(np.float64)
    out = np.empty(wide.shape)
    for index in np.ndindex(x.shape[: x.ndim - ndim]):
        inside = wide[index] if mask is None else wide[index][(mask[index] if mask.shape == x.shape else mask) != 0]
        out[index] = (wide[index] - inside.mean()) / inside.std()
    return out.astype(x.dtype if x.dtype.kind == "f" else np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((2, 5, 6, 7), dtype)
    check_layouts(fp.zscore, truth(x), x, put, backend, tolerance=TOL)


@pytest.mark.parametrize("shape", [(30, 40), (5, 6, 7), (1, 6, 7), (6, 1, 1), (3, 5, 6, 7), (2, 3, 5, 6, 7)])
def test_inside_a_mask(backend, put, shape):
    x, mask = values(shape, "int16"), values(shape, "bool", 1)
    mask.reshape(-1, *shape[-3:])[:, 0, 0] = mask.reshape(-1, *shape[-3:])[:, -1, -1] = True
    space = shape[-3:]
    for marks in (mask, mask[(0,) * (len(shape) - len(space))]):
        result = fp.zscore(put(x), mask=put(marks))
        assert_same(result, truth(x, marks, len(space)), put(x), tolerance=TOL)


def test_what_it_is_for(backend, put):
    """Inside the mask the mean is 0 and the standard deviation 1; outside it the same Ramp."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random((20, 30, 40)) > 0.5, rng.normal(700, 90, (20, 30, 40)), 5).astype(np.float32)
    result = to_numpy(fp.zscore(put(x), mask=put(x > 100)))
    assert abs(result[x > 100].mean(dtype=np.float64)) < 1e-6
    assert abs(result[x > 100].std(dtype=np.float64) - 1) < 1e-6
    assert np.ptp(result[x == 5]) == 0 and result[x == 5][0] < -7


@given(st.floats(-1e4, 1e4), st.floats(0.01, 100), st.integers(0, 99))
def test_scale_and_offset_make_no_difference(offset, scale, seed):
    x = values((4, 5, 6), "float64", seed)
    np.testing.assert_allclose(fp.zscore(x * scale + offset), fp.zscore(x), atol=1e-8 * (1 + abs(offset) / scale))


def test_images(backend, put):
    x, grid = values((2, 5, 6, 7), "uint16"), Grid.from_spacing((5, 6, 7), (2, 1, 1))
    image = Image(put(x), grid, modality="MR")
    result = fp.zscore(image)
    assert result.grid is grid and result.modality == "MR"
    assert_same(result.array, truth(x), put(x), tolerance=TOL)
    # Stored values become physical ones first: a negative slope turns bright and dark about.
    stored = Image(put(x), grid, rescale=Ramp(-0.5, 31))
    turned = fp.zscore(stored, mask=Image(put(values((5, 6, 7), "bool")), grid, kind="label"))
    assert turned.rescale.is_identity
    assert_same(turned.array, truth(x * np.float32(-0.5) + 31, values((5, 6, 7), "bool")), put(x), tolerance=TOL)
    # Slices of two space axes are volumes of their own.
    flat = Image(put(x[0]), Grid.from_spacing((6, 7), (1, 1)))
    assert_same(fp.zscore(flat).array, truth(x[0], ndim=2), put(x), tolerance=TOL)


@pytest.mark.parametrize("mean", [1e4, -1e5])
def test_a_large_mean(backend, put, mean):
    """What is left is the rounding of the Ramp in the result's own type."""
    x = (values((6, 7, 8), "float64") / 500 + mean).astype(np.float32)
    allowed = 4 * np.finfo(np.float32).eps * abs(mean)
    assert_same(fp.zscore(put(x)), truth(x), put(x), tolerance=allowed, scale=1.0)
    wide = x.astype(np.float64)
    assert_same(fp.zscore(put(wide)), truth(wide), put(wide), tolerance=1e-10)


def test_libraries(xp):
    x, mask = values((5, 6, 7), "int16"), values((5, 6, 7), "bool", 1)
    given_ = xp.asarray(x)
    assert_same(fp.zscore(given_, mask=xp.asarray(mask)), truth(x, mask), given_, tolerance=TOL)


@pytest.mark.gpu
def test_bits_are_those_of_the_cpu(gpu):
    for dtype in ("int16", "float32", "float16"):
        x, mask = values((7, 30, 41), dtype), values((7, 30, 41), "bool", 1)
        result = to_numpy(fp.zscore(gpu(x), mask=gpu(mask)))
        np.testing.assert_array_equal(result, fp.zscore(x, mask=mask))


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    one, none = np.zeros((3, 4, 5), bool), np.zeros((3, 4, 5))
    one[1, 2, 3] = True
    odd = x.copy()
    odd[0, 0, :3], odd[1, 2, 3] = np.nan, -np.inf
    same_error(lambda: fp.zscore(put(x), mask=put(none)), ArgumentError, "mask holds no voxel")
    same_error(lambda: fp.zscore(put(odd)), NonFiniteError, "x holds 4 values that are NaN or infinite")
    same_error(lambda: fp.zscore(put(odd), mask=put(one)), NonFiniteError, "holds 1 values inside the mask that")
    same_error(lambda: fp.zscore(put(np.full((3, 4), 0.1))), ArgumentError, "x is constant, 0.1")
    same_error(lambda: fp.zscore(put(x), mask=put(one)), ArgumentError, "x is constant inside the mask")
    same_error(lambda: fp.zscore(put(x), mask=put(one[:2])), ShapeError, r"mask of shape \(2, 4, 5\)")
    same_error(lambda: fp.zscore(put(x[0, 0])), ShapeError, r"x of shape \(5,\)")
    same_error(lambda: fp.zscore(put(x[:0])), ShapeError, "none of length zero")
    # Outside the mask NaN is nobody's business, and stays.
    result = to_numpy(fp.zscore(put(odd), mask=put(np.isfinite(odd))))
    assert np.isnan(result[0, 0, :3]).all() and np.isneginf(result[1, 2, 3]) and np.isfinite(result[2]).all()
