from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError
from fastprep.core.ramp import Ramp
from fastprep.ops.foreground_mask import above
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, check_layouts, same_error, values
from test_otsu import head


def truth(x):
    """The largest part above the threshold, by SciPy, its holes filled."""
    labels, _ = ndi.label(x.astype(np.float64) > fp.otsu(x), np.ones((3,) * x.ndim))
    return ndi.binary_fill_holes(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))


def scan(shape=(20, 30, 25), seed=0):
    """A head with a dark ventricle and a nostril, and a bright speck beside it."""
    x = head(shape, seed)
    z, y, i = (n // 2 for n in shape)
    x[z, y - 1 : y + 2, i - 1 : i + 2] = 10
    x[z + 3, y, :i] = 10
    x[1, 1, 1:4] = 900
    return x


def scan_as(dtype, shape=(20, 30, 25)):
    x = scan(shape)
    return x > 300 if dtype == "bool" else (x / (9 if dtype == "int8" else 4)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    x = scan_as(dtype, (12, 13, 14))
    expected = truth(x)
    assert expected.any() and (expected != (x > fp.otsu(x))).sum() > 10
    check_layouts(fp.foreground_mask, expected, x, put, backend, tolerance=0)


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
    x = np.stack([scan(), 10 * scan(seed=1), 5 - scan(seed=2)]).astype(np.float32)
    result = fp.foreground_mask(put(x))
    assert_same(result, np.stack([truth(v) for v in x]), put(x), tolerance=0)
    four = fp.foreground_mask(put(x[None]))
    assert_same(four, to_numpy(result)[None], put(x), tolerance=0)


def test_a_plane_has_holes_of_its_own(backend, put):
    x = scan()[10].astype(np.float32)
    result = fp.foreground_mask(put(x))
    assert_same(result, truth(x), put(x), tolerance=0)
    assert to_numpy(result)[15, 12] and not truth(scan().astype(np.float32))[13, 15, 5]
    assert_same(fp.foreground_mask(put(x[None])), truth(x)[None], put(x), tolerance=0)


def test_images(backend, put):
    x = scan().astype(np.int16)
    grid = Grid.from_spacing(x.shape, (2, 1, 1))
    result = fp.foreground_mask(Image(put(x), grid, modality="MR"))
    assert result.kind == "label" and result.grid is grid and result.modality == "MR"
    assert_same(result.array, truth(x), put(x), tolerance=0)
    turned = fp.foreground_mask(Image(put(x), grid, rescale=Ramp(-1, 7)))
    assert turned.rescale.is_identity
    assert_same(turned.array, truth(7 - x), put(x), tolerance=0)


def test_it_finds_the_head(backend, put):
    x = head().astype(np.float32)
    x[10, 14:17, 11:14], x[1, 1] = 5, 700
    mask = to_numpy(fp.foreground_mask(put(x)))
    at = np.indices(x.shape) - (np.array(x.shape) / 2 - 0.5).reshape(-1, 1, 1, 1)
    ball = np.sqrt((at**2).sum(axis=0)) / min(x.shape) < 0.45
    assert (mask == ball).mean() > 0.9999
    assert (x > fp.otsu(x))[ball].mean() < 0.9995 and (x > fp.otsu(x))[~ball].mean() > 0.002


def test_libraries(xp):
    x = scan().astype(np.float32)
    given = xp.asarray(x)
    assert_same(fp.foreground_mask(given), truth(x), given, tolerance=0)


def test_errors(backend, put):
    odd = values((3, 4, 5), "float32")
    odd[0, 0, 0] = np.nan
    same_error(lambda: fp.foreground_mask(put(odd)), NonFiniteError, "x holds 1 values that are NaN or infinite")
    same_error(lambda: fp.foreground_mask(put(np.zeros((3, 4)))), ArgumentError, "x is constant, 0")
