from __future__ import annotations

import importlib

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values

TOL = tolerance("percentile_clip")


def truth(x, low=0.5, high=99.5, inside=None, out_range=None):
    """Of one volume, in float64."""
    wide = x.astype(np.float64)
    ends = np.percentile(wide if inside is None else wide[inside], [low, high])
    y = np.clip(wide, *ends)
    if out_range is not None:
        y = np.interp(y, ends, out_range)
    return y.astype(x.dtype if x.dtype.kind == "f" else np.float32)


@pytest.mark.parametrize("out_range", [None, (0, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
def test_every_dtype_and_layout(backend, put, dtype, out_range):
    x = values((5, 6, 7), dtype)
    call = lambda a: fp.percentile_clip(a, 5, 90, out_range=out_range)  # noqa: E731
    allowed = TOL if dtype != "float16" else 1e-3
    check_layouts(call, truth(x, 5, 90, out_range=out_range), x, put, backend, tolerance=allowed)


def test_inside_masks_of_a_batch(backend, put):
    x, mask = values((2, 4, 5, 6), "int16"), values((2, 4, 5, 6), "bool", 1)
    for marks in (mask, mask[0]):
        result = fp.percentile_clip(put(x), 10, 80, mask=put(marks), out_range=(-1, 1))
        each = [truth(v, 10, 80, m, (-1, 1)) for v, m in zip(x, np.broadcast_to(marks, x.shape), strict=True)]
        assert_same(result, np.stack(each), put(x), tolerance=TOL)


def test_as_torchio_where_its_mask_is_everything():
    """Inside a mask TorchIO stretches by the extremes of the clipped whole, which are the percentiles only mostly."""
    torch, torchio = importlib.import_module("torch"), importlib.import_module("torchio")
    x = values((9, 10, 11), "float32")
    theirs = torchio.RescaleIntensity((-1, 1), percentiles=(2, 97))(torch.from_numpy(x[None])).numpy()[0]
    np.testing.assert_allclose(fp.percentile_clip(x, 2, 97, out_range=(-1, 1)), theirs, atol=1e-5)


def test_results_of_8_bits_and_ends_of_the_range(backend, put):
    x = values((6, 7, 8), "int16")
    result = to_numpy(fp.percentile_clip(put(x), 0, 100, out_range=(0, 255), dtype="uint8"))
    np.testing.assert_array_equal(result, to_numpy(fp.minmax(put(x), out_range=(0, 255), dtype="uint8")))
    # Its own units are kept, whole numbers too where the percentiles are.
    kept = to_numpy(fp.percentile_clip(put(x), 0, 100, dtype="int16"))
    np.testing.assert_array_equal(kept, x)


def test_images(backend, put):
    x, grid = values((5, 6, 7), "int16"), Grid.from_spacing((5, 6, 7), (2, 1, 1))
    result = fp.percentile_clip(Image(put(x), grid, modality="CT", rescale=Ramp(-2.0, 5.0)), 5, 95)
    assert result.grid is grid and result.modality == "CT" and result.rescale.is_identity
    assert_same(result.array, truth(x * np.float32(-2) + 5, 5, 95), put(x), tolerance=TOL)


@pytest.mark.parametrize("ends", [(-1, 50), (50, 101), (60, 40), (50, 50), (np.nan, 50)])
def test_percentiles_out_of_order(ends):
    with pytest.raises(ArgumentError, match="expected percentiles from 0 to 100, the first below the second"):
        fp.percentile_clip(np.arange(12.0).reshape(3, 4), *ends)


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    odd = x.copy()
    odd[0, 0, 0] = np.nan
    clip = fp.percentile_clip
    same_error(lambda: clip(put(odd)), NonFiniteError, "x holds 1 values that are NaN or infinite")
    same_error(lambda: clip(put(x), mask=put(np.zeros(x.shape, bool))), ArgumentError, "mask holds no voxel")
    same_error(lambda: clip(put(x), out_range=(3, 2)), ArgumentError, r"out_range=\(3, 2\)")
    same_error(lambda: clip(put(x * 0 + 4), out_range=(0, 1)), ArgumentError, "both percentiles of x are 4")
    same_error(lambda: clip(put(x), mask=put(np.ones((3, 4), bool))), ShapeError, r"mask of shape \(3, 4\)")
    assert (to_numpy(clip(put(x * 0 + 4))) == 4).all()
