"""median and its kernel, against SciPy."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, values
from noisy_cases import check_keeps_edges


def truth(x, size, ndim=3):
    """SciPy, volume by volume; float16 it does not know."""
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    out = np.empty_like(wide)
    for i in np.ndindex(x.shape[: x.ndim - ndim]):
        out[i] = ndi.median_filter(wide[i], size, mode="reflect")
    return out.astype(x.dtype)


@pytest.mark.parametrize("dtype", ["bool", "int16", "float16", "float32"])
def test_dtypes_and_layouts(backend, put, dtype):
    x = values((4, 6, 9), dtype)
    check_layouts(fp.median, truth(x, 3), x, put, backend, tolerance=0)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((30, 41), 3),
        ((17, 70), 5),
        ((9, 40, 11), (1, 7, 3)),
        ((5, 6, 70), 5),
        ((1, 20, 21), 7),
        ((7, 1, 9), (5, 3, 1)),
        ((2, 3, 4), (7, 3, 9)),
        ((12, 140), (9, 11)),
        ((2, 2, 5, 6, 7), (3, 1, 5)),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_sizes(backend, put, dtype, shape, size):
    """Larger than the image, too."""
    x = values(shape, dtype)
    assert_same(fp.median(put(x), size=size), truth(x, size, min(3, len(shape))), put(x), tolerance=0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_large_boxes(backend, put, dtype):
    """Of more voxels than a network takes, and of a width that it hardly does."""
    x = values((25, 37), dtype)
    falling = np.sort(x, axis=1)[:, ::-1]
    for size in ((23, 21), (33, 35)):
        for given_ in (x, falling):
            assert_same(fp.median(put(given_), size=size), truth(given_, size, 2), put(given_), tolerance=0)


@given(st.data())
@settings(max_examples=25)
def test_every_size(data):
    """Networks of any number of rows and columns, on rows of any length."""
    size = [2 * data.draw(st.integers(0, 4)) + 1 for _ in range(3)]
    shape = [data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7)), data.draw(st.integers(1, 90))]
    x = values(shape, "int16", data.draw(st.integers(0, 9)))
    np.testing.assert_array_equal(fp.median(x, size=size), truth(x, size))


@pytest.mark.parametrize("size", [3, (5, 3), (33, 35)])
def test_nan_is_in_every_box_that_holds_one(backend, put, size):
    x = values((12, 70), "float32")
    x[0, 3], x[7, 69], x[5, 30:33], x[2, 50], x[3, 51] = np.nan, np.nan, np.nan, np.inf, -np.inf
    odd = ndi.maximum_filter(np.isnan(x), size, mode="reflect")
    expected = np.where(odd, np.nan, truth(np.nan_to_num(x, posinf=np.inf, neginf=-np.inf), size, 2))
    assert_same(fp.median(put(x), size=size), expected, put(x), tolerance=0)


def test_hot_pixels_go_and_edges_stay(backend, put):
    x = np.full((20, 30), 100, np.uint16)
    x[:, 15:] = 900
    clean, hot = x.copy(), np.random.default_rng(0).permutation(600)[:20]
    x.reshape(-1)[hot] = 65535
    assert_same(fp.median(put(x), size=5), clean, put(x), tolerance=0)


def test_it_keeps_edges():
    check_keeps_edges(fp.median, noise=0.3, edges=0.8)


def test_images_and_types(backend, put):
    """Stored values are among their neighbours under any rescale."""
    x, grid = values((2, 5, 6, 7), "int16"), Grid.from_spacing((5, 6, 7), (2, 1, 1))
    image = Image(put(x), grid, modality="CT", rescale=Ramp(-2.0, 7))
    result = fp.median(image)
    assert (result.grid, result.modality, result.rescale) == (grid, "CT", image.rescale)
    assert_same(result.array, truth(x, 3), put(x), tolerance=0)
    physical = fp.median(image, dtype="float32")
    assert physical.rescale.is_identity
    assert_same(physical.array, (truth(x, 3) * -2.0 + 7).astype(np.float32), put(x), tolerance=0)
    flat = Image(put(x[0]), Grid.from_spacing((6, 7), (1, 1)))
    assert_same(fp.median(flat).array, truth(x[0], 3, 2), put(x), tolerance=0)
    assert_same(fp.median(put(x), dtype="uint8"), truth(x, 3).clip(0, 255).astype(np.uint8), put(x), tolerance=0)


def test_libraries(xp):
    x = values((5, 6, 7), "int16")
    given_ = xp.asarray(x)
    assert_same(fp.median(given_), truth(x, 3), given_, tolerance=0)


def test_wide_integers_keep_every_digit(backend, put):
    """SciPy's, less what would not fit into its float64."""
    x = values((3, 9, 10), "int64") + 2**62
    expected = truth(x - 2**62, 3) + 2**62
    assert_same(fp.median(put(x)), expected, put(x), tolerance=0)


def test_the_kernel_takes_steps_of_any_kind(backend, put):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.median").median
    x = values((3, 6, 8, 20), "int16")[::2, ::-1, ::2, ::-3]
    out = put(np.zeros(x.shape, np.int16))
    kernel(view_of(put(x)), view_of(out), (1, 2, 1))
    np.testing.assert_array_equal(to_numpy(out), truth(x, (3, 5, 3)))


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.median(put(given), **how), error, match)

    for size in (0, 2, -3, 3.0, True, (3, 3), (3, 3, 4), "3"):
        fails(ArgumentError, "size=.*: expected an odd number of voxels, at least 1, or 3 of them", size=size)
    fails(ShapeError, r"x of shape \(5,\)", x[0, 0])
    fails(ShapeError, "none of length zero", x[:0])
    with pytest.raises(DTypeError, match="complex"):
        fp.median(x.astype(np.complex64))
