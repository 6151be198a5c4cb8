from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import same_error, tolerance
from test_clahe import chest

TOL = tolerance("multiscale_clahe")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_mean_of_scales(backend, put, dtype):
    x = chest((2, 9, 40, 50)).astype(dtype)
    kinds = [fp.clahe(x, tiles=t, dtype="float32").astype(np.float64) for t in ((1, 1, 1), (2, 2, 2), (4, 4, 4))]
    expected = np.mean(kinds, axis=0)
    expected = np.rint(expected).astype(dtype) if dtype == "uint8" else expected.astype(dtype)
    assert_same(fp.multiscale_clahe(put(x), tiles=2), expected, put(x), tolerance=TOL)


def test_one_scale_is_clahe(backend, put):
    x = chest((40, 50), 3000).astype(np.float32)
    found = fp.multiscale_clahe(put(x), scales=[1], tiles=(3, 5))
    assert_same(found, to_numpy(fp.clahe(put(x), tiles=(3, 5))), put(x), tolerance=TOL)


def test_images_and_masks(backend, put):
    x, mask = chest((30, 40), 2000).astype(np.int16), np.zeros((30, 40), bool)
    mask[5:20, 7:30] = True
    image = Image(put(x), Grid.from_spacing(x.shape, (1, 1)), modality="CR")
    found = fp.multiscale_clahe(image, mask=put(mask), tiles=4)
    assert found.grid is image.grid and found.modality == "CR"
    result = to_numpy(found.array)
    assert result.dtype == np.int16
    np.testing.assert_array_equal(result[~mask], x[~mask])
    assert (result[mask] != x[mask]).mean() > 0.9
    assert to_numpy(fp.multiscale_clahe(put(x), tiles=4, dtype="float64")).dtype == np.float64


def test_errors(backend, put):
    x = put(chest((20, 30)).astype(np.uint8))
    for scales in ((), (1, 0), (-1,), (np.inf,), (True,), 2, (1,) * 17, "12"):
        same_error(lambda s=scales: fp.multiscale_clahe(x, scales=s), ArgumentError, "expected 1 to 16 numbers above 0")
    same_error(lambda: fp.multiscale_clahe(x, tiles=0), ArgumentError, "tiles=0")
