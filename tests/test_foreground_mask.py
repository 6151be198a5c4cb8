from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError
from fastprep.core.ramp import Ramp
from fastprep.ops.foreground_mask import above
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, check_layouts, same_error, values
from test_otsu import head, head_as


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    x = head_as(dtype, (12, 13, 14))
    truth = x.astype(np.float64) > fp.otsu(x)
    assert 0 < truth.mean() < 1
    check_layouts(fp.foreground_mask, truth, x, put, backend, tolerance=0)


@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_above_is_exact(backend, put, dtype):
    """Thresholds on a value, just below and just above it, and far off."""
    if np.dtype(dtype).kind == "f":
        near = np.array([0.1, 1 / 3, -7.3, 1e-7, 500.1, np.finfo(dtype).tiny, 6e-8], dtype)
        x = np.concatenate([near, -near, np.nextafter(near, near.dtype.type(9)), [0, -0.0]]).astype(dtype)
    else:
        x = values((40,), dtype)
    for v in x.astype(np.float64):
        for t in (v, np.nextafter(v, -np.inf), np.nextafter(v, np.inf), v + 0.5, v - 1e-3):
            np.testing.assert_array_equal(to_numpy(above(put(x), float(t))), x.astype(np.float64) > t, err_msg=repr(t))


def test_volumes_of_a_batch_have_a_threshold_each(backend, put):
    x = np.stack([head(), 10 * head(seed=1), 5 - head(seed=2)]).astype(np.float32)
    result = fp.foreground_mask(put(x))
    assert_same(result, np.stack([v.astype(np.float64) > fp.otsu(v) for v in x]), put(x), tolerance=0)
    flat = fp.foreground_mask(put(x[0, 9]))
    assert_same(flat, x[0, 9].astype(np.float64) > fp.otsu(x[0, 9]), put(x), tolerance=0)


def test_images(backend, put):
    x = head().astype(np.int16)
    grid = Grid.from_spacing(x.shape, (2, 1, 1))
    result = fp.foreground_mask(Image(put(x), grid, modality="MR"))
    assert result.kind == "label" and result.grid is grid and result.modality == "MR"
    assert_same(result.array, x > fp.otsu(x), put(x), tolerance=0)
    turned = fp.foreground_mask(Image(put(x), grid, rescale=Ramp(-1, 7)))
    assert turned.rescale.is_identity
    assert_same(turned.array, 7 - x > fp.otsu(7 - x), put(x), tolerance=0)


def test_it_finds_the_head(backend, put):
    x = head().astype(np.float32)
    mask = to_numpy(fp.foreground_mask(put(x)))
    at = np.indices(x.shape) - (np.array(x.shape) / 2 - 0.5).reshape(-1, 1, 1, 1)
    truth = np.sqrt((at**2).sum(axis=0)) / min(x.shape) < 0.45
    assert (mask == truth).mean() > 0.999


def test_libraries(xp):
    x = head().astype(np.float32)
    given = xp.asarray(x)
    assert_same(fp.foreground_mask(given), x > fp.otsu(x), given, tolerance=0)


def test_errors(backend, put):
    odd = values((3, 4, 5), "float32")
    odd[0, 0, 0] = np.nan
    same_error(lambda: fp.foreground_mask(put(odd)), NonFiniteError, "x holds 1 values that are NaN or infinite")
    same_error(lambda: fp.foreground_mask(put(np.zeros((3, 4)))), ArgumentError, "x is constant, 0")
