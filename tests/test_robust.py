from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import iqr

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values

TOL = tolerance("robust")


def truth(x, inside=None):
    """Of one volume, in float64."""
    wide = x.astype(np.float64)
    some = wide if inside is None else wide[inside]
    return ((wide - np.median(some)) / iqr(some)).astype(x.dtype if x.dtype.kind == "f" else np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((5, 6, 7), dtype)
    check_layouts(fp.robust, truth(x), x, put, backend, tolerance=TOL if dtype != "float16" else 1e-3)


def test_inside_masks_of_a_batch(backend, put):
    x, mask = values((2, 4, 5, 6), "int16"), values((2, 4, 5, 6), "bool", 1)
    for marks in (mask, mask[0]):
        each = [truth(v, m) for v, m in zip(x, np.broadcast_to(marks, x.shape), strict=True)]
        assert_same(fp.robust(put(x), mask=put(marks)), np.stack(each), put(x), tolerance=TOL)


def test_what_it_is_for(backend, put):
    """Outliers move a mean and a standard deviation; the quartiles hardly."""
    rng = np.random.default_rng(0)
    brain = rng.normal(700, 90, (20, 30, 10)).astype(np.float32)
    spiked = np.where(rng.random(brain.shape) < 0.02, np.float32(30_000), brain)
    clean, robust = to_numpy(fp.robust(put(brain))), to_numpy(fp.robust(put(spiked)))
    same = spiked == brain
    assert np.abs(robust - clean)[same].max() < 0.2
    assert np.abs(fp.zscore(spiked) - fp.zscore(brain))[same].max() > 1


@settings(max_examples=20)
@given(st.floats(-1e4, 1e4), st.floats(0.01, 100), st.integers(0, 99))
def test_scale_and_offset_make_no_difference(offset, scale, seed):
    x = values((4, 5, 6), "float64", seed)
    np.testing.assert_allclose(fp.robust(x * scale + offset), fp.robust(x), atol=1e-8 * (1 + abs(offset) / scale))


def test_images(backend, put):
    x, grid = values((5, 6, 7), "int16"), Grid.from_spacing((5, 6, 7), (2, 1, 1))
    result = fp.robust(Image(put(x), grid, modality="MR", rescale=Ramp(-2.0, 5.0)))
    assert result.grid is grid and result.modality == "MR" and result.rescale.is_identity
    assert_same(result.array, truth(-x.astype(np.float64)).astype(np.float32), put(x), tolerance=TOL)


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    odd, most = x.copy(), x.copy()
    odd[0, 0, 0], most[1:] = np.inf, 7
    same_error(lambda: fp.robust(put(odd)), NonFiniteError, "x holds 1 values that are NaN or infinite")
    same_error(lambda: fp.robust(put(x), mask=put(np.zeros(x.shape, bool))), ArgumentError, "mask holds no voxel")
    same_error(lambda: fp.robust(put(x * 0 + 4)), ArgumentError, "interquartile range of 0, half of its voxels are 4")
    same_error(lambda: fp.robust(put(most)), ArgumentError, "half of its voxels are 7")
    same_error(lambda: fp.robust(put(x), mask=put(np.ones((3, 4), bool))), ShapeError, r"mask of shape \(3, 4\)")
